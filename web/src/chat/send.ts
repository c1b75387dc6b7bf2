// Asking: sends a conversation and writes what comes into a message, which is
// kept as it grows. A lost connection leaves what has come.
import { ApiError, call } from "../api";
import { readText, SseReader } from "../sse";
import { Answer, CONTINUE, requestBody, SettingError, titleOf } from "./request";
import * as state from "./state";
import type { Conversation, Message, Settings, TextFile } from "./types";

const SAVE_EVERY = 500; // ms
const running = new Map<string, AbortController>();
const keyOf = (m: Message) => `${m.conv}/${m.n}`;
const clock = () => performance.now() / 1000;

export function stop(conversation: string): void {
  for (const [key, abort] of running) {
    if (key.startsWith(`${conversation}/`)) abort.abort();
  }
}

export interface Draft {
  text: string;
  files: TextFile[];
}

// Text for the model, below the message on show.
export function send(draft: Draft, model: string, settings: Settings): Conversation {
  const conversation =
    state.current.value ??
    state.newConversation(titleOf(draft.text || draft.files[0]?.name || ""), model, settings);
  ask(conversation, conversation.leaf, draft, model);
  return conversation;
}

function ask(conversation: Conversation, parent: number, draft: Draft, model: string): void {
  const asked = state.addMessage(conversation, parent, {
    role: "user",
    text: draft.text,
    ...(draft.files.length ? { files: draft.files } : {}),
    state: "done",
  });
  reply(conversation, asked.n, model);
}

// The same question in other words: a branch beside it.
export function editAndResend(
  conversation: Conversation,
  message: Message,
  draft: Draft,
  model: string,
): void {
  stop(conversation.id);
  ask(conversation, message.parent, draft, model);
}

// Another answer beside `message`.
export function retry(conversation: Conversation, message: Message, model: string): void {
  stop(conversation.id);
  reply(conversation, message.parent, model);
}

// Results of the calls of `message`, then the model goes on.
export function answerCalls(
  conversation: Conversation,
  message: Message,
  results: string[],
  model: string,
): void {
  let parent = message.n;
  message.calls!.forEach((each, i) => {
    const result = state.addMessage(conversation, parent, {
      role: "tool",
      callId: each.id,
      text: results[i] ?? "",
      state: "done",
    });
    parent = result.n;
  });
  reply(conversation, parent, model);
}

function reply(conversation: Conversation, parent: number, model: string): void {
  const history = state.pathTo(parent);
  const message = state.addMessage(conversation, parent, {
    role: "assistant",
    text: "",
    state: "writing",
    model,
  });
  void write(conversation, message, history, model, false);
}

// Lets a cut answer go on in its own message.
export function goOn(conversation: Conversation, message: Message, model: string): void {
  stop(conversation.id);
  const history = state.pathTo(message.n).map((each) => ({ ...each }));
  history.push({ ...message, role: "user", text: CONTINUE, n: -2 });
  message.state = "writing";
  delete message.error;
  state.touch(message);
  void write(conversation, message, history, model, true);
}

async function write(
  conversation: Conversation,
  message: Message,
  history: Message[],
  model: string,
  more: boolean,
): Promise<void> {
  const abort = new AbortController();
  const before = more ? message.text : "";
  running.set(keyOf(message), abort);
  state.setWriting(message, true);
  const answer = new Answer(clock());
  let saved = performance.now();
  const show = () => {
    message.text = before + answer.text;
    if (answer.reasoning && !more) {
      message.reasoning = answer.reasoning;
      message.thought = answer.thought(clock()) ?? 0;
    }
    if (answer.calls.length) message.calls = [...answer.calls];
    state.touch(message);
    if (performance.now() - saved > SAVE_EVERY) {
      saved = performance.now();
      state.saveMessage(message);
    }
  };
  try {
    const body = requestBody(model, history, conversation.settings, conversation.id);
    const response = await call("POST", "/v1/chat/completions", body, { signal: abort.signal });
    const reader = new SseReader((data) => answer.take(data, clock()));
    await readText(response.body!, (text) => {
      reader.feed(text);
      show();
    });
    show();
    finish(message, answer);
  } catch (error) {
    fail(message, error as Error, abort.signal.aborted);
  }
  running.delete(keyOf(message));
  state.setWriting(message, false);
  state.touch(message);
  state.saveMessage(message);
  state.change(conversation, { updated: state.now() });
}

function finish(message: Message, answer: Answer): void {
  if (answer.error) {
    message.state = "failed";
    message.error = answer.error;
  } else if (!answer.done) {
    message.state = "broken"; // the stream ended without its end
  } else {
    message.state = "done";
    message.finish = answer.finish;
    if (answer.stats) message.stats = answer.stats;
  }
}

function fail(message: Message, error: Error, stopped: boolean): void {
  if (stopped) {
    message.state = "stopped";
  } else if (error instanceof ApiError && error.status > 0) {
    message.state = "failed";
    message.error = error.message;
  } else if (error instanceof SettingError) {
    message.state = "failed";
    message.error = error.message;
  } else {
    message.state = "broken";
    message.error = error instanceof ApiError ? error.message : "The connection was lost.";
  }
}
