// What a conversation is asked with. Empty fields are the server's choice.
import { useState } from "preact/hooks";
import { Dialog } from "../parts/dialog";
import { nextSettings } from "./composer";
import { parseTools } from "./request";
import * as state from "./state";
import type { Settings } from "./types";

const NUMBERS: { key: keyof Settings; label: string; hint: string }[] = [
  { key: "temperature", label: "Temperature", hint: "0 to 2; 0 is always the same" },
  { key: "topP", label: "Top-p", hint: "0 to 1" },
  { key: "topK", label: "Top-k", hint: "a whole number; 0 is off" },
  { key: "minP", label: "Min-p", hint: "0 to 1" },
  { key: "repetition", label: "Repetition penalty", hint: "1 is off" },
  { key: "maxTokens", label: "Most tokens", hint: "of one answer" },
  { key: "seed", label: "Seed", hint: "the same seed, the same answer" },
];

const EXAMPLE = `[{"type": "function", "function": {
  "name": "weather", "description": "The weather in a city",
  "parameters": {"type": "object",
    "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]`;

export function SettingsDialog({ close }: { close: () => void }) {
  const [values, setValues] = useState<Settings>({
    ...(state.current.value?.settings ?? nextSettings.value),
  });
  const [wrong, setWrong] = useState("");
  const set = (key: keyof Settings) => (event: { currentTarget: { value: string } }) =>
    setValues({ ...values, [key]: event.currentTarget.value });
  const save = () => {
    try {
      parseTools(values.tools);
    } catch (error) {
      return setWrong((error as Error).message);
    }
    nextSettings.value = values;
    if (state.current.value) state.change(state.current.value, { settings: values });
    close();
  };
  return (
    <Dialog title="Settings of this conversation" onClose={close} wide>
      <form
        class="settings"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <label class="full">
          System prompt
          <textarea rows={4} value={values.system} onInput={set("system")} />
        </label>
        {NUMBERS.map(({ key, label, hint }) => (
          <label key={key}>
            {label}
            <input inputMode="decimal" placeholder={hint} value={values[key]} onInput={set(key)} />
          </label>
        ))}
        <label>
          Reasoning
          <select value={values.effort} onChange={set("effort")}>
            <option value="">the model's way</option>
            {["none", "minimal", "low", "medium", "high"].map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label class="full">
          Tools, as a JSON list
          <textarea
            rows={4}
            class="mono"
            spellcheck={false}
            placeholder={EXAMPLE}
            value={values.tools}
            onInput={set("tools")}
          />
        </label>
        {wrong && (
          <p class="complaint full" role="alert">
            {wrong}
          </p>
        )}
        <div class="row full">
          <button type="button" class="quiet" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="main">
            Save
          </button>
        </div>
      </form>
    </Dialog>
  );
}
