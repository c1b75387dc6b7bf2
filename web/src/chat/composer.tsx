// Where the next message is typed. What stands here survives a reload.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { count } from "../format";
import { Icon } from "../parts/icons";
import { model } from "../server";
import { send, stop } from "./send";
import * as state from "./state";
import { NO_SETTINGS, type Settings, type TextFile } from "./types";

const MOST = 2_000_000; // characters of a file

const draftKey = () => `rapid-mlx.draft.${state.current.value?.id ?? "new"}`;
const draft = signal("");
const files = signal<TextFile[]>([]);
const complaint = signal("");
export const sent = signal(0); // grows with each message

// Of the next conversation, until it begins.
export const nextSettings = signal<Settings>(NO_SETTINGS);

export async function addFiles(list: Iterable<File>): Promise<void> {
  complaint.value = "";
  // A copy: the list empties with its field.
  for (const file of [...list]) {
    const text = file.size > MOST * 4 ? "" : await file.text();
    if (!text || text.length > MOST || text.includes("\0")) {
      complaint.value = `${file.name} is ${text.includes("\0") ? "not text" : text ? "too long" : "empty or too long"}.`;
      continue;
    }
    files.value = [...files.value, { name: file.name, text }];
  }
}

function remember(text: string): void {
  draft.value = text;
  try {
    if (text) localStorage.setItem(draftKey(), text);
    else localStorage.removeItem(draftKey());
  } catch {
    // no room: the text stays on the page
  }
}

export const composer = { focus: () => {} };

function Files() {
  if (files.value.length === 0) return null;
  return (
    <ul class="chips" aria-label="Files to send">
      {files.value.map((file, i) => (
        <li key={i}>
          {file.name} <small>{count(file.text.length)}</small>
          <button
            type="button"
            class="quiet square"
            aria-label={`Leave out ${file.name}`}
            onClick={() => (files.value = files.value.filter((each) => each !== file))}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}

export function Composer({ openSettings }: { openSettings: () => void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const id = state.current.value?.id ?? "new";
  const writing = state.writingIn(id) !== undefined;

  useLayoutEffect(() => {
    draft.value = localStorage.getItem(draftKey()) ?? "";
    composer.focus = () => area.current?.focus();
  }, [id]);
  useEffect(() => {
    const at = area.current;
    if (!at) return;
    at.style.height = "auto";
    at.style.height = `${Math.min(at.scrollHeight + 2, window.innerHeight * 0.4)}px`;
  }, [draft.value]);

  const go = () => {
    const text = draft.value;
    if ((!text.trim() && files.value.length === 0) || writing) return;
    const with_ = files.value;
    remember("");
    files.value = [];
    const chosen = state.current.value?.settings ?? nextSettings.value;
    send({ text, files: with_ }, model.value, chosen);
    sent.value++;
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        go();
      }}
    >
      <Files />
      {complaint.value && (
        <p class="complaint" role="alert">
          {complaint.value}
        </p>
      )}
      <textarea
        ref={area}
        rows={1}
        value={draft.value}
        placeholder="Write a message"
        aria-label="Your message"
        onInput={(event) => remember(event.currentTarget.value)}
        onPaste={(event) => {
          const pasted = event.clipboardData?.files;
          if (pasted?.length) {
            event.preventDefault();
            void addFiles(pasted);
          }
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            go();
          }
        }}
      />
      <div class="row">
        <button type="button" class="quiet" title="Attach text files" onClick={() => picker.current!.click()}>
          <Icon name="clip" /> <span>Attach</span>
        </button>
        <input
          ref={picker}
          type="file"
          multiple
          class="hidden"
          tabIndex={-1}
          aria-label="Text files"
          onChange={(event) => {
            void addFiles(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
        <button type="button" class="quiet" onClick={openSettings}>
          <Icon name="tune" /> <span>Settings</span>
        </button>
        <span class="gap" />
        {writing ? (
          <button type="button" class="main round" aria-label="Stop" onClick={() => stop(id)}>
            <Icon name="stop" />
          </button>
        ) : (
          <button
            type="submit"
            class="main round"
            aria-label="Send"
            disabled={!draft.value.trim() && files.value.length === 0}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}
