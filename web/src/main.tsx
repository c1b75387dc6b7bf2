// The page as a whole: navigation, what is shown, and what every page shares.
import { signal } from "@preact/signals";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { keyWanted } from "./api";
import { composer } from "./chat/composer";
import { stop } from "./chat/send";
import * as state from "./chat/state";
import { KeyDialog } from "./parts/key";
import { HelpDialog } from "./parts/help";
import { Icon } from "./parts/icons";
import { lookNow, health, trouble, watch } from "./server";
import { ChatPage } from "./views/chat";
import { DashboardPage } from "./views/dashboard";
import { ModelsPage } from "./views/models";
import { Sidebar } from "./views/sidebar";
import { drawer, go, help, page, readAddress, start, type Page } from "./views/where";

const PAGES: Record<Page, () => preact.JSX.Element> = {
  chat: ChatPage,
  dashboard: DashboardPage,
  models: ModelsPage,
};

const dismissed = signal("");

function Banner() {
  const words = {
    ok: "",
    loading: "The model is being loaded. Questions wait for it.",
    away: "The server is away. Trying again; nothing that you typed is lost.",
    trouble: `The server has trouble${trouble.value ? `: ${trouble.value}` : "."}`,
  }[health.value];
  if (!words) return null;
  return (
    <div class={`banner ${health.value}`} role="status">
      <span>{words}</span>
      {health.value === "away" && (
        <button type="button" onClick={() => void lookNow()}>
          Try now
        </button>
      )}
    </div>
  );
}

function Problem() {
  const words = state.problem.value;
  if (!words || words === dismissed.value) return null;
  return (
    <div class="banner trouble" role="alert">
      <span>{words}</span>
      <button type="button" onClick={() => (dismissed.value = words)}>
        Dismiss
      </button>
    </div>
  );
}

function onKey(event: KeyboardEvent): void {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test((event.target as Element).tagName);
  const modal = document.querySelector("dialog[open]") !== null;
  if (modal) return;
  if (event.key === "Escape" && state.current.value) {
    if (drawer.value) drawer.value = false;
    else stop(state.current.value.id);
  } else if (event.altKey && !event.ctrlKey && !event.metaKey) {
    const run: Record<string, () => void> = {
      KeyN: () => {
        state.closeConversation();
        go("chat");
        composer.focus();
      },
      Digit1: () => go("chat"),
      Digit2: () => go("dashboard"),
      Digit3: () => go("models"),
      KeyI: () => composer.focus(),
    };
    const found = run[event.code];
    if (found) {
      event.preventDefault();
      found();
    }
  } else if (!typing && event.key === "/") {
    event.preventDefault();
    composer.focus();
  } else if (!typing && event.key === "?") {
    help.value = true;
  }
}

function App() {
  useEffect(() => {
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", readAddress);
    return () => {
      document.removeEventListener("keydown", onKey);
      window.removeEventListener("hashchange", readAddress);
    };
  }, []);
  const Shown = PAGES[page.value];
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.querySelector("main")?.querySelector<HTMLElement>("textarea, button, select")?.focus();
      }}>
        To the content
      </a>
      <div class={`shell ${drawer.value ? "drawer" : ""}`}>
        <button
          type="button"
          class="quiet square opener"
          aria-label="Menu"
          aria-expanded={drawer.value}
          onClick={() => (drawer.value = !drawer.value)}
        >
          <Icon name="menu" />
        </button>
        <Sidebar />
        <div class="veil" onClick={() => (drawer.value = false)} />
        <div class="stage">
          <Banner />
          <Problem />
          <Shown />
        </div>
      </div>
      {keyWanted.value && <KeyDialog wrong={keyWanted.value.wrong} />}
      {help.value && <HelpDialog />}
    </>
  );
}

readAddress();
void state.start().then(start);
render(<App />, document.getElementById("app")!);
void watch();
