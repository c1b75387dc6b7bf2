// Where to go: pages, and the conversations of this browser.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { composer } from "../chat/composer";
import * as state from "../chat/state";
import type { Conversation } from "../chat/types";
import { forgetKey, hasKey } from "../api";
import { ago } from "../format";
import { Icon, type IconName } from "../parts/icons";
import { setTheme, theme } from "../parts/theme";
import { version } from "../server";
import { drawer, go, help, page, type Page } from "./where";

const LINKS: { page: Page; icon: IconName; label: string }[] = [
  { page: "chat", icon: "chat", label: "Chat" },
  { page: "dashboard", icon: "dash", label: "Dashboard" },
  { page: "models", icon: "box", label: "Models" },
];
const FIRST = 100;

const wanted = signal("");
const shown = signal(FIRST);

function Row({ conversation }: { conversation: Conversation }) {
  const [mode, setMode] = useState<"" | "rename" | "delete">("");
  const here = page.value === "chat" && state.current.value?.id === conversation.id;
  if (mode === "rename") {
    return (
      <li>
        <form
          class="rename"
          onSubmit={(event) => {
            event.preventDefault();
            const title = new FormData(event.currentTarget).get("title") as string;
            if (title.trim()) state.change(conversation, { title: title.trim() });
            setMode("");
          }}
        >
          <input
            name="title"
            aria-label="New title"
            defaultValue={conversation.title}
            ref={(input) => input?.select()}
            onBlur={() => setMode("")}
            onKeyDown={(event) => event.key === "Escape" && setMode("")}
          />
        </form>
      </li>
    );
  }
  if (mode === "delete") {
    return (
      <li class="sure">
        <span>Delete it?</span>
        <button
          type="button"
          class="danger"
          ref={(button) => button?.focus()}
          onClick={() => void state.removeConversation(conversation.id)}
        >
          Delete
        </button>
        <button type="button" class="quiet" onClick={() => setMode("")}>
          Keep
        </button>
      </li>
    );
  }
  const writing = state.writingIn(conversation.id) !== undefined;
  return (
    <li class={here ? "here" : ""}>
      <button
        type="button"
        class="open"
        aria-current={here ? "page" : undefined}
        onClick={() => {
          go("chat");
          void state.openConversation(conversation.id);
        }}
      >
        <span>{conversation.title}</span>
        <small>{writing ? "writing…" : ago(conversation.updated, state.now())}</small>
      </button>
      <button
        type="button"
        class="quiet square"
        aria-label={`Rename ${conversation.title}`}
        onClick={() => setMode("rename")}
      >
        <Icon name="edit" />
      </button>
      <button
        type="button"
        class="quiet square"
        aria-label={`Delete ${conversation.title}`}
        onClick={() => setMode("delete")}
      >
        <Icon name="trash" />
      </button>
    </li>
  );
}

function Conversations() {
  const all = state.conversations.value;
  const word = wanted.value.trim().toLowerCase();
  const found = word ? all.filter((each) => each.title.toLowerCase().includes(word)) : all;
  return (
    <>
      {all.length > 7 && (
        <input
          class="find"
          type="search"
          aria-label="Find a conversation"
          placeholder="Find"
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
      )}
      <ul class="conversations" aria-label="Conversations">
        {found.slice(0, shown.value).map((each) => (
          <Row key={each.id} conversation={each} />
        ))}
      </ul>
      {found.length > shown.value && (
        <button type="button" class="quiet" onClick={() => (shown.value += FIRST)}>
          {found.length - shown.value} more
        </button>
      )}
    </>
  );
}

function Theme() {
  const next = { auto: "light", light: "dark", dark: "auto" } as const;
  return (
    <button type="button" class="quiet" onClick={() => setTheme(next[theme.value])}>
      <Icon name="sun" /> {{ auto: "Auto", light: "Light", dark: "Dark" }[theme.value]}
      <span class="hidden"> colours; change</span>
    </button>
  );
}

export function Sidebar() {
  return (
    <aside class="side" aria-label="Menu">
      <div class="brand">
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
          <path d="M8 20.5c3.2 0 3.2-9 6.4-9s3.2 9 6.4 9 3.2-5 3.2-5" />
        </svg>
        <b>rapid-mlx</b>
        <small>{version.value}</small>
      </div>
      <nav aria-label="Pages">
        {LINKS.map((link) => (
          <a
            key={link.page}
            href={`#/${link.page}`}
            aria-current={page.value === link.page ? "page" : undefined}
            onClick={(event) => {
              event.preventDefault();
              go(link.page);
            }}
          >
            <Icon name={link.icon} /> {link.label}
          </a>
        ))}
      </nav>
      <button
        type="button"
        class="new"
        onClick={() => {
          state.closeConversation();
          go("chat");
          drawer.value = false;
          composer.focus();
        }}
      >
        <Icon name="plus" /> New chat
      </button>
      <Conversations />
      <div class="low">
        <Theme />
        <button type="button" class="quiet" onClick={() => (help.value = true)}>
          <Icon name="keys" /> Keys
        </button>
        {hasKey() && (
          <button
            type="button"
            class="quiet"
            onClick={() => {
              forgetKey();
              location.reload();
            }}
          >
            <Icon name="key" /> Forget key
          </button>
        )}
      </div>
    </aside>
  );
}
