// Asks for the API key.
import { useState } from "preact/hooks";
import { giveKey, refuseKey } from "../api";
import { Dialog } from "./dialog";

export function KeyDialog({ wrong }: { wrong: boolean }) {
  const [key, setKey] = useState("");
  const [keep, setKeep] = useState(false);
  return (
    <Dialog title="API key" onClose={refuseKey}>
      <form
        class="settings"
        onSubmit={(event) => {
          event.preventDefault();
          if (key.trim()) giveKey(key.trim(), keep);
        }}
      >
        <p class="full">
          {wrong
            ? "The server does not know this key."
            : "This server asks for one of its keys (serve --api-key)."}
        </p>
        <label class="full">
          Key
          <input
            type="password"
            autocomplete="off"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="full check">
          <input
            type="checkbox"
            checked={keep}
            onChange={(event) => setKeep(event.currentTarget.checked)}
          />
          Remember it in this browser, not only in this tab
        </label>
        <div class="row full">
          <button type="submit" class="main" disabled={!key.trim()}>
            Use it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
