// A scrolling column of items of unknown height, of which only those near the
// view are in the page. Keeps its place while heights become known, and follows
// the end while it is there.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";

const AROUND = 900; // pixels beyond the view
const NEAR_END = 48;

interface Props<T> {
  id: string; // of what is shown: another one begins at its end
  pull: number; // another value goes to the end
  items: T[];
  keyOf: (item: T) => string;
  guess: (item: T) => number; // pixels
  render: (item: T) => ComponentChildren;
  label: string;
  end?: ComponentChildren; // below the last item
}

interface Column {
  heights: Map<string, number>;
  seen: Map<Element, string>;
  observer: ResizeObserver;
  stuck: boolean; // at the end
  top: number; // where the view was last
  id: string;
  pull: number;
}

export function VirtualList<T>(props: Props<T>) {
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const column = useRef<Column>(null as unknown as Column);
  if (!column.current) {
    column.current = {
      heights: new Map(),
      seen: new Map(),
      observer: new ResizeObserver((entries) => resized(entries)),
      stuck: true,
      top: 0,
      id: props.id,
      pull: props.pull,
    };
  }
  const state = column.current;
  if (state.id !== props.id) {
    state.id = props.id;
    state.heights.clear();
    state.stuck = true;
    state.top = 0;
  }
  if (state.pull !== props.pull) {
    state.pull = props.pull;
    state.stuck = true;
  }
  const frame = useRef(0);
  const soon = () => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      redraw(0);
    });
  };

  const height = (item: T) => state.heights.get(props.keyOf(item)) ?? props.guess(item);
  const toEnd = () => {
    const box = scroller.current;
    if (!box || !state.stuck) return;
    box.scrollTop = box.scrollHeight;
    state.top = box.scrollTop;
  };

  function resized(entries: ResizeObserverEntry[]) {
    const box = scroller.current;
    if (!box) return;
    const top = box.getBoundingClientRect().top;
    let above = 0;
    let changed = false;
    for (const entry of entries) {
      const key = state.seen.get(entry.target);
      const now = entry.borderBoxSize[0]!.blockSize;
      if (key === undefined || now === 0) continue;
      const before = state.heights.get(key) ?? Number((entry.target as HTMLElement).dataset.guess);
      if (Math.abs(now - before) < 0.5 && state.heights.has(key)) continue;
      state.heights.set(key, now);
      changed = true;
      if (entry.target.getBoundingClientRect().bottom - now + before < top) above += now - before;
    }
    if (!changed) return;
    if (state.stuck) toEnd();
    else if (above) box.scrollTop += above;
    soon();
  }

  const box = scroller.current;
  const view = box?.clientHeight ?? 800;
  const offsets: number[] = [0];
  for (const item of props.items) offsets.push(offsets[offsets.length - 1]! + height(item));
  const total = offsets[offsets.length - 1]!;
  const top = state.stuck ? Math.max(0, total - view) : (box?.scrollTop ?? 0);
  const first = Math.max(0, below(offsets, top - AROUND) - 1);
  const last = Math.min(props.items.length, below(offsets, top + view + AROUND) + 1);

  useLayoutEffect(() => {
    const kept = new Set<Element>();
    for (const element of scroller.current!.querySelectorAll<HTMLElement>("[data-key]")) {
      kept.add(element);
      if (state.seen.get(element) === element.dataset.key) continue;
      state.seen.set(element, element.dataset.key!);
      state.observer.observe(element);
    }
    for (const element of state.seen.keys()) {
      if (kept.has(element)) continue;
      state.observer.unobserve(element);
      state.seen.delete(element);
    }
    toEnd();
  });
  useEffect(() => {
    const inner = new ResizeObserver(() => {
      toEnd();
      soon();
    });
    inner.observe(scroller.current!);
    return () => {
      inner.disconnect();
      state.observer.disconnect();
      cancelAnimationFrame(frame.current);
    };
  }, []);

  const onScroll = () => {
    const at = scroller.current;
    if (!at) return; // the page has just changed
    const gap = at.scrollHeight - at.scrollTop - at.clientHeight;
    // Text that grows leaves the view where it is; only a person goes up.
    if (gap < NEAR_END) state.stuck = true;
    else if (at.scrollTop < state.top - 2) state.stuck = false;
    state.top = at.scrollTop;
    soon();
  };
  return (
    <div
      ref={scroller}
      class="scroller"
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label={props.label}
      onScroll={onScroll}
    >
      <div style={{ height: `${offsets[first]}px` }} />
      {props.items.slice(first, last).map((item) => {
        const key = props.keyOf(item);
        return (
          <div key={key} data-key={key} data-guess={props.guess(item)}>
            {props.render(item)}
          </div>
        );
      })}
      <div style={{ height: `${total - offsets[last]!}px` }} />
      {props.end}
    </div>
  );
}

// How many offsets lie at or before `y`.
function below(offsets: number[], y: number): number {
  let low = 0;
  let high = offsets.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsets[middle]! <= y) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}
