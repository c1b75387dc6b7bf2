// Conversations in the browser's own database. Messages are read in small
// steps, so that a long history does not hold the page up.
import type { Conversation, Message } from "./types";

const STEP = 250;
let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("rapid-mlx", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("messages", { keyPath: ["conv", "n"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function store(name: string, mode: IDBTransactionMode) {
  return (await open()).transaction(name, mode).objectStore(name);
}

export async function listConversations(): Promise<Conversation[]> {
  const all = await settled<Conversation[]>((await store("conversations", "readonly")).getAll());
  return all.sort((a, b) => b.updated - a.updated);
}

export async function putConversation(conversation: Conversation): Promise<void> {
  await settled((await store("conversations", "readwrite")).put(conversation));
}

export async function putMessage(message: Message): Promise<void> {
  await settled((await store("messages", "readwrite")).put(message));
}

// Calls `take` with a few hundred at a time, in the order they were made.
export async function readMessages(
  conv: string,
  take: (messages: Message[]) => void,
): Promise<void> {
  let from = -1;
  for (;;) {
    const range = IDBKeyRange.bound([conv, from], [conv, Infinity], true);
    const some = await settled<Message[]>(
      (await store("messages", "readonly")).getAll(range, STEP),
    );
    take(some);
    if (some.length < STEP) return;
    from = some[some.length - 1]!.n;
  }
}

export async function deleteConversation(id: string): Promise<void> {
  await settled((await store("conversations", "readwrite")).delete(id));
  const range = IDBKeyRange.bound([id, -1], [id, Infinity]);
  await settled((await store("messages", "readwrite")).delete(range));
}
