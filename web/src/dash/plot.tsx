// Small plots in SVG: lines or dots over the last minutes, and bars of parts.
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Series {
  name: string;
  tone: 1 | 2 | 3;
  points: { time: number; value: number }[];
  dots?: boolean;
}

const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 8;

// 0, and three round numbers that go over `most`.
export function ticks(most: number): number[] {
  const rough = Math.max(most, 1e-9) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough)! * power;
  return [0, 1, 2, 3].map((each) => each * step);
}

export function Plot(props: {
  label: string;
  series: Series[];
  span: number; // seconds
  now: number;
  least?: number; // the top is not below it
  show: (value: number) => string;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(420);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(220, entry!.contentRect.width)));
    observer.observe(frame.current!);
    return () => observer.disconnect();
  }, []);
  const begin = props.now - props.span;
  const inside = props.series.map((one) => ({
    ...one,
    points: one.points.filter((point) => point.time >= begin),
  }));
  const most = Math.max(props.least ?? 0, ...inside.flatMap((one) => one.points.map((p) => p.value)));
  const marks = ticks(most);
  const top = marks[3]!;
  const x = (time: number) => LEFT + ((time - begin) / props.span) * (width - LEFT - 6);
  const y = (value: number) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const steps = width < 400 ? 2 : 4;
  const words = inside.map((one) => {
    const last = one.points[one.points.length - 1];
    return `${one.name}: ${last ? props.show(last.value) : "nothing yet"}`;
  });
  return (
    <figure class="plot">
      <figcaption>
        <h2>{props.label}</h2>
        <span class="legend">
          {inside.map((one, i) => (
            <span key={one.name} class={`tone${one.tone}`}>
              {words[i]}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={frame}>
        <svg
          viewBox={`0 0 ${width} ${HEIGHT}`}
          height={HEIGHT}
          role="img"
          aria-label={`${props.label} over ${props.span} seconds. Now ${words.join(", ")}`}
        >
          {marks.map((mark) => (
            <g key={mark}>
              <line class="grid" x1={LEFT} x2={width - 6} y1={y(mark)} y2={y(mark)} />
              <text x={LEFT - 6} y={y(mark) + 4} text-anchor="end">
                {props.show(mark)}
              </text>
            </g>
          ))}
          {Array.from({ length: steps + 1 }, (_, part) => {
            const back = props.span * (1 - part / steps);
            const text = back === 0 ? "now" : `−${back >= 120 ? `${back / 60} min` : `${back} s`}`;
            return (
              <text key={part} x={x(props.now - back)} y={HEIGHT - 4} text-anchor={part === steps ? "end" : part === 0 ? "start" : "middle"}>
                {text}
              </text>
            );
          })}
          {inside.map((one) =>
            one.dots ? (
              one.points.map((point, i) => (
                <circle key={`${one.name}${i}`} class={`tone${one.tone}`} cx={x(point.time)} cy={y(point.value)} r="3.2" />
              ))
            ) : (
              <path
                key={one.name}
                class={`line tone${one.tone}`}
                d={one.points.map((p, i) => `${i ? "L" : "M"}${x(p.time).toFixed(1)} ${y(p.value).toFixed(1)}`).join("")}
              />
            ),
          )}
        </svg>
      </div>
    </figure>
  );
}

export interface Part {
  name: string;
  value: number;
  tone: number;
}

// Parts of a whole in one bar, with a mark for what is taken now.
export function Parts(props: {
  parts: Part[];
  whole: number;
  mark?: number;
  show: (value: number) => string;
  label: string;
}) {
  const sum = props.parts.reduce((all, part) => all + part.value, 0);
  const whole = Math.max(props.whole, sum, props.mark ?? 0, 1);
  let at = 0;
  return (
    <div class="parts">
      <svg viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-label={props.label}>
        <rect class="rest" width="1000" height="28" />
        {props.parts.map((part) => {
          const from = at;
          at += (1000 * part.value) / whole;
          return <rect key={part.name} class={`tone${part.tone}`} x={from} width={at - from} height="28" />;
        })}
        {props.mark !== undefined && (
          <rect class="mark" x={(1000 * props.mark) / whole - 2} width="4" height="28" />
        )}
      </svg>
      <ul>
        {props.parts.map((part) => (
          <li key={part.name} class={`tone${part.tone}`}>
            {part.name} <b>{props.show(part.value)}</b>
          </li>
        ))}
      </ul>
    </div>
  );
}
