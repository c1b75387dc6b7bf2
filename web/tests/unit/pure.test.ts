import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer, parseTools, requestBody, titleOf, withFiles } from "../../src/chat/request";
import { Tree } from "../../src/chat/tree";
import { NO_SETTINGS, type Message } from "../../src/chat/types";
import { ticks } from "../../src/dash/plot";
import { lanesOf } from "../../src/dash/tables";
import { bytes, count, seconds } from "../../src/format";
import { parseMetrics, value } from "../../src/metrics";
import { LineReader, SseReader } from "../../src/sse";

const message = (what: Partial<Message>): Message => ({
  conv: "c", n: 0, parent: -1, role: "user", text: "", state: "done", created: 0, ...what,
});

test("events come whole out of any pieces", () => {
  const stream = ": keepalive 3 of 9\n\ndata: {\"a\":1}\r\n\r\ndata: one\ndata: two\n\nevent: x\ndata: [DONE]\n\ndata: lost";
  for (const cut of [1, 2, 5, 100]) {
    const events: string[] = [];
    const notes: string[] = [];
    const reader = new SseReader((data) => events.push(data), (note) => notes.push(note));
    for (let at = 0; at < stream.length; at += cut) reader.feed(stream.slice(at, at + cut));
    assert.deepEqual(events, ['{"a":1}', "one\ntwo", "[DONE]"]);
    assert.deepEqual(notes, ["keepalive 3 of 9"]);
  }
});

test("lines come whole, blanks of keep-alives are skipped", () => {
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  for (const piece of ['{"a"', ':1}\n  {"b"', ":2}\n\n", "last"]) reader.feed(piece);
  assert.deepEqual(lines, ['{"a":1}', '{"b":2}']);
  reader.end();
  assert.equal(lines[2], "last");
});

test("an answer gathers text, reasoning, calls, usage and errors", () => {
  const answer = new Answer(10);
  const delta = (d: object, finish: string | null = null) =>
    JSON.stringify({ choices: [{ delta: d, finish_reason: finish }] });
  answer.take(delta({ role: "assistant", content: "" }), 10.5);
  answer.take(delta({ reasoning_content: "hm" }), 11);
  answer.take(delta({ content: "a" }), 13);
  answer.take(delta({ content: "b" }), 13);
  answer.take(delta({ tool_calls: [{ index: 0, id: "x", function: { name: "f", arguments: '{"a"' } }] }), 14);
  answer.take(delta({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }), 14);
  answer.take(delta({}, "tool_calls"), 14);
  answer.take(JSON.stringify({
    choices: [],
    usage: { prompt_tokens: 9, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } },
    rapid_mlx: { timings: { prefill_seconds: 1, decode_seconds: 2 } },
  }), 15);
  assert.equal(answer.done, false);
  answer.take("[DONE]", 15);
  assert.equal(answer.text, "ab");
  assert.equal(answer.reasoning, "hm");
  assert.equal(answer.thought(20), 2);
  assert.deepEqual(answer.calls, [{ id: "x", name: "f", arguments: '{"a":1}' }]);
  assert.deepEqual(answer.stats, { prompt: 9, cached: 4, completion: 5, reasoning: 0, ttft: 1, decode: 2 });
  assert.ok(answer.done);
  answer.take('{"error":{"message":"no"}}', 16);
  assert.equal(answer.error, "no");
});

test("a request carries what was chosen and nothing else", () => {
  const path = [
    message({ n: 0, text: "hi", files: [{ name: "a.txt", text: "``` x" }] }),
    message({ n: 1, role: "assistant", text: "", state: "broken" }),
    message({ n: 2, role: "assistant", text: "", calls: [{ id: "i", name: "f", arguments: "{}" }], reasoning: "r" }),
    message({ n: 3, role: "tool", text: "7", callId: "i" }),
  ];
  const body = requestBody("m", path, { ...NO_SETTINGS, system: "be", temperature: " 0.5", topK: "" }, "c");
  assert.deepEqual(Object.keys(body).sort(),
    ["messages", "model", "prompt_cache_key", "stream", "stream_options", "temperature"]);
  const messages = body.messages as Record<string, unknown>[];
  assert.deepEqual(messages.map((each) => each.role), ["system", "user", "assistant", "tool"]);
  assert.equal(messages[1]!.content, "a.txt:\n````\n``` x\n````\n\nhi");
  assert.equal(messages[3]!.tool_call_id, "i");
  assert.throws(() => requestBody("m", path, { ...NO_SETTINGS, topP: "many" }, "c"), /Top-p/);
  assert.throws(() => parseTools("{}"), /list/);
  assert.equal(withFiles("only"), "only");
  assert.equal(titleOf("## **Hello** there\nmore"), "Hello there");
});

test("a tree keeps branches and finds the newest leaf", () => {
  const tree = new Tree<{ n: number; parent: number }>();
  for (const [n, parent] of [[0, -1], [1, 0], [2, 1], [3, -1], [4, 3], [5, 1]]) tree.add({ n: n!, parent: parent! });
  assert.deepEqual(tree.path(2).map((each) => each.n), [0, 1, 2]);
  assert.deepEqual(tree.siblings(0), [0, 3]);
  assert.equal(tree.leafBelow(0), 5);
  assert.equal(tree.leafBelow(3), 4);
});

test("metrics are read with their labels", () => {
  const read = parseMetrics('# HELP x y\nrapid_mlx_kv_bytes 12\nrapid_mlx_m{model="a\\"b",k="v"} 1.5e3\n');
  assert.equal(value(read, "kv_bytes"), 12);
  assert.equal(value(read, "nothing"), 0);
  assert.deepEqual(read.get("rapid_mlx_m"), [{ labels: { model: 'a"b', k: "v" }, value: 1500 }]);
});

test("lanes are summed, those at work first", () => {
  const one = { number: 1, id: "", model: "m", started: 1, seconds: 1, ttft_seconds: null, prompt_done: 0 };
  const lanes = lanesOf([
    { ...one, lane: "a", state: "done", prompt_tokens: 10, cached_tokens: 5, completion_tokens: 2 },
    { ...one, lane: "b", state: "reading", prompt_tokens: 4, cached_tokens: 0 },
    { ...one, lane: "a", state: "done", prompt_tokens: 10, cached_tokens: 9, completion_tokens: 3 },
  ]);
  assert.deepEqual(lanes.map((l) => [l.name, l.open, l.requests, l.prompt, l.cached, l.written]),
    [["b", 1, 1, 4, 0, 0], ["a", 0, 2, 20, 14, 5]]);
});

test("numbers for people", () => {
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(1_500_000_000), "1.5 GB");
  assert.equal(bytes(null), "–");
  assert.equal(seconds(0.25), "250 ms");
  assert.equal(seconds(75), "1 min 15 s");
  assert.equal(count(12345), "12k");
  assert.deepEqual(ticks(100), [0, 50, 100, 150]);
  assert.ok(ticks(0)[3]! > 0);
});
