// What models and people write is never run, whatever it looks like; and the
// page is usable by all.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { DESKTOP, FakeServer, openPage, PHONE, Program, startBrowser } from "./harness.mjs";
import { fillPages } from "./scenes.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
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

const ATTACKS = [
  "<script>window.owned = 1</script>",
  "<img src=x onerror='window.owned = 1'>",
  "<img src='https://elsewhere.test/a.png'>",
  "![pixel](https://elsewhere.test/b.png)",
  "<svg onload='window.owned = 1'><script>window.owned = 1</script></svg>",
  "<iframe srcdoc='<script>parent.owned = 1</script>'></iframe>",
  "<a href='javascript:window.owned = 1'>press</a>",
  "[press](javascript:window.owned=1) [press](data:text/html,<script>1</script>) [press](vbscript:x)",
  "<details open ontoggle='window.owned = 1'><summary>x</summary></details>",
  "<style>* { display: none }</style><link rel=stylesheet href=https://elsewhere.test/c.css>",
  "<form action='https://elsewhere.test'><input name=a><button>go</button></form>",
  "<p style='background: url(https://elsewhere.test/d.png)'>styled</p>",
  "<math><mtext><table><mglyph><style><img src=x onerror='window.owned = 1'>",
  "<base href='https://elsewhere.test/'><meta http-equiv=refresh content='0;url=https://elsewhere.test'>",
  "<video src='https://elsewhere.test/v.mp4' autoplay></video><object data=x></object><embed src=x>",
  "```html\n<script>window.owned = 1</script>\n```",
  "<input type=image src=https://elsewhere.test/e.png><template><script>window.owned = 1</script></template>",
];

test("nothing that is written runs, loads or leaves", async () => {
  fake.script = (asked) => {
    const text = asked.messages.at(-1).content;
    return {
      say: [
        ["reasoning", text],
        ...text.match(/[^]{1,7}/g).map((piece) => ["text", piece]),
        ["call", { id: "c", name: text, arguments: text }],
      ],
      finish: "tool_calls",
    };
  };
  const page = await openPage(browser, fake.url);
  const box = page.getByRole("textbox", { name: "Your message", exact: true });
  for (const attack of ATTACKS) {
    await page.keyboard.press("Alt+KeyN");
    await box.fill(attack);
    await box.press("Enter");
    await page.getByText(/tokens? · first after/).waitFor();
    await page.waitForTimeout(60);
    const found = await page.evaluate(() => ({
      owned: window.owned,
      bad: document.querySelectorAll(
        ".stage :is(script, style, link, iframe, object, embed, form form, base, meta, video, math), .rich :is(form, button[type=submit], input:not([type=checkbox]))",
      ).length,
      handlers: [...document.querySelectorAll(".rich *")].filter((node) =>
        [...node.attributes].some((a) => a.name.startsWith("on") || a.name === "style")).length,
      links: [...document.querySelectorAll(".rich a")].map((a) => a.getAttribute("href")),
      sources: [...document.querySelectorAll(".rich [src]")].map((a) => a.getAttribute("src")),
    }));
    assert.equal(found.owned, undefined, attack);
    assert.equal(found.bad, 0, attack);
    assert.equal(found.handlers, 0, attack);
    for (const link of found.links) assert.match(link ?? "https://", /^(https?:|mailto:|#)/, attack);
    for (const source of found.sources) assert.match(source, /^data:image\//, attack);
    for (const link of await page.locator(".rich a[href]").all()) {
      assert.equal(await link.getAttribute("rel"), "noopener noreferrer");
    }
  }
  assert.deepEqual(page.complaints, []);
  assert.deepEqual(page.strays, []);
  await page.context().close();
});

test("the policy keeps a script out even if one got into the page", async () => {
  const page = await openPage(browser, fake.url);
  const refused = await page.evaluate(async () => {
    try {
      document.body.innerHTML += "<img src=x onerror='window.owned = 1'>";
      return "written";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(refused, "TypeError"); // trusted types
  const blocked = await page.evaluate(() =>
    fetch("https://elsewhere.test/").then(() => "sent", () => "blocked"));
  assert.equal(blocked, "blocked");
  const head = await fetch(program.url, { headers: { accept: "text/html" } });
  assert.match(head.headers.get("content-security-policy"), /frame-ancestors 'none'/);
  assert.equal(head.headers.get("x-content-type-options"), "nosniff");
  const plain = await fetch(program.url, { method: "HEAD" });
  assert.equal(plain.status, 200);
  assert.match(plain.headers.get("content-type"), /text\/plain/);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [name, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    test(`axe finds nothing serious: ${colorScheme}, ${name}`, async () => {
      const page = await openPage(browser, fake.url, { colorScheme, viewport });
      const bad = [];
      for await (const scene of fillPages(page, fake)) {
        await page.evaluate(`(() => {${AXE}})()`).catch(() => page.evaluate(AXE));
        const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        for (const one of found.violations) {
          if (["serious", "critical"].includes(one.impact)) {
            bad.push(`${scene}: ${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160) + " " + node.failureSummary.slice(0, 200)).join(" | ")}`);
          }
        }
      }
      assert.deepEqual(bad, []);
      // Of the scene in which the server dies.
      assert.deepEqual(page.complaints.filter((each) => !each.includes("ERR_INCOMPLETE_CHUNKED")), []);
      await page.context().close();
    });
  }
}
