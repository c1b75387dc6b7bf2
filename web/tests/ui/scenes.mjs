// Pages with something on them, for pictures and for axe.
import { pieces } from "./fake.mjs";

const QUESTION = "How do I watch a folder for changes in Python without a busy loop?";
const THOUGHT =
  "They want events, not polling. inotify through watchdog is the common way; the standard library has nothing portable. " +
  "A short example with a handler, then what to mind: editors save by rename, and bursts of events.";
const ANSWER = `Let the system tell you. The \`watchdog\` package uses **inotify**, FSEvents or what else there is:

\`\`\`python
from pathlib import Path
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

class Changes(FileSystemEventHandler):
    def on_modified(self, event):
        if not event.is_directory:
            print("changed:", Path(event.src_path).name)

observer = Observer()
observer.schedule(Changes(), "inbox", recursive=True)
observer.start()  # a thread of its own
\`\`\`

What to mind:

1. Editors often *save by renaming*, which is a move, not a change.
2. One save may give several events; wait 50 ms and take them together.

| system | mechanism | wakes up |
|---|---|---|
| Linux | inotify | at once |
| macOS | FSEvents | within 100 ms |
`;

const box = (page) => page.getByRole("textbox", { name: "Your message", exact: true });

export async function ask(page, text) {
  await box(page).fill(text);
  await box(page).press("Enter");
}

async function newChat(page) {
  await page.keyboard.press("Escape");
  await page.keyboard.press("Alt+KeyN");
  await box(page).waitFor();
}

export async function reasoning(page, fake) {
  await newChat(page);
  fake.script = () => ({
    say: [...pieces(THOUGHT, "reasoning", 2), ...pieces(ANSWER, "text", 1)],
    usage: { prompt_tokens: 412, prompt_tokens_details: { cached_tokens: 384 } },
  });
  await ask(page, QUESTION);
  await page.getByText(/tok\/s/).waitFor();
  await page.waitForTimeout(700); // colours of the code
  await page.locator(".fold").last().evaluate((node) => node.scrollIntoView({ block: "center" }));
  await page.waitForTimeout(200);
}

// Returns while the answer is being written.
export async function streaming(page, fake) {
  await newChat(page);
  const words = [...pieces(THOUGHT, "reasoning", 2), ...pieces(ANSWER, "text", 2)];
  const half = Math.floor(words.length * 0.62);
  fake.script = () => ({ say: [...words.slice(0, half), ["text", " ", 4000], ...words.slice(half)] });
  await ask(page, QUESTION);
  await page.locator("figure.code").waitFor();
  await page.waitForTimeout(900);
}

export async function thinking(page, fake) {
  await newChat(page);
  const words = pieces(THOUGHT, "reasoning", 2);
  fake.script = () => ({ say: [...words, ["text", "x", 3000]] });
  await ask(page, QUESTION);
  await page.getByText("bursts of events").waitFor();
}

export async function toolCall(page, fake) {
  await newChat(page);
  fake.script = () => ({
    say: [
      ...pieces("The user asks for two cities; I need the tool twice.", "reasoning", 1),
      ...pieces("I look both up.", "text", 1),
      ["call", { index: 0, id: "call_1", name: "get_weather", arguments: '{"city": "Kyiv", "unit": "celsius", "days": 3}' }],
      ["call", { index: 1, id: "call_2", name: "get_weather", arguments: '{"city": "Lisbon", "unit": "celsius", "days": 3}' }],
    ],
    finish: "tool_calls",
  });
  await ask(page, "What will the weather be in Kyiv and in Lisbon?");
  await page.getByRole("button", { name: "Send results" }).waitFor();
  await page.getByLabel("Result of get_weather").first().fill('{"forecast": ["sunny, 21", "rain, 17", "sunny, 19"]}');
}

export async function broken(page, fake) {
  await newChat(page);
  fake.script = () => ({ say: pieces("The first half of an answer, and then", "text", 1), cut: true });
  await ask(page, "What happens when the server dies?");
  await page.getByRole("button", { name: "Continue" }).waitFor();
}

export async function dashboard(page) {
  await page.keyboard.press("Alt+Digit2");
  await page.locator("figure.plot").first().waitFor();
  await page.getByRole("heading", { name: "Memory: plan and use" }).waitFor();
}

// With a download that goes on until the page leaves.
export async function models(page, fake) {
  fake.routes.set("POST /api/pull", (request, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write('{"status":"pulling manifest"}\n');
    response.write('{"status":"pulling model.safetensors","completed":612000000,"total":1710000000}\n');
  });
  await page.keyboard.press("Alt+Digit3");
  await page.getByRole("heading", { name: "To download" }).waitFor();
  const field = page.getByLabel("Another model");
  await field.fill("mlx-community/Qwen3-4B-4bit");
  await field.press("Enter");
  await page.getByText(/612 MB of 1.7 GB/).waitFor();
}

// All of them, one after the other.
export async function* fillPages(page, fake) {
  yield "welcome";
  await thinking(page, fake);
  yield "thinking";
  await reasoning(page, fake);
  yield "reasoning folded";
  await toolCall(page, fake);
  yield "tool call";
  await broken(page, fake);
  yield "broken";
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("dialog").waitFor();
  yield "settings";
  await page.keyboard.press("Escape");
  await dashboard(page);
  yield "dashboard";
  await models(page, fake);
  yield "models";
}
