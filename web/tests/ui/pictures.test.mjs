// The pictures of docs/ui: chat, dashboard under load and models, light and
// dark, on a desktop and on a phone.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { DESKTOP, FakeServer, openPage, PHONE, Program, ROOT, startBrowser } from "./harness.mjs";
import { startLoad } from "./load.mjs";
import * as scenes from "./scenes.mjs";

const INTO = process.env.UI_PICTURES ?? path.join(ROOT, "docs/ui");
const LOAD = Number(process.env.UI_LOAD_SECONDS ?? 70);
let program, browser, fake, stop;

before(async () => {
  mkdirSync(INTO, { recursive: true });
  program = await new Program().start();
  browser = await startBrowser();
  fake = new FakeServer(program.url);
  await fake.start();
});
after(async () => {
  await stop?.();
  await browser?.close();
  await fake?.stop();
  await program?.stop();
});

const LOOKS = ["light", "dark"].flatMap((colorScheme) => [
  { name: `desktop-${colorScheme}`, colorScheme, viewport: DESKTOP },
  { name: `phone-${colorScheme}`, colorScheme, viewport: PHONE },
]);
const shoot = (page, scene, look) => page.screenshot({ path: path.join(INTO, `${scene}-${look.name}.png`) });

test("chat and models", async () => {
  for (const look of LOOKS) {
    const page = await openPage(browser, fake.url, look);
    await scenes.toolCall(page, fake);
    await shoot(page, "tool-call", look);
    await scenes.streaming(page, fake);
    await shoot(page, "streaming", look);
    await scenes.reasoning(page, fake);
    await shoot(page, "reasoning", look);
    await scenes.models(page, fake);
    await shoot(page, "models", look);
    assert.deepEqual(page.complaints, []);
    assert.deepEqual(page.strays, []);
    await page.context().close();
  }
});

test("the dashboard under load", async () => {
  stop = startLoad(program.url);
  const pages = [];
  for (const look of LOOKS) {
    const page = await openPage(browser, program.url, { ...look, hash: "#/dashboard" });
    const { width } = look.viewport;
    await page.setViewportSize({ width, height: width < 500 ? 1600 : 1320 }); // all that counts
    pages.push([look, page]);
  }
  await new Promise((resolve) => setTimeout(resolve, LOAD * 1000));
  for (const [look, page] of pages) {
    await shoot(page, "dashboard", look);
    assert.deepEqual(page.complaints, []);
    assert.deepEqual(page.strays, []);
  }
});
