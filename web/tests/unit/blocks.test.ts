import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockSplitter, splitBlocks, type Block } from "../../src/blocks";

const SAMPLE = `# Title
First paragraph
goes on.

Second.
\`\`\`python
print("a")

print("b")
\`\`\`
after it

1. one

2. two
   \`\`\`js
   inner()

   more()
   \`\`\`
3. three

| a | b |
|---|---|
| 1 | 2 |

~~~
tilde \`\`\` inside
~~~
end`;

function streamed(text: string, cut: number): Block[] {
  const splitter = new BlockSplitter();
  for (let at = 0; at < text.length; at += cut) {
    splitter.feed(text.slice(at, at + cut));
    splitter.tail();
  }
  return splitter.end();
}

test("blocks are cut where Markdown's are", () => {
  const blocks = splitBlocks(SAMPLE);
  assert.deepEqual(
    blocks.map((b) => [b.kind, b.lang]),
    [
      ["text", ""],
      ["text", ""],
      ["code", "python"],
      ["text", ""],
      ["text", ""],
      ["text", ""],
      ["code", ""],
      ["text", ""],
    ],
  );
  assert.equal(blocks[2]!.text, 'print("a")\n\nprint("b")');
  assert.match(blocks[4]!.text, /1\. one[^]*more\(\)[^]*3\. three/);
  assert.equal(blocks[6]!.text, "tilde ``` inside");
});

test("however it came, the same text gives the same blocks", () => {
  const texts = [SAMPLE, "x".repeat(40000), "word ".repeat(9000), "- item\n\n".repeat(3000), "line\n".repeat(5000)];
  for (const text of texts) {
    const whole = splitBlocks(text);
    for (const cut of text === SAMPLE ? [1, 2, 3, 7, 50] : [997]) {
      assert.deepEqual(streamed(text, cut), whole);
    }
  }
});

test("nothing is lost, and no block of text is long", () => {
  for (const text of ["x".repeat(40000), "word ".repeat(9000), "line\n".repeat(5000)]) {
    const blocks = splitBlocks(text);
    const joined = blocks.map((b) => b.text).join("");
    assert.equal(joined.replace(/\s/g, ""), text.replace(/\s/g, ""));
    for (const block of blocks) assert.ok(block.text.length <= 8000, String(block.text.length));
  }
});

test("code under way is open, and the fence that ends it is not shown", () => {
  const splitter = new BlockSplitter();
  splitter.feed("```sh\nls\n");
  assert.deepEqual(splitter.tail(), { kind: "code", text: "ls\n", lang: "sh", open: true });
  splitter.feed("```");
  assert.equal(splitter.tail()!.text, "ls");
  splitter.feed("\n");
  assert.equal(splitter.tail(), null);
  assert.deepEqual(splitter.blocks, [{ kind: "code", text: "ls", lang: "sh", open: false }]);
});
