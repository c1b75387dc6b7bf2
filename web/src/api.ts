// Requests to the server that this page came from. A 401 asks for the API key
// and goes on with it; nothing that was typed is lost meanwhile.
import { signal } from "@preact/signals";

const KEY = "rapid-mlx.key";

const read = (store: Storage) => {
  try {
    return store.getItem(KEY) ?? "";
  } catch {
    return ""; // storage is off
  }
};

let key = read(sessionStorage) || read(localStorage);

// Someone waits for a key; `wrong`: there was one already.
export const keyWanted = signal<{ wrong: boolean } | null>(null);
let waiting: ((given: boolean) => void)[] = [];

export function giveKey(given: string, keep: boolean): void {
  key = given;
  sessionStorage.setItem(KEY, given);
  if (keep) localStorage.setItem(KEY, given);
  else localStorage.removeItem(KEY);
  answer(true);
}
export function refuseKey(): void {
  answer(false);
}
export function forgetKey(): void {
  key = "";
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}
export const hasKey = () => key !== "";

function answer(given: boolean): void {
  keyWanted.value = null;
  const all = waiting;
  waiting = [];
  for (const each of all) each(given);
}

function askForKey(used: string): Promise<boolean> {
  if (used !== key) return Promise.resolve(true); // it came meanwhile
  keyWanted.value ??= { wrong: used !== "" };
  return new Promise((resolve) => waiting.push(resolve));
}

// status 0: the server could not be reached.
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

// Quiet requests (of a poll) are not worth a dialog.
export async function call(
  method: string,
  path: string,
  body?: unknown,
  options: { signal?: AbortSignal; quiet?: boolean } = {},
): Promise<Response> {
  for (;;) {
    const used = key;
    let reply: Response;
    try {
      reply = await fetch(path, {
        method,
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(used ? { authorization: `Bearer ${used}` } : {}),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: options.signal ?? null,
      });
    } catch (error) {
      if ((error as Error).name === "AbortError") throw error;
      throw new ApiError("The server cannot be reached.", 0);
    }
    if (reply.ok) return reply;
    if (reply.status === 401 && !options.quiet && (await askForKey(used))) continue;
    throw new ApiError(await reason(reply), reply.status);
  }
}

async function reason(reply: Response): Promise<string> {
  try {
    const body = (await reply.json()) as { error?: string | { message?: string } };
    const said = typeof body.error === "string" ? body.error : body.error?.message;
    if (said) return said[0]!.toUpperCase() + said.slice(1);
  } catch {
    // no JSON: the status has to do
  }
  return `The server answered ${reply.status} ${reply.statusText}.`;
}

export async function getJson<T>(path: string, quiet = false): Promise<T> {
  return (await (await call("GET", path, undefined, { quiet })).json()) as T;
}
export async function getText(path: string, quiet = false): Promise<string> {
  return (await call("GET", path, undefined, { quiet })).text();
}
export const postJson = (path: string, body: unknown) => call("POST", path, body);
