// The JavaScript SDKs against two servers: of a small model that answers, and
// written answers that call a tool. One line of JSON for each check.
//   node checks.mjs URL_TEXT URL_TOOLS
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const load = createRequire(path.join(process.env.SDKS, "package.json"));
const OpenAI = load("openai").default;
const Anthropic = load("@anthropic-ai/sdk").default;
const { zodResponseFormat, zodTextFormat } = load("openai/helpers/zod");
const { zodOutputFormat } = load("@anthropic-ai/sdk/helpers/zod");
const { z } = load("zod");

const [text, tools] = process.argv.slice(2);
const model = "default";
const say = [{ role: "user", content: "Name the capital of France." }];
const ask = [{ role: "user",
  content: "What is the weather in Paris? Use the tool." }];
const parameters = { type: "object", required: ["city"],
  properties: { city: { type: "string" } } };
const about = { name: "get_weather",
  description: "Get the current weather in a city" };
const weather = { type: "function", function: { ...about, parameters } };
const sky = JSON.stringify({ temperature_c: 18, sky: "clear" });
const City = z.object({ city: z.string() });

const openai = (url) => new OpenAI(
  { baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = (url) => new Anthropic(
  { baseURL: url, apiKey: "none", maxRetries: 0 });

const checks = {
  async "openai chat"() {
    const body = { model, messages: say, temperature: 0, max_tokens: 24 };
    const whole = await openai(text).chat.completions.create(body);
    assert.ok(whole.usage.completion_tokens > 0);
    const stream = await openai(text).chat.completions.create(
      { ...body, stream: true, stream_options: { include_usage: true } });
    let parts = "", usage, ends = 0;
    for await (const chunk of stream) {
      parts += chunk.choices[0]?.delta.content ?? "";
      ends += chunk.choices[0]?.finish_reason ? 1 : 0;
      usage = chunk.usage ?? usage;
    }
    assert.equal(parts, whole.choices[0].message.content);
    assert.equal(ends, 1);
    assert.equal(usage.total_tokens, whole.usage.total_tokens);
  },
  async "openai tools"() {
    const body = { model, messages: [...ask], tools: [weather],
      temperature: 0, seed: 1, max_tokens: 128 };
    const api = openai(tools).chat.completions;
    const first = (await api.create(body)).choices[0];
    assert.equal(first.finish_reason, "tool_calls");
    const [call] = first.message.tool_calls;
    assert.match(JSON.parse(call.function.arguments).city, /^Paris/);
    body.messages.push(first.message,
      { role: "tool", tool_call_id: call.id, content: sky });
    assert.match((await api.create(body)).choices[0].message.content, /18/);
  },
  async "openai tools, streamed and run by the SDK"() {
    let asked;
    const runner = openai(tools).chat.completions.runTools({
      model, messages: [...ask], temperature: 0, seed: 1, max_tokens: 128,
      stream: true, tools: [{ type: "function", function: {
        ...about, parameters, parse: JSON.parse,
        function: ({ city }) => { asked = city; return sky; } } }] });
    assert.match(await runner.finalContent(), /18/);
    assert.match(asked, /^Paris/);
    assert.ok((await runner.totalUsage()).completion_tokens >= 0);
  },
  async "openai structured"() {
    const done = await openai(text).chat.completions.parse({
      model, messages: say, temperature: 0, max_tokens: 200,
      response_format: zodResponseFormat(City, "city") });
    City.parse(done.choices[0].message.parsed);
  },
  async "openai responses"() {
    const body = { model, input: "Name the capital of France.",
      temperature: 0, max_output_tokens: 24 };
    const whole = await openai(text).responses.create(body);
    const stream = openai(text).responses.stream(body);
    let parts = "";
    stream.on("response.output_text.delta", (e) => { parts += e.delta; });
    const final = await stream.finalResponse();
    assert.equal(parts, whole.output_text);
    assert.equal(final.output_text, whole.output_text);
    assert.ok(final.usage.output_tokens > 0);
    const made = await openai(text).responses.parse({ ...body,
      max_output_tokens: 200, text: { format: zodTextFormat(City, "city") } });
    City.parse(made.output_parsed);
  },
  async "openai responses, tools"() {
    const api = openai(tools).responses;
    const body = { model, input: ask, temperature: 0, max_output_tokens: 128,
      tools: [{ type: "function", ...about, parameters, strict: false }] };
    const first = await api.create(body);
    const call = first.output.find((item) => item.type === "function_call");
    assert.match(JSON.parse(call.arguments).city, /^Paris/);
    const second = await api.create({ ...body,
      previous_response_id: first.id, input: [
        { type: "function_call_output", call_id: call.call_id, output: sky }] });
    assert.match(second.output_text, /18/);
  },
  async "openai embeddings and models"() {
    const reply = await openai(text).embeddings.create(
      { model, input: ["a", "b"] });  // as base64
    assert.equal(reply.data.length, 2);
    assert.ok(Math.abs(Math.hypot(...reply.data[0].embedding) - 1) < 1e-3);
    for await (const one of openai(text).models.list()) assert.ok(one.id);
  },
  async "openai errors"() {
    const api = openai(text).chat.completions;
    await assert.rejects(api.create({ model: "no-such", messages: say }),
      (e) => e instanceof OpenAI.NotFoundError && /no-such/.test(e.message));
    await assert.rejects(api.create({ model, messages: say, temperature: 9 }),
      (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");
  },
  async "anthropic messages"() {
    const body = { model, messages: say, max_tokens: 24, temperature: 0 };
    const whole = await anthropic(text).messages.create(body);
    assert.ok(whole.usage.input_tokens > 0);
    const stream = anthropic(text).messages.stream(body);
    let parts = "";
    stream.on("text", (delta) => { parts += delta; });
    const final = await stream.finalMessage();
    assert.equal(parts, whole.content[0].text);
    assert.deepEqual(final.content, whole.content);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
    const { input_tokens } = await anthropic(text).messages.countTokens(
      { model, messages: say });
    assert.ok(input_tokens > 0);
  },
  async "anthropic tools"() {
    for (const streamed of [false, true]) {
      const api = anthropic(tools).messages;
      const body = { model, messages: [...ask], max_tokens: 128,
        temperature: 0, tools: [{ ...about, input_schema: parameters }] };
      const get = () => streamed
        ? api.stream(body).finalMessage() : api.create(body);
      const first = await get();
      assert.equal(first.stop_reason, "tool_use");
      const call = first.content.find((block) => block.type === "tool_use");
      assert.match(call.input.city, /^Paris/);
      body.messages.push({ role: "assistant", content: first.content },
        { role: "user", content: [
          { type: "tool_result", tool_use_id: call.id, content: sky }] });
      const last = await get();
      assert.match(last.content.at(-1).text, /18/);
    }
  },
  async "anthropic structured"() {
    const done = await anthropic(text).messages.parse({
      model, messages: say, max_tokens: 200,
      output_config: { format: zodOutputFormat(City) } });
    City.parse(done.parsed_output);
  },
  async "anthropic errors"() {
    const api = anthropic(text).messages;
    await assert.rejects(
      api.create({ model: "no-such", messages: say, max_tokens: 1 }),
      (e) => e instanceof Anthropic.NotFoundError
        && e.error.error.type === "not_found_error");
    await assert.rejects(
      api.create({ model, messages: say, max_tokens: -1 }),
      Anthropic.BadRequestError);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  let error = null;
  try {
    await check();
  } catch (e) {
    error = String(e.stack ?? e).slice(0, 800);
    failed = 1;
  }
  console.log(JSON.stringify({ name, error }));
}
process.exit(failed);
