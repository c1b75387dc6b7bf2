// Prometheus' text format, as much of it as /metrics uses.

export interface Sample {
  labels: Record<string, string>;
  value: number;
}
export type Metrics = Map<string, Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export function parseMetrics(text: string): Metrics {
  const out: Metrics = new Map();
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    const found = LINE.exec(line);
    if (!found) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name!] = value!.replace(/\\(.)/g, "$1");
    }
    const samples = out.get(found[1]!) ?? [];
    samples.push({ labels, value: Number(found[3]) });
    out.set(found[1]!, samples);
  }
  return out;
}

// The family's only value; 0 when it is not there.
export function value(metrics: Metrics, name: string): number {
  return metrics.get(`rapid_mlx_${name}`)?.[0]?.value ?? 0;
}
