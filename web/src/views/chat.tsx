// The chat page: the messages and where the next one is typed.
import { useEffect, useState } from "preact/hooks";
import { addFiles, Composer, sent } from "../chat/composer";
import { MessageView } from "../chat/message";
import { SettingsDialog } from "../chat/settings";
import * as state from "../chat/state";
import type { Message } from "../chat/types";
import { VirtualList } from "../parts/virtual";
import { choose, health, model, models } from "../server";

const LINE = 26; // pixels

// Near enough to the height that the scroll bar does not jump much.
function guess(message: Message): number {
  if (message.role === "user") return 80 + Math.ceil(message.text.length / 70) * LINE;
  return 90 + Math.ceil(message.text.length / 85) * LINE;
}

function ModelPicker() {
  const all = models.value;
  return (
    <label class="picker">
      <span class="hidden">Model</span>
      <select value={model.value} onChange={(event) => choose(event.currentTarget.value)}>
        {all.length === 0 && <option value="default">the model here</option>}
        {all.map((each) => (
          <option key={each.id} value={each.id}>
            {each.id}
            {each.state === "loaded" ? "" : ` (${each.state === "evicted" ? "not in memory" : each.state})`}
          </option>
        ))}
      </select>
    </label>
  );
}

function Welcome() {
  const one = models.value.find((each) => each.id === model.value);
  return (
    <div class="welcome">
      <h1>What is on your mind?</h1>
      <p>
        {health.value === "loading"
          ? "The model is being loaded. You can write already."
          : one
            ? `${one.id} answers on this machine. Nothing leaves it.`
            : "Answers are made on this machine. Nothing leaves it."}
      </p>
    </div>
  );
}

export function ChatPage() {
  const [settings, setSettings] = useState(false);
  const [dragging, setDragging] = useState(false);
  const path = state.path.value;
  const conversation = state.current.value;
  useEffect(() => {
    document.title = conversation ? `${conversation.title} – rapid-mlx` : "rapid-mlx";
  }, [conversation?.title]);
  return (
    <main
      class={`chat ${dragging ? "dragging" : ""}`}
      aria-label="Chat"
      onDragOver={(event) => {
        event.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={(event) => {
        event.preventDefault();
        setDragging(false);
        void addFiles(event.dataTransfer?.files ?? []);
      }}
    >
      <div class="head">
        <ModelPicker />
        {conversation && <h1 class="title">{conversation.title}</h1>}
      </div>
      {path.length > 0 ? (
        <VirtualList
          id={conversation!.id}
          pull={sent.value}
          items={path}
          keyOf={(message) => String(message.n)}
          guess={guess}
          render={(message) => <MessageView message={message} />}
          label="Messages"
        />
      ) : (
        <div class="scroller empty">{state.loading.value ? <p class="waiting">Reading…</p> : <Welcome />}</div>
      )}
      <div class="foot">
        <Composer openSettings={() => setSettings(true)} />
      </div>
      <Announcer />
      {settings && <SettingsDialog close={() => setSettings(false)} />}
    </main>
  );
}

// Tells screen readers when an answer begins and ends, not each of its words.
function Announcer() {
  const writing = state.current.value ? state.writingIn(state.current.value.id) : undefined;
  const [words, setWords] = useState("");
  useEffect(() => {
    if (writing) setWords("The answer is being written");
    else if (words) setWords("The answer is there");
  }, [writing !== undefined]);
  return (
    <p class="hidden" role="status">
      {words}
    </p>
  );
}
