// What the model page knows and does: models that can be had, and downloads.
import { signal } from "@preact/signals";
import { call, getJson } from "./api";
import { LineReader, readText } from "./sse";
import { refreshModels } from "./server";

export interface Entry {
  name: string;
  description?: string;
  bytes: number;
  here: boolean;
  removable: boolean;
  served: boolean;
}
export interface Library {
  memory_limit_bytes: number | null;
  data: Entry[];
}

export interface Pull {
  name: string;
  status: string;
  done: number;
  total: number;
  error: string;
  over: boolean;
  abort: AbortController;
}

// What GET /v1/recipe tells of one model.
export interface Expected {
  model: string;
  decode_tps: number;
  ttft_ms: number;
  prompt_tokens: number;
  comfortable: boolean;
  longest_context: number;
  why: string;
}
export interface Recipe {
  context: number;
  smart: Expected | null;
  fast: Expected | null;
  models: Expected[];
}

export const recipe = signal<Recipe | null>(null);
export const library = signal<Library | null>(null);
export const pulls = signal<Pull[]>([]);
export const working = signal<Record<string, string>>({}); // model -> what is done
export const complaint = signal("");

export async function refresh(): Promise<void> {
  try {
    await refreshModels();
    library.value = await getJson<Library>("/v1/library");
  } catch (error) {
    complaint.value = (error as Error).message;
  }
}

// Once: a machine does not change. Without it the page lacks nothing else.
export async function refreshRecipe(): Promise<void> {
  if (recipe.value) return;
  recipe.value = await getJson<Recipe>("/v1/recipe").catch(() => null);
}

// How fast a model would be here; "" where nobody can tell.
export function speed(name: string, known: Recipe | null): string {
  const one = known?.models.find((each) => each.model === name);
  if (!one) return "";
  const tps = one.decode_tps < 10 ? one.decode_tps.toFixed(1) : one.decode_tps.toFixed(0);
  return `about ${tps} tok/s`;
}

export async function pull(name: string): Promise<void> {
  if (pulls.value.some((each) => each.name === name && !each.over)) return;
  const one: Pull = {
    name,
    status: "asking",
    done: 0,
    total: 0,
    error: "",
    over: false,
    abort: new AbortController(),
  };
  const show = (what: Partial<Pull>) => {
    Object.assign(one, what);
    pulls.value = [...pulls.value];
  };
  pulls.value = [...pulls.value.filter((each) => each.name !== name), one];
  const reader = new LineReader((line) => {
    const said = JSON.parse(line) as {
      status?: string;
      completed?: number;
      total?: number;
      error?: string;
    };
    show({
      status: said.status ?? one.status,
      done: said.completed ?? one.done,
      total: said.total ?? one.total,
      error: said.error ?? one.error,
    });
  });
  try {
    const reply = await call("POST", "/api/pull", { model: name }, { signal: one.abort.signal });
    await readText(reply.body!, (text) => reader.feed(text));
    reader.end();
    if (one.status !== "success" && !one.error) show({ error: "The connection was lost. What has come is kept." });
  } catch (error) {
    show({ error: one.abort.signal.aborted ? "Stopped. What has come is kept." : (error as Error).message });
  }
  show({ over: true });
  await refresh();
}

async function doing(name: string, what: string, work: () => Promise<unknown>): Promise<void> {
  complaint.value = "";
  working.value = { ...working.value, [name]: what };
  try {
    await work();
  } catch (error) {
    complaint.value = `${name}: ${(error as Error).message}`;
  }
  const { [name]: _, ...rest } = working.value;
  working.value = rest;
  await refresh();
}

export const load = (name: string, pin?: boolean) =>
  doing(name, "loading", () =>
    call("POST", "/v1/models/load", { model: name, ...(pin === undefined ? {} : { pin }) }),
  );
export const unload = (name: string) =>
  doing(name, "unloading", () => call("POST", "/v1/models/unload", { model: name }));
export const remove = (name: string) =>
  doing(name, "deleting", () => call("DELETE", "/api/delete", { model: name }));

// How a model of so many bytes of weights stands to the memory here.
export function fit(size: number, limit: number | null): { words: string; level: "good" | "tight" | "bad" } | null {
  if (!limit) return null;
  const part = size / limit;
  if (part > 1) return { words: "does not fit", level: "bad" };
  if (part > 0.8) return { words: "fits with a short context", level: "tight" };
  return { words: "fits", level: "good" };
}
