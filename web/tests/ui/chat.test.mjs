// The chat by keyboard: what goes out, what is shown, and what is left when
// something breaks.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { pieces } from "./fake.mjs";
import { FakeServer, openPage, Program, startBrowser } from "./harness.mjs";

let program, browser, fake, page;

before(async () => {
  program = await new Program().start();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await program?.stop();
});
beforeEach(async () => {
  fake = new FakeServer(program.url);
  await fake.start();
  page = await openPage(browser, fake.url);
});
afterEach(async () => {
  await page.context().close();
  await fake.stop().catch(() => {});
});
const clean = (allowed = /$^/) => {
  assert.deepEqual(page.complaints.filter((each) => !allowed.test(each)), []);
  assert.deepEqual(page.strays, []);
};
const box = () => page.getByRole("textbox", { name: "Your message", exact: true });
const answers = () => page.getByRole("article", { name: "Answer" });
const LOST = /net::ERR|Failed to load resource/;

async function ask(text) {
  await box().focus();
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}
// Presses Tab until the element with that name has the focus.
async function tabTo(name, key = "Tab") {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press(key);
    const here = await page.evaluate(() => {
      const at = document.activeElement;
      return at?.getAttribute("aria-label") ?? at?.textContent?.trim() ?? "";
    });
    if (here === name) return;
  }
  assert.fail(`Tab never came to "${name}"`);
}

