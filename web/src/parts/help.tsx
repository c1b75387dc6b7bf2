// The keys that do something.
import { Dialog } from "./dialog";
import { help } from "../views/where";

const KEYS: [string, string][] = [
  ["Enter", "send"],
  ["Shift + Enter", "a new line"],
  ["Esc", "stop the answer"],
  ["Alt + N", "a new chat"],
  ["/ or Alt + I", "to the text field"],
  ["Alt + 1, 2, 3", "chat, dashboard, models"],
  ["Tab", "from button to button; each has a name"],
  ["?", "this list"],
];

export function HelpDialog() {
  return (
    <Dialog title="Keys" onClose={() => (help.value = false)}>
      <dl class="keys">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
