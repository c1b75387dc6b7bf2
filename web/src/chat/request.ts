// The body of a chat request out of a conversation, and an answer out of the
// chunks of its stream. Pure.
import type { Call, Message, Settings, Stats, TextFile } from "./types";

type Json = Record<string, unknown>;

export function withFiles(text: string, files: TextFile[] = []): string {
  const parts = files.map((file) => {
    const longest = Math.max(2, ...(file.text.match(/`+/g) ?? []).map((t) => t.length));
    const fence = "`".repeat(longest + 1);
    return `${file.name}:\n${fence}\n${file.text}\n${fence}`;
  });
  return [...parts, text].filter((part) => part !== "").join("\n\n");
}

function wire(message: Message): Json {
  if (message.role === "tool") {
    return { role: "tool", tool_call_id: message.callId, content: message.text };
  }
  if (message.role === "user") {
    return { role: "user", content: withFiles(message.text, message.files) };
  }
  const out: Json = { role: "assistant", content: message.text };
  if (message.reasoning) out.reasoning_content = message.reasoning;
  if (message.calls?.length) {
    out.tool_calls = message.calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.arguments },
    }));
  }
  return out;
}

// An answer that never came to anything is left out.
function says(message: Message): boolean {
  return message.role !== "assistant" || message.text !== "" || !!message.calls?.length;
}

export class SettingError extends Error {}

function number(settings: Settings, key: keyof Settings, name: string): number | undefined {
  const text = settings[key].trim();
  if (text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) {
    throw new SettingError(`${name} is not a number: "${text}"`);
  }
  return value;
}

export function parseTools(text: string): unknown[] | undefined {
  if (text.trim() === "") return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SettingError(`The tools are not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(parsed)) throw new SettingError("The tools are a JSON list.");
  return parsed;
}

export function requestBody(
  model: string,
  path: Message[],
  settings: Settings,
  lane: string,
): Json {
  const messages: Json[] = path.filter(says).map(wire);
  if (settings.system.trim()) {
    messages.unshift({ role: "system", content: settings.system });
  }
  const body: Json = {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    prompt_cache_key: lane,
    temperature: number(settings, "temperature", "Temperature"),
    top_p: number(settings, "topP", "Top-p"),
    top_k: number(settings, "topK", "Top-k"),
    min_p: number(settings, "minP", "Min-p"),
    repetition_penalty: number(settings, "repetition", "Repetition penalty"),
    max_tokens: number(settings, "maxTokens", "Most tokens"),
    seed: number(settings, "seed", "Seed"),
    reasoning_effort: settings.effort || undefined,
    tools: parseTools(settings.tools),
  };
  // Without what was not chosen; a copy of a long history would take its time.
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

interface Chunk {
  error?: { message?: string };
  choices?: {
    delta?: {
      content?: string | null;
      reasoning_content?: string | null;
      tool_calls?: {
        index: number;
        id?: string;
        function?: { name?: string; arguments?: string };
      }[];
    };
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
    completion_tokens_details?: { reasoning_tokens?: number };
  } | null;
  rapid_mlx?: { timings?: { prefill_seconds: number; decode_seconds: number } };
}

// What a stream has said so far. `now` in seconds, of any clock.
export class Answer {
  text = "";
  reasoning = "";
  calls: Call[] = [];
  finish = "";
  error = "";
  done = false; // [DONE] has come
  stats: Stats | undefined;
  private first = 0;
  private answered = 0;

  constructor(private began: number) {}

  take(data: string, now: number): void {
    if (data === "[DONE]") {
      this.done = true;
      return;
    }
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) {
      this.error = chunk.error.message ?? "the server failed";
      return;
    }
    const choice = chunk.choices?.[0];
    const delta = choice?.delta;
    if (delta?.reasoning_content) this.reasoning += delta.reasoning_content;
    if (delta?.content) this.text += delta.content;
    for (const part of delta?.tool_calls ?? []) {
      const call = (this.calls[part.index] ??= { id: "", name: "", arguments: "" });
      call.id ||= part.id ?? "";
      call.name += part.function?.name ?? "";
      call.arguments += part.function?.arguments ?? "";
    }
    if (delta && (this.reasoning || this.text || this.calls.length)) {
      this.first ||= now;
      if (this.text || this.calls.length) this.answered ||= now;
    }
    if (choice?.finish_reason) this.finish = choice.finish_reason;
    if (chunk.usage) this.count(chunk, now);
  }

  // Seconds of reasoning, once there is some.
  thought(now: number): number | undefined {
    return this.reasoning ? (this.answered || now) - this.first : undefined;
  }

  private count(chunk: Chunk, now: number): void {
    const usage = chunk.usage!;
    this.stats = {
      prompt: usage.prompt_tokens,
      cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
      completion: usage.completion_tokens,
      reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
      ttft: (this.first || now) - this.began,
      decode:
        chunk.rapid_mlx?.timings?.decode_seconds || now - (this.first || now),
    };
  }
}

export const CONTINUE =
  "Your answer was cut off. Go on exactly where it stops, without a word of what is there already.";

export function titleOf(text: string): string {
  const line = text.trim().split("\n")[0]!.replace(/[#*_`>]+/g, "").trim();
  return line.length > 60 ? `${line.slice(0, 57)}…` : line || "New chat";
}
