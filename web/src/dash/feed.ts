// What the dashboard knows: asked for every two seconds while it is open, and
// kept for five minutes of plots.
import { signal } from "@preact/signals";
import { getJson, getText } from "../api";
import { parseMetrics, value, type Metrics } from "../metrics";
import { refreshModels } from "../server";

export const EVERY = 2; // seconds
const KEPT = 150;

export interface Request {
  number: number;
  id: string;
  model: string;
  lane: string;
  state: "waiting" | "reading" | "answering" | "done" | "failed" | "stopped";
  trouble?: string;
  started: number;
  seconds: number;
  ttft_seconds: number | null;
  prompt_tokens: number;
  prompt_done: number;
  cached_tokens: number;
  completion_tokens?: number;
  prefill_seconds?: number;
  decode_seconds?: number;
  cache_miss_reason?: string;
  cost_tokens?: number;
}

export interface Activity {
  totals: { requests: number; done: number; failed: number; stopped: number };
  cache_miss_reasons: Record<string, { requests: number; cost_tokens: number }>;
  requests: Request[];
}

export interface Plan {
  model: string;
  ctx: number;
  fits: boolean;
  total_bytes: number;
  limit_bytes: number | null;
  items: Record<string, number>;
  reserve_bytes: number;
  cache_bytes: number;
  effective_context: number;
  model_context: number;
  kv_bits: number;
  now: { resident_bytes: number; peak_bytes: number; states_bytes: number };
}

export interface CacheStats {
  kept_prompts: number;
  bytes: number;
  disk_bytes: number;
  evicted_prompts: number;
  prompt_tokens: number;
  cached_tokens: number;
  hit_ratio: number;
  ledger: { turns: number; recording: boolean };
}

// One look: rates since the one before.
export interface Point {
  time: number;
  written: number; // tokens a second
  read: number;
  running: number;
  waiting: number;
  resident: number;
}

export const activity = signal<Activity | null>(null);
export const plan = signal<Plan | null>(null);
export const cache = signal<CacheStats | null>(null);
export const metrics = signal<Metrics>(new Map());
export const points = signal<Point[]>([]);
export const trouble = signal("");

let last: { time: number; written: number; read: number } | null = null;

function point(found: Metrics, resident: number): Point {
  const time = Date.now() / 1000;
  const written = value(found, "generated_tokens_total");
  const read = value(found, "prompt_tokens_total") - value(found, "cached_tokens_total");
  const passed = last ? time - last.time : 0;
  // A counter that falls: the server began anew.
  const per = (now: number, before: number) =>
    passed > 0 && passed < 30 && now >= before ? (now - before) / passed : 0;
  const made: Point = {
    time,
    written: last ? per(written, last.written) : 0,
    read: last ? per(read, last.read) : 0,
    running: value(found, "requests_running"),
    waiting: value(found, "requests_waiting"),
    resident,
  };
  last = { time, written, read };
  return made;
}

async function look(): Promise<void> {
  const [text, seen, kept, planned] = await Promise.all([
    getText("/metrics", true),
    getJson<Activity>("/v1/activity", true),
    getJson<CacheStats>("/v1/cache/stats", true).catch(() => null),
    getJson<Plan>("/v1/memory/plan", true).catch(() => null),
  ]);
  metrics.value = parseMetrics(text);
  activity.value = seen;
  cache.value = kept;
  plan.value = planned;
  const resident = planned?.now.resident_bytes ?? 0;
  points.value = [...points.value, point(metrics.value, resident)].slice(-KEPT);
  trouble.value = "";
}

// Until the returned function is called.
export function follow(): () => void {
  let open = true;
  const again = async () => {
    while (open) {
      if (document.visibilityState === "visible") {
        await look().catch((error: Error) => (trouble.value = error.message));
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY * 1000));
    }
  };
  // The first question may ask for the key.
  void refreshModels().catch(() => {}).then(again);
  return () => (open = false);
}