test("an answer streams; reasoning folds; numbers stand below it", async () => {
  fake.script = () => ({
    say: [...pieces("first I think", "reasoning", 60), ...pieces("Then **I** say `it`.", "text", 60)],
  });
  await ask("Hello");
  const fold = page.getByRole("button", { name: /Thinking/ });
  await fold.waitFor();
  assert.equal(await fold.getAttribute("aria-expanded"), "true");
  const folded = page.getByRole("button", { name: /Thought for/ });
  await folded.waitFor();
  assert.equal(await folded.getAttribute("aria-expanded"), "false");
  await page.getByText(/tok\/s · .* tokens · first after .* · 96 of 128 prompt tokens cached/).waitFor();
  assert.equal(await answers().locator(".rich strong").textContent(), "I");
  await tabTo(await folded.textContent(), "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByText("first I think").waitFor();
  const body = fake.requests[0];
  assert.deepEqual(body.messages, [{ role: "user", content: "Hello" }]);
  assert.equal(body.stream, true);
  assert.ok(body.prompt_cache_key, "the conversation is a lane");
  clean();
});

test("a tool call is shown, answered by hand, and the model goes on", async () => {
  fake.script = (asked) =>
    asked.messages.at(-1).role === "tool"
      ? { say: pieces("It is sunny.") }
      : {
          say: [["call", { id: "c1", name: "weather", arguments: '{"city":"Kyiv"}' }]],
          finish: "tool_calls",
        };
  await tabTo("Settings");
  await page.keyboard.press("Enter");
  const tools = page.getByLabel("Tools, as a JSON list");
  await tools.fill("[");
  await page.keyboard.press("Shift+Tab");
  await page.getByLabel("Temperature").focus();
  await page.keyboard.type("0");
  await page.keyboard.press("Enter");
  await page.getByText(/The tools are not JSON/).waitFor();
  await tools.fill('[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]');
  await page.getByLabel("Temperature").focus();
  await page.keyboard.press("Enter");
  await ask("Weather in Kyiv?");
  await page.getByRole("heading", { name: "weather", exact: true }).waitFor();
  assert.match(await page.locator(".call pre").textContent(), /"city": "Kyiv"/);
  await page.getByLabel("Result of weather").focus();
  await page.keyboard.type("sunny");
  await tabTo("Send the result");
  await page.keyboard.press("Enter");
  await page.getByText("It is sunny.").waitFor();
  const [first, second] = fake.requests;
  assert.equal(first.tools[0].function.name, "weather");
  assert.equal(first.temperature, 0);
  assert.deepEqual(second.messages.slice(1), [
    {
      role: "assistant",
      content: "",
      tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Kyiv"}' } }],
    },
    { role: "tool", tool_call_id: "c1", content: "sunny" },
  ]);
  clean();
});

test("stop keeps what came; try again adds a version; both can be looked at", async () => {
  fake.script = () => ({ say: pieces("one two three four five six seven eight nine ten", "text", 150) });
  await ask("Count");
  await page.getByText("one two").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("Stopped.").waitFor();
  assert.match(await answers().locator(".rich").textContent(), /^one two/);
  assert.ok(!(await answers().textContent()).includes("ten"));
  fake.script = () => ({ say: pieces("all of them") });
  await tabTo("Try again", "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByText("all of them").waitFor();
  await page.getByText("2/2").waitFor();
  await tabTo("Earlier version", "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByText("1/2").waitFor();
  await page.getByText("one two").waitFor();
  clean();
});

test("an edited message is a new version of it; the old one stays", async () => {
  fake.script = (asked) => ({ say: pieces(`You said ${asked.messages.at(-1).content}.`) });
  await ask("first");
  await page.getByText("You said first.").waitFor();
  await ask("second");
  await page.getByText("You said second.").waitFor();
  await tabTo("Edit and send again", "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("third");
  await page.keyboard.press("Enter");
  await page.getByText("You said third.").waitFor();
  assert.deepEqual(fake.requests.at(-1).messages.map((each) => each.content), ["first", "You said first.", "third"]);
  await page.getByText("2/2").waitFor();
  await page.getByRole("button", { name: "Earlier version" }).press("Enter");
  await page.getByText("You said second.").waitFor();
  await page.reload();
  await page.getByText("You said second.").waitFor(); // the branch on show is kept
  clean();
});

test("a cut stream keeps its text and offers to go on", async () => {
  fake.script = () => ({ say: pieces("half of the", "text", 20), cut: true });
  await ask("Go");
  await page.getByRole("button", { name: "Continue" }).waitFor();
  await answers().getByText("half of the").waitFor();
  fake.script = () => ({ say: [["text", " answer"]] });
  await page.getByRole("button", { name: "Continue" }).press("Enter");
  await page.getByText("half of the answer").waitFor();
  assert.deepEqual(fake.requests.at(-1).messages.map((each) => each.role), ["user", "assistant", "user"]);
  assert.equal(fake.requests.at(-1).messages[1].content, "half of the");
  clean(LOST);
});

test("a server that goes away and comes back: nothing typed is lost", async () => {
  fake.script = () => ({ say: pieces("words that come slowly and end too soon", "text", 200) });
  await ask("Tell me");
  await page.getByText("words that").waitFor();
  const { port } = fake;
  await fake.stop();
  await page.getByText(/connection was lost/).waitFor();
  await box().focus();
  await page.keyboard.type("typed while it was away");
  await page.getByText("The server is away").waitFor();
  await page.keyboard.press("Enter");
  await page.getByText("The server cannot be reached.").waitFor();
  await box().fill("a draft");
  fake = new FakeServer(program.url);
  fake.script = (asked) => ({ say: pieces(`Back: ${asked.messages.length} messages`) });
  await fake.start(port);
  await page.getByText("The server is away").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Try again" }).last().press("Enter");
  await page.getByText("Back: 3 messages").waitFor();
  assert.equal(await box().inputValue(), "a draft");
  await page.reload();
  await page.getByText("words that").waitFor();
  assert.equal(await box().inputValue(), "a draft");
  clean(LOST);
});

test("a page that is closed mid-answer shows what had come", async () => {
  fake.script = () => ({ say: pieces("many words come here one after the other for long", "text", 200) });
  await ask("Slow");
  await page.getByText("many words come here one after").waitFor();
  await page.reload();
  await page.getByText("many words").waitFor();
  await page.getByRole("button", { name: "Continue" }).waitFor();
  clean(LOST);
});

test("a refusal is shown in the server's words", async () => {
  fake.script = () => ({ status: 400, error: "the prompt has 9000 tokens, 4096 fit" });
  await ask("Long");
  await page.getByText("The prompt has 9000 tokens, 4096 fit").waitFor();
  clean(/Failed to load resource/);
});

test("the API key is asked for, kept for the tab, and nothing is lost", async () => {
  fake.key = "secret";
  await page.reload();
  const dialog = page.getByRole("dialog", { name: "API key" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await ask("Hi there");
  await dialog.waitFor();
  await page.getByLabel("Key", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("does not know this key").waitFor();
  await page.getByLabel("Key", { exact: true }).fill("secret");
  await page.keyboard.press("Enter");
  await page.getByText("Hello.", { exact: true }).waitFor();
  await page.reload();
  await page.getByText("Hello.", { exact: true }).waitFor();
  assert.equal(await dialog.count(), 0);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("key"))), []);
  clean(/401|Failed to load resource/);
});

test("files go out as text; pictures are refused", async () => {
  await page.getByLabel("Text files").setInputFiles([
    { name: "notes.md", mimeType: "text/markdown", buffer: Buffer.from("# Notes\n```x```") },
    { name: "cat.png", mimeType: "image/png", buffer: Buffer.from([137, 80, 0, 1]) },
  ]);
  await page.getByText("cat.png is not text.").waitFor();
  await ask("Read it");
  await page.getByText("Hello.", { exact: true }).waitFor();
  assert.equal(fake.requests[0].messages[0].content, "notes.md:\n````\n# Notes\n```x```\n````\n\nRead it");
  clean();
});

test("conversations are listed, renamed and deleted by keyboard", async () => {
  await ask("About rivers");
  await page.getByText("Hello.", { exact: true }).waitFor();
  await page.keyboard.press("Alt+KeyN");
  await page.getByText("What is on your mind?").waitFor();
  await ask("About hills");
  await page.getByText("Hello.", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Rename About rivers" }).press("Enter");
  await page.keyboard.type("Streams");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^Streams/ }).press("Enter");
  await page.getByRole("article", { name: "You" }).getByText("About rivers").waitFor();
  await page.goBack();
  await page.getByRole("article", { name: "You" }).getByText("About hills").waitFor();
  await page.getByRole("button", { name: "Delete Streams" }).press("Enter");
  await page.getByRole("button", { name: "Delete", exact: true }).press("Enter");
  await page.getByRole("button", { name: /^Streams/ }).waitFor({ state: "detached" });
  await page.reload();
  await page.getByRole("button", { name: /^About hills/ }).first().waitFor();
  assert.equal(await page.getByRole("button", { name: /^Streams/ }).count(), 0);
  clean();
});

test("a real model answers", async () => {
  const real = await openPage(browser, program.url);
  await real.getByRole("textbox", { name: "Your message" }).fill("Say hello.");
  await real.keyboard.press("Enter");
  await real.getByText(/tok\/s · .* tokens?/).waitFor({ timeout: 120000 });
  assert.ok((await real.locator(".assistant .rich").textContent()).length > 0);
  assert.deepEqual(real.complaints, []);
  assert.deepEqual(real.strays, []);
  await real.context().close();
});

test("a real server is killed mid-answer and started again", async () => {
  const mortal = await new Program().start();
  const real = await openPage(browser, mortal.url);
  const field = real.getByRole("textbox", { name: "Your message", exact: true });
  await field.fill("Tell me a very long story about a river, with many details.");
  await field.press("Enter");
  await real.waitForFunction(() => (document.querySelector(".assistant .rich")?.textContent.length ?? 0) > 60, undefined, {
    timeout: 120000,
  });
  await mortal.stop("SIGKILL");
  await real.getByRole("button", { name: "Continue" }).waitFor();
  const kept = await real.locator(".assistant .rich").textContent();
  await field.fill("half a thought");
  await mortal.start();
  await real.getByText("The server is away").waitFor({ state: "detached" });
  await real.getByRole("button", { name: "Continue" }).press("Enter");
  await real.waitForFunction((before) => document.querySelector(".assistant .rich").textContent.length > before + 20, kept.length, {
    timeout: 120000,
  });
  const text = await real.locator(".assistant .rich").textContent();
  assert.equal(text.slice(0, 40), kept.slice(0, 40));
  assert.equal(await field.inputValue(), "half a thought");
  await real.keyboard.press("Escape");
  await real.context().close();
  await mortal.stop();
});
