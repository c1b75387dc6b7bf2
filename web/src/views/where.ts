// Which page is shown; the address says it, so that Back works.
import { effect, signal } from "@preact/signals";
import * as state from "../chat/state";

export type Page = "chat" | "dashboard" | "models";
export const page = signal<Page>("chat");
export const drawer = signal(false); // the menu on narrow screens
export const help = signal(false);

let reading = false;

export function readAddress(): void {
  const [name, id] = location.hash.replace(/^#\/?/, "").split("/");
  reading = true;
  page.value = name === "dashboard" || name === "models" ? name : "chat";
  if (page.value === "chat" && id) void state.openConversation(id);
  else if (page.value === "chat") state.closeConversation();
  reading = false;
}

export function go(to: Page): void {
  drawer.value = false;
  page.value = to;
}

// Until the conversations are read, the address is not ours to change.
const started = signal(false);

export function start(): void {
  readAddress();
  started.value = true;
}

effect(() => {
  const shown = page.value;
  const id = state.current.value?.id;
  if (!started.value || state.loading.value || reading) return;
  const wanted = shown === "chat" && id ? `#/chat/${id}` : `#/${shown}`;
  if (location.hash === wanted || (wanted === "#/chat" && location.hash === "")) return;
  history.pushState(null, "", wanted);
});
