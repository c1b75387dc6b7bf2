// What the page knows of the server: whether it is there, and its models.
import { computed, signal } from "@preact/signals";
import { getJson } from "./api";

export interface Model {
  id: string;
  state: "loaded" | "loading" | "evicted" | "failed";
  pinned: boolean;
  ttl_seconds: number;
  open_requests: number;
  idle_seconds: number;
  loads: number;
  memory_bytes: number;
  resident_bytes: number;
  progress?: string;
  reason?: string;
  context_length?: number;
  model_context_length?: number;
  architecture?: string;
  parameters?: number;
  weight_bytes?: number;
  device?: string;
  capabilities?: string[];
  reasoning_parser?: string | null;
}

export const models = signal<Model[]>([]);
export const chosen = signal(localStorage.getItem("rapid-mlx.model") ?? "");
export const model = computed(() => {
  const all = models.value;
  return (all.find((each) => each.id === chosen.value) ?? all[0])?.id ?? "default";
});
export function choose(id: string): void {
  chosen.value = id;
  localStorage.setItem("rapid-mlx.model", id);
}

// away: nobody answers; loading: its first model is on its way.
export const health = signal<"ok" | "loading" | "away" | "trouble">("ok");
export const trouble = signal("");
export const version = signal("");

export async function refreshModels(): Promise<void> {
  const list = await getJson<{ data: Model[] }>("/v1/models");
  models.value = list.data;
}

async function look(): Promise<void> {
  const before = health.peek();
  try {
    const reply = await fetch("/health");
    const body = (await reply.json()) as { status?: string; version?: string; reason?: string };
    version.value = body.version ?? "";
    trouble.value = body.reason ?? "";
    health.value = body.status === "ok" ? "ok" : body.status === "loading" ? "loading" : "trouble";
  } catch {
    health.value = "away";
  }
  const back = health.peek() === "ok" && (before !== "ok" || models.peek().length === 0);
  if (back) await refreshModels().catch(() => {});
}

// Looks often while the server is away, seldom while all is well.
export async function watch(): Promise<void> {
  for (;;) {
    if (document.visibilityState === "visible") await look();
    const pause = health.peek() === "ok" ? 10000 : 1500;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
export { look as lookNow };
