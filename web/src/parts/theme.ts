// Light, dark, or as the system has it.
import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const KEY = "rapid-mlx.theme";

const kept = localStorage.getItem(KEY);
export const theme = signal<Theme>(kept === "light" || kept === "dark" ? kept : "auto");
const show = () => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
};
show();

export function setTheme(to: Theme): void {
  theme.value = to;
  localStorage.setItem(KEY, to);
  show();
}
