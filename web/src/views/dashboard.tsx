// The dashboard: what the server does now and did in the last minutes.
import { useEffect } from "preact/hooks";
import * as feed from "../dash/feed";
import { Parts, Plot } from "../dash/plot";
import { Lanes, reason, Requests } from "../dash/tables";
import { bytes, count, percent, rate, seconds } from "../format";
import { value } from "../metrics";

// Seconds that the plots go back: more once there is more to show.
const SPANS = [60, 120, 300];

function Tile({ label, children, note }: { label: string; children: string; note?: string }) {
  return (
    <div class="tile">
      <span>{label}</span>
      <b>{children}</b>
      <small>{note ?? ""}</small>
    </div>
  );
}

function median(values: number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

function Tiles() {
  const { points, activity, cache, metrics } = feed;
  const last = points.value[points.value.length - 1];
  const totals = activity.value?.totals;
  const first = (activity.value?.requests ?? [])
    .map((each) => each.ttft_seconds)
    .filter((each): each is number => each !== null);
  return (
    <div class="tiles">
      <Tile label="Requests under way" note={last?.waiting ? `${last.waiting} wait` : "none waits"}>
        {String(last?.running ?? 0)}
      </Tile>
      <Tile label="Writing" note={`${count(value(metrics.value, "generated_tokens_total"))} tokens so far`}>
        {`${rate(last?.written ?? 0)} tok/s`}
      </Tile>
      <Tile label="First token" note={`median of ${first.length}`}>
        {seconds(median(first))}
      </Tile>
      <Tile
        label="Prompt tokens cached"
        note={cache.value ? `${count(cache.value.cached_tokens)} of ${count(cache.value.prompt_tokens)}` : ""}
      >
        {cache.value ? percent(cache.value.cached_tokens, cache.value.prompt_tokens) : "–"}
      </Tile>
      <Tile
        label="Requests so far"
        note={totals ? `${totals.failed} failed, ${totals.stopped} stopped` : ""}
      >
        {count(totals?.requests ?? 0)}
      </Tile>
      <Tile label="Up" note={`${value(metrics.value, "worker_restarts_total")} restarts of the engine`}>
        {seconds(value(metrics.value, "uptime_seconds"))}
      </Tile>
    </div>
  );
}

function Plots() {
  const points = feed.points.value;
  const now = points[points.length - 1]?.time ?? Date.now() / 1000;
  const known = now - (points[0]?.time ?? now);
  const span = SPANS.find((each) => each >= known) ?? SPANS[2]!;
  const line = (name: string, tone: 1 | 2 | 3, of: (p: feed.Point) => number) => ({
    name,
    tone,
    points: points.map((p) => ({ time: p.time, value: of(p) })),
  });
  const first = (feed.activity.value?.requests ?? [])
    .filter((each) => each.ttft_seconds !== null)
    .map((each) => ({ time: each.started, value: each.ttft_seconds! }))
    .reverse();
  return (
    <>
      <Plot
        label="Tokens a second"
        series={[line("written", 1, (p) => p.written), line("read", 2, (p) => p.read)]}
        span={span}
        now={now}
        least={10}
        show={(v) => (v >= 1000 ? count(v) : String(Math.round(v)))}
      />
      <Plot
        label="Time to the first token"
        series={[{ name: "last", tone: 1, points: first, dots: true }]}
        span={span}
        now={now}
        least={0.1}
        show={(v) => (v === 0 ? "0" : seconds(v))}
      />
      <Plot
        label="Requests"
        series={[line("under way", 1, (p) => p.running), line("waiting", 3, (p) => p.waiting)]}
        span={span}
        now={now}
        least={3}
        show={(v) => String(Math.round(v))}
      />
    </>
  );
}

function CacheCard() {
  const reasons = Object.entries(feed.activity.value?.cache_miss_reasons ?? {});
  const most = Math.max(1, ...reasons.map(([, each]) => each.requests));
  const stats = feed.cache.value;
  return (
    <section class="card">
      <h2>Prompt cache</h2>
      {stats && (
        <p class="note">
          {stats.kept_prompts} conversations in {bytes(stats.bytes)} of memory, {bytes(stats.disk_bytes)} on disk;{" "}
          {stats.evicted_prompts} were given up.
        </p>
      )}
      {reasons.length === 0 && <p class="note">No request has been answered yet.</p>}
      <ul class="bars">
        {reasons
          .sort(([, a], [, b]) => b.requests - a.requests)
          .map(([name, each]) => (
            <li key={name}>
              <span>
                {reason(name)}
                {each.cost_tokens > 0 && <small>{count(each.cost_tokens)} tokens read again</small>}
              </span>
              <meter min={0} max={most} value={each.requests} aria-label={reason(name)} />
              <b>{each.requests}</b>
            </li>
          ))}
      </ul>
    </section>
  );
}

const ITEMS: [string, string, number][] = [
  ["weights", "weights", 1],
  ["mapped_weights", "mapped weights", 2],
  ["process", "program", 3],
  ["front", "front", 4],
  ["workspace", "workspace", 5],
  ["states", "states", 6],
  ["kept_prompts", "kept prompts", 7],
];

function MemoryCard() {
  const plan = feed.plan.value;
  if (!plan) {
    return (
      <section class="card">
        <h2>Memory</h2>
        <p class="note">Nothing is measured before the first load.</p>
      </section>
    );
  }
  const parts = ITEMS.map(([key, name, tone]) => ({ name, tone, value: plan.items[key] ?? 0 })).filter(
    (part) => part.value > 0,
  );
  // Where the limit is far away the bar shows a part of the way to it.
  const taken = Math.max(plan.total_bytes, plan.now.resident_bytes);
  const whole = Math.min(plan.limit_bytes ?? Infinity, 1.25 * taken);
  const words = `planned ${bytes(plan.total_bytes)}, taken ${bytes(plan.now.resident_bytes)}, limit ${plan.limit_bytes ? bytes(plan.limit_bytes) : "none"}`;
  return (
    <section class="card wide">
      <h2>Memory: plan and use</h2>
      <p class="note">
        {plan.model} with a context of {count(plan.ctx)} tokens: {words}; at most {bytes(plan.now.peak_bytes)} so far.
      </p>
      <Parts
        parts={parts}
        whole={whole}
        mark={plan.now.resident_bytes}
        show={bytes}
        label={`Memory: ${words}`}
      />
      <p class="note">The mark is what the processes hold now, with prompts that are kept for later.</p>
    </section>
  );
}

export function DashboardPage() {
  useEffect(feed.follow, []);
  useEffect(() => {
    document.title = "Dashboard – rapid-mlx";
  }, []);
  const requests = feed.activity.value?.requests ?? [];
  return (
    <main class="page" aria-label="Dashboard" tabIndex={-1}>
      <h1>Dashboard</h1>
      {feed.trouble.value && (
        <p class="complaint" role="alert">
          {feed.trouble.value}
        </p>
      )}
      <Tiles />
      <div class="grid">
        <Plots />
        <CacheCard />
        <MemoryCard />
        <Lanes requests={requests} now={Date.now() / 1000} />
        <Requests requests={requests} />
      </div>
    </main>
  );
}
