// Line drawings on a 20 by 20 grid.
const PATHS = {
  chat: "M4 4.5h12v8.5H9l-3.5 3v-3H4z",
  dash: "M3.5 16.5h13M6 16V10M10 16V4.5M14 16v-4",
  box: "M3.5 7 10 3.5 16.5 7v6.5L10 17l-6.5-3.5zM3.5 7 10 10.5 16.5 7M10 10.5V17",
  plus: "M10 4v12M4 10h12",
  send: "M10 16.5V4M4.8 9 10 3.8 15.2 9",
  stop: "M5.5 5.5h9v9h-9z",
  clip: "M14.5 9 9.3 14.2a3 3 0 0 1-4.3-4.3l5.9-5.8a2 2 0 0 1 2.9 2.9L8 12.6a1 1 0 0 1-1.4-1.4l5-5",
  tune: "M4 6h6M14 6h2M4 14h2M10 14h6M12 4v4M8 12v4",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3",
  again: "M15.5 8A6 6 0 1 0 16 11M16 4v4h-4",
  edit: "M4 16l.8-3.4L13 4.4l2.6 2.6-8.2 8.2zM11.5 6l2.5 2.5",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  down: "M5 8l5 5 5-5",
  close: "M5 5l10 10M15 5 5 15",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  tool: "M12.5 4a3.5 3.5 0 0 0-3.3 4.7L4 14l2 2 5.3-5.2A3.5 3.5 0 0 0 16 7.5l-2 2-2.3-2.3 2-2A3.5 3.5 0 0 0 12.500 4z",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 2v2M10 16v2M2 10h2M16 10h2M4.300 4.300l1.400 1.400M14.300 14.300l1.400 1.400M15.700 4.300l-1.400 1.400M5.700 14.300l-1.400 1.400",
  key: "M12.500 4a3.500 3.500 0 1 1-2.300 6.100L5 15.500H3.500V13.500l5.700-5.200A3.500 3.500 0 0 1 12.500 4zM13 7h.01",
  pull: "M10 3.500v9M6 9l4 4 4-4M4 16.500h12",
  keys: "M3 5.500h14v9H3zM6 8.500h.01M9 8.500h.01M12 8.500h.01M14.500 8.500h.01M7 11.500h6",
  think: "M10 3.500a4.500 4.500 0 0 0-2.500 8.200V14h5v-2.300A4.500 4.500 0 0 0 10 3.500zM8 16.500h4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
