// Tables of the dashboard: lanes, models, requests of late.
import { ago, count, percent, rate, seconds } from "../format";
import type { Request } from "./feed";

const REASONS: Record<string, string> = {
  new_conversation: "new conversation",
  appended: "all that was known",
  tools_changed: "the tools changed",
  system_changed: "the system prompt changed",
  template_changed: "the template changed",
  history_edited: "the history was edited",
  turn_retokenised: "a turn came back changed",
  evicted: "was given up for others",
  off: "cache off",
};
export const reason = (name: string) => REASONS[name] ?? name.replaceAll("_", " ");

const speed = (one: Request) =>
  one.completion_tokens && one.completion_tokens > 1 && one.decode_seconds
    ? rate((one.completion_tokens - 1) / one.decode_seconds)
    : "–";

export interface Lane {
  name: string;
  requests: number;
  open: number;
  prompt: number;
  cached: number;
  written: number;
  last: number;
}

export function lanesOf(requests: Request[]): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const one of requests) {
    const name = one.lane || "no lane named";
    const lane = lanes.get(name) ?? {
      name, requests: 0, open: 0, prompt: 0, cached: 0, written: 0, last: 0,
    };
    lane.requests++;
    if (["waiting", "reading", "answering"].includes(one.state)) lane.open++;
    lane.prompt += one.prompt_tokens;
    lane.cached += one.cached_tokens;
    lane.written += one.completion_tokens ?? 0;
    lane.last = Math.max(lane.last, one.started);
    lanes.set(name, lane);
  }
  return [...lanes.values()].sort((a, b) => b.open - a.open || b.last - a.last);
}

export function Lanes({ requests, now }: { requests: Request[]; now: number }) {
  const lanes = lanesOf(requests).slice(0, 12);
  return (
    <section class="card wide">
      <h2>Lanes</h2>
      <p class="note">Sessions take turns; each is one agent or conversation. Of the last {requests.length} requests.</p>
      <div class="table" tabIndex={0} role="region" aria-label="Lanes">
        <table>
          <thead>
            <tr>
              <th>Lane</th><th>Under way</th><th>Requests</th><th>Prompt tokens</th><th>Cached</th><th>Written</th><th>Last</th>
            </tr>
          </thead>
          <tbody>
            {lanes.map((lane) => (
              <tr key={lane.name}>
                <td class="cut" title={lane.name}>{lane.name}</td>
                <td>{lane.open || ""}</td>
                <td>{lane.requests}</td>
                <td>{count(lane.prompt)}</td>
                <td>{percent(lane.cached, lane.prompt)}</td>
                <td>{count(lane.written)}</td>
                <td>{ago(lane.last, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function Requests({ requests }: { requests: Request[] }) {
  return (
    <section class="card wide">
      <h2>Requests</h2>
      <div class="table" tabIndex={0} role="region" aria-label="Requests">
        <table>
          <thead>
            <tr>
              <th>#</th><th>State</th><th>Model</th><th>Prompt</th><th>Cached</th><th>Why not more</th><th>First token</th><th>tok/s</th><th>Took</th>
            </tr>
          </thead>
          <tbody>
            {requests.slice(0, 20).map((one) => (
              <tr key={one.number}>
                <td>{one.number}</td>
                <td>
                  <span class={`state ${one.state}`} title={one.trouble}>{one.state}</span>
                </td>
                <td class="cut">{one.model}</td>
                <td>
                  {one.state === "reading" && one.prompt_done > 0
                    ? `${count(one.prompt_done)} of ${count(one.prompt_tokens)}`
                    : count(one.prompt_tokens)}
                </td>
                <td>{percent(one.cached_tokens, one.prompt_tokens)}</td>
                <td class="cut">{one.cache_miss_reason ? reason(one.cache_miss_reason) : ""}</td>
                <td>{seconds(one.ttft_seconds)}</td>
                <td>{speed(one)}</td>
                <td>{seconds(one.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
