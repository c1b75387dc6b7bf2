// What the chat page shows, as signals; every change goes to the database, too.
import { batch, computed, signal, type Signal } from "@preact/signals";
import * as db from "./db";
import { Tree } from "./tree";
import { NO_SETTINGS, type Conversation, type Message, type Settings } from "./types";

export const conversations = signal<Conversation[]>([]);
export const current = signal<Conversation | null>(null);
export const loading = signal(false);
export const problem = signal(""); // of the database
let tree = new Tree<Message>();

// Grows when messages come, go or change places; text has signals of its own.
const version = signal(0);
export const path = computed<Message[]>(() => {
  version.value;
  return current.value ? tree.path(current.value.leaf) : [];
});

// A component that shows a message listens to the message's own number here:
// messages are changed in place.
const touched = new Map<string, Signal<number>>();
const keyOf = (m: { conv: string; n: number }) => `${m.conv}/${m.n}`;
export function listen(message: Message): number {
  const key = keyOf(message);
  let found = touched.get(key);
  if (!found) touched.set(key, (found = signal(0)));
  return found.value;
}
export function touch(message: Message): void {
  const found = touched.get(keyOf(message));
  if (found) found.value = found.peek() + 1;
}

export const now = () => Date.now() / 1000;

function keep(work: Promise<void>): void {
  work.catch((error: Error) => {
    problem.value = `The browser does not keep this conversation: ${error.message}`;
  });
}

export async function start(): Promise<void> {
  try {
    conversations.value = await db.listConversations();
  } catch (error) {
    problem.value = `This browser keeps no conversations: ${(error as Error).message}`;
  }
}

let opening = 0;
export async function openConversation(id: string): Promise<void> {
  const found = conversations.value.find((each) => each.id === id);
  if (!found || current.value?.id === id) return;
  const turn = ++opening;
  const read = new Tree<Message>();
  loading.value = true;
  await db.readMessages(id, (some) => {
    for (const message of some) {
      // The page went away while it was written.
      if (message.state === "writing") message.state = "broken";
      read.add(writing.get(keyOf(message)) ?? message);
    }
  });
  if (turn !== opening) return;
  batch(() => {
    tree = read;
    touched.clear();
    current.value = found;
    loading.value = false;
    version.value++;
  });
}

export function closeConversation(): void {
  opening++;
  batch(() => {
    tree = new Tree();
    touched.clear();
    current.value = null;
    loading.value = false;
    version.value++;
  });
}

export function newConversation(title: string, model: string, settings: Settings): Conversation {
  const made: Conversation = {
    id: crypto.randomUUID?.() ?? `c${Date.now()}${Math.random().toString(36).slice(2)}`,
    title,
    created: now(),
    updated: now(),
    next: 0,
    leaf: -1,
    model,
    settings: { ...NO_SETTINGS, ...settings },
  };
  batch(() => {
    opening++;
    tree = new Tree();
    touched.clear();
    current.value = made;
    loading.value = false;
    conversations.value = [made, ...conversations.value];
    version.value++;
  });
  keep(db.putConversation(made));
  return made;
}

export function change(conversation: Conversation, what: Partial<Conversation>): void {
  Object.assign(conversation, what);
  conversations.value = [...conversations.value].sort((a, b) => b.updated - a.updated);
  if (current.value?.id === conversation.id) version.value++;
  keep(db.putConversation(conversation));
}

export async function removeConversation(id: string): Promise<void> {
  conversations.value = conversations.value.filter((each) => each.id !== id);
  if (current.value?.id === id) closeConversation();
  await db.deleteConversation(id);
}

// Adds a message below `parent` and shows it.
export function addMessage(
  conversation: Conversation,
  parent: number,
  what: Omit<Message, "conv" | "n" | "parent" | "created">,
): Message {
  const message: Message = {
    ...what,
    conv: conversation.id,
    n: conversation.next,
    parent,
    created: now(),
  };
  if (current.value?.id === conversation.id) tree.add(message);
  change(conversation, { next: message.n + 1, leaf: message.n, updated: now() });
  saveMessage(message);
  return message;
}

// Answers under way, also of conversations that are not on show.
export const writing = new Map<string, Message>();
export const busy = signal(0); // changes with it
export function setWriting(message: Message, on: boolean): void {
  if (on) writing.set(keyOf(message), message);
  else writing.delete(keyOf(message));
  busy.value++;
}
export function writingIn(id: string): Message | undefined {
  busy.value;
  for (const message of writing.values()) if (message.conv === id) return message;
  return undefined;
}

export function saveMessage(message: Message): void {
  keep(db.putMessage({ ...message }));
}

export const siblings = (message: Message): number[] => {
  version.value;
  return tree.siblings(message.n);
};

export const isLast = (message: Message): boolean => {
  version.value;
  return current.value?.leaf === message.n;
};

// Shows the branch that goes through `n`.
export function showBranch(n: number): void {
  if (current.value) change(current.value, { leaf: tree.leafBelow(n) });
}

export const pathTo = (n: number) => tree.path(n);
