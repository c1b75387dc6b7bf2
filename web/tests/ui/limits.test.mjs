// What the page costs: its size, its first paint, and how smooth it stays with
// much to show. Times are told; only what no busy machine excuses fails.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FakeServer, openPage, Program, startBrowser } from "./harness.mjs";

const LONG = Number(process.env.UI_LONG_TASK ?? 100); // ms
let program, browser, fake;

before(async () => {
  program = await new Program().start();
  browser = await startBrowser();
  fake = new FakeServer(program.url);
  await fake.start();
});
after(async () => {
  await browser?.close();
  await fake?.stop();
  await program?.stop();
});

const longest = async (page) => Math.max(0, ...(await page.evaluate(() => window.longTasks)));

test("all files together are below 300 KB gzipped", async () => {
  const headers = { accept: "text/html", "accept-encoding": "gzip" };
  const page = await fetch(program.url, { headers });
  let total = Number(page.headers.get("content-length"));
  for (const [, path] of (await page.text()).matchAll(/"(\/ui\/[^"]+)"/g)) {
    const file = await fetch(program.url + path, { headers });
    assert.equal(file.headers.get("content-encoding"), "gzip");
    total += Number(file.headers.get("content-length"));
    const again = await fetch(program.url + path, { headers: { "if-none-match": file.headers.get("etag") } });
    assert.equal(again.status, 304);
  }
  console.log(`bundle: ${total} bytes gzipped`);
  assert.ok(total < 300_000, String(total));
});

test("first paint from a cold start within half a second", async () => {
  const times = [];
  for (let i = 0; i < 5; i++) {
    const page = await openPage(browser, program.url); // an empty cache each
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    times.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    await page.context().close();
  }
  times.sort((a, b) => a - b);
  console.log(`first contentful paint, ms: ${times.map(Math.round).join(" ")}`);
  assert.ok(times[2] < 500, `median ${times[2]}`);
});

const PARAGRAPH = "A **stream** of words with `code`, [links](https://example.org) and _more_ of it all. ";
const texts = {
  prose: () => `${"## Part\n\n"}${PARAGRAPH.repeat(5)}\n\n`.repeat(220),
  "one paragraph": () => PARAGRAPH.repeat(1200),
  "one list": () => `- ${PARAGRAPH}\n`.repeat(1150),
  "one table": () => `| a | b |\n|---|---|\n${"| some words here | and *there* |\n".repeat(3200)}`,
  "one code block": () => `\`\`\`python\n${"def f(x):\n    return x * 2  # twice\n".repeat(2700)}\`\`\``,
};

for (const [name, make] of Object.entries(texts)) {
  test(`a streamed answer of 100 KB stays smooth: ${name}`, async () => {
    const text = make();
    assert.ok(text.length > 95_000, String(text.length));
    const page = await openPage(browser, fake.url);
    fake.script = () => ({ say: text.match(/[^]{1,60}/g).map((piece, i) => ["text", piece, i % 4 ? 0 : 4]) });
    const box = page.getByRole("textbox", { name: "Your message", exact: true });
    await box.fill("Write much");
    await page.evaluate(() => (window.longTasks.length = 0));
    await box.press("Enter");
    await page.getByText(/tokens? · first after/).waitFor({ timeout: 60000 });
    await page.waitForTimeout(1000);
    const most = await longest(page);
    console.log(`${name}: ${text.length} characters, longest task ${Math.round(most)} ms`);
    const shown = await page.locator(".assistant .rich").evaluate((node) => node.textContent.length);
    assert.ok(shown > text.length * 0.4, `${shown} characters are shown`);
    assert.ok(most < LONG, `${most} ms`);
    await page.context().close();
  });
}

test("a history of 10,000 messages opens, scrolls and goes on smoothly", async () => {
  const page = await openPage(browser, fake.url);
  await page.evaluate(async (paragraph) => {
    const open = indexedDB.open("rapid-mlx", 1);
    await new Promise((resolve) => (open.onsuccess = resolve));
    const db = open.result;
    const settings = Object.fromEntries(
      ["system", "temperature", "topP", "topK", "minP", "repetition", "maxTokens", "seed", "effort", "tools"].map((k) => [k, ""]),
    );
    for (let from = 0; from < 10000; from += 1000) {
      const writing = db.transaction("messages", "readwrite");
      for (let n = from; n < from + 1000; n++) {
        writing.objectStore("messages").put({
          conv: "long", n, parent: n - 1, role: n % 2 ? "assistant" : "user", state: "done", created: n,
          text: n % 2 ? `Answer ${n}.\n\n${paragraph.repeat(1 + (n % 7))}\n\n\`\`\`js\nlet n = ${n};\n\`\`\`` : `Question ${n}?`,
        });
      }
      await new Promise((resolve) => (writing.oncomplete = resolve));
    }
    const last = db.transaction("conversations", "readwrite");
    last.objectStore("conversations").put({
      id: "long", title: "A long one", created: 1, updated: 2, next: 10000, leaf: 9999, model: "x", settings,
    });
    await new Promise((resolve) => (last.oncomplete = resolve));
    db.close();
  }, PARAGRAPH);
  await page.reload();
  await page.getByRole("button", { name: /^A long one/ }).first().waitFor();
  await page.evaluate(() => (window.longTasks.length = 0));
  await page.getByRole("button", { name: /^A long one/ }).first().press("Enter");
  await page.getByText("Answer 9999.").waitFor();
  const opened = await longest(page);
  const there = await page.locator("[data-key]").count();
  assert.ok(there < 60, `${there} messages are in the page`);

  const scroller = page.locator(".scroller");
  const end = await scroller.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  assert.ok(end < 50, `it opens at its end, ${end} pixels away`);
  await scroller.focus();
  for (let i = 0; i < 25; i++) {
    await page.keyboard.press("PageUp");
    await page.waitForTimeout(30);
  }
  for (const part of [0.5, 0.2, 0.8, 0]) {
    await scroller.evaluate((box, at) => (box.scrollTop = box.scrollHeight * at), part);
    await page.waitForTimeout(250);
  }
  await page.getByText("Question 0?").waitFor();
  const scrolled = await longest(page);
  fake.script = () => ({ say: Array.from({ length: 200 }, (_, i) => ["text", `word ${i} `, 5]) });
  const box = page.getByRole("textbox", { name: "Your message", exact: true });
  await box.fill("And now?");
  await box.press("Enter");
  await page.getByText(/tokens? · first after/).waitFor();
  const most = await longest(page);
  console.log(`10,000 messages: longest task while opening ${Math.round(opened)} ms, scrolling ${Math.round(scrolled)} ms, answering ${Math.round(most)} ms`);
  assert.equal(fake.requests.at(-1).messages.length, 10001);
  assert.ok(most < LONG, `${most} ms`);
  await page.context().close();
});
