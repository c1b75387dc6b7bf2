// The dashboard and the model page on a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FakeServer, openPage, PHONE, Program, startBrowser } from "./harness.mjs";
import { startLoad } from "./load.mjs";

let program, browser;
before(async () => {
  program = await new Program().start();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await program?.stop();
});
const clean = (page) => {
  assert.deepEqual(page.complaints, []);
  assert.deepEqual(page.strays, []);
};

test("the dashboard shows requests, speed, reasons, lanes and memory of a server under load", async () => {
  const stop = startLoad(program.url);
  try {
    await looksAlive();
  } finally {
    await stop();
  }
});

async function looksAlive() {
  const page = await openPage(browser, program.url, { hash: "#/dashboard" });
  await page.getByText("all that was known").first().waitFor({ timeout: 60000 });
  await page.getByText("coder-main").first().waitFor();
  await page.locator(".state.done").first().waitFor();
  await page.waitForFunction(
    () => [...document.querySelectorAll("figure.plot path.line")].every((line) => (line.getAttribute("d") ?? "").split("L").length > 2),
    undefined,
    { timeout: 60000 },
  );
  const label = await page.locator("figure.plot svg").first().getAttribute("aria-label");
  assert.match(label, /Tokens a second over \d+ seconds\. Now written: \d/);
  assert.ok((await page.locator("figure.plot circle").count()) > 2, "first tokens are dots");
  assert.match(await page.locator(".parts svg").getAttribute("aria-label"), /planned .*B, taken .*B, limit .*B/);
  assert.match(await page.locator(".tile", { hasText: "Prompt tokens cached" }).textContent(), /\d+ %/);
  clean(page);
  await page.context().close();
}

test("models: what is served is unloaded and loaded again", async () => {
  const page = await openPage(browser, program.url, { hash: "#/models" });
  const one = page.locator("section", { hasText: "Served" }).first().locator(".model").first();
  await one.getByText("loaded", { exact: true }).waitFor();
  await one.getByRole("button", { name: "Unload" }).press("Enter");
  await one.getByText("not in memory").waitFor({ timeout: 60000 });
  await one.getByRole("button", { name: "Load" }).press("Enter");
  await one.getByText("loaded", { exact: true }).waitFor({ timeout: 60000 });
  await one.getByRole("button", { name: "Pin" }).press("Enter");
  await one.getByText("pinned").waitFor();
  clean(page);
  await page.context().close();
});

test("models: a download shows how far it is, is stopped, goes on, ends; a model is deleted", async () => {
  const fake = new FakeServer(program.url);
  await fake.start();
  const library = {
    memory_limit_bytes: 8e9,
    data: [
      { name: "small", description: "A small one", bytes: 1e9, here: false, removable: false, served: false },
      { name: "huge", bytes: 9e9, here: true, removable: true, served: false },
    ],
  };
  const asked = [];
  fake.routes.set("GET /v1/library", (request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(library));
  });
  fake.routes.set("POST /api/pull", (request, response, body) => {
    asked.push(JSON.parse(body).model);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write('{"status":"pulling manifest"}\n{"status":"pulling a.gguf","completed":250000000,"total":1000000000}\n');
    if (asked.length === 1) return; // until it is stopped
    library.data[0].here = true;
    response.end('{"status":"success"}\n');
  });
  fake.routes.set("DELETE /api/delete", (request, response, body) => {
    asked.push(`delete ${JSON.parse(body).model}`);
    library.data.pop();
    response.writeHead(200, { "content-type": "application/json" }).end();
  });
  const page = await openPage(browser, fake.url, { hash: "#/models", viewport: PHONE });
  await page.getByText("does not fit").waitFor();
  await page.getByText("fits", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Download" }).last().press("Enter");
  await page.getByText("250 MB of 1.0 GB, 25 %").waitFor();
  await page.getByRole("button", { name: "Stop" }).press("Enter");
  await page.getByText("What has come is kept.").waitFor();
  await page.getByRole("button", { name: "Go on" }).press("Enter");
  await page.getByText("It is here.").waitFor();
  await page.getByRole("button", { name: "Delete huge" }).press("Enter");
  await page.getByRole("button", { name: "Delete 9.0 GB" }).press("Enter");
  await page.getByText("does not fit").waitFor({ state: "detached" });
  assert.deepEqual(asked, ["small", "small", "delete huge"]);
  clean(page);
  await page.context().close();
  await fake.stop();
});

test("models: what suits this machine, and how fast it would be", async () => {
  const fake = new FakeServer(program.url);
  await fake.start();
  const pulled = [];
  const json = (body) => (request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  const expected = (model, decode_tps) => ({
    model,
    decode_tps,
    ttft_ms: 2500,
    prompt_tokens: 2048,
    comfortable: true,
    longest_context: 32768,
    why: "a token reads 1 GB",
  });
  fake.routes.set("GET /v1/library", json({
    memory_limit_bytes: 8e9,
    data: [
      { name: "clever", bytes: 2e9, here: false, removable: false, served: false },
      { name: "quick", bytes: 1e9, here: true, removable: true, served: false },
    ],
  }));
  fake.routes.set("GET /v1/recipe", json({
    context: 32768,
    smart: expected("clever", 25.4),
    fast: expected("quick", 81),
    models: [expected("clever", 25.4), expected("quick", 81)],
  }));
  fake.routes.set("POST /api/pull", (request, response, body) => {
    pulled.push(JSON.parse(body).model);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end('{"status":"success"}\n');
  });
  const page = await openPage(browser, fake.url, { hash: "#/models" });
  const section = page.getByRole("region", { name: "For this machine" });
  await section.getByText("about 25 tok/s").waitFor();
  assert.match(await section.textContent(), /quick.*about 81 tok\/s.*first token of 2,048 tokens after 2.50 s/);
  assert.equal(await section.getByRole("button").count(), 1, "what is here needs no download");
  await section.getByRole("button", { name: "Download clever" }).press("Enter");
  await page.getByText("It is here.").waitFor();
  assert.deepEqual(pulled, ["clever"]);
  assert.equal(await page.getByText("1.0 GB · about 81 tok/s").count(), 1, "in the list, too");
  clean(page);
  await page.context().close();
  await fake.stop();
});

test("a phone has the menu in a drawer", async () => {
  const page = await openPage(browser, program.url, { viewport: PHONE });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= PHONE.width, `${width} pixels wide`);
  assert.equal(await page.getByRole("link", { name: "Dashboard" }).isVisible(), false);
  await page.getByRole("button", { name: "Menu" }).press("Enter");
  await page.getByRole("link", { name: "Dashboard" }).press("Enter");
  await page.locator("figure.plot").first().waitFor();
  for (const hash of ["#/dashboard", "#/models"]) {
    await page.goto(`${program.url}/${hash}`);
    await page.waitForTimeout(400);
    const wide = await page.evaluate(() => {
      const box = document.querySelector("main");
      return box.scrollWidth - box.clientWidth;
    });
    assert.equal(wide, 0, `${hash} does not scroll sideways`);
  }
  clean(page);
  await page.context().close();
});
