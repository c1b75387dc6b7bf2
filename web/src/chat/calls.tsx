// Tool calls of an answer: what the model wants to run, and a place for what it
// gave, since this page runs nothing by itself.
import { useEffect, useRef, useState } from "preact/hooks";
import { highlight } from "../highlight";
import { Icon } from "../parts/icons";
import { model } from "../server";
import { answerCalls } from "./send";
import * as state from "./state";
import type { Call, Message } from "./types";

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // not whole yet
  }
}

function Arguments({ call }: { call: Call }) {
  const code = useRef<HTMLElement>(null);
  const text = pretty(call.arguments);
  useEffect(() => {
    const coloured = highlight(text, "json");
    if (coloured) code.current!.replaceChildren(coloured);
    else code.current!.textContent = text;
  }, [text]);
  return (
    <pre tabIndex={0} aria-label={`Arguments of ${call.name}`}>
      <code ref={code} />
    </pre>
  );
}

export function Calls({ message }: { message: Message }) {
  state.listen(message);
  const [results, setResults] = useState<string[]>([]);
  const calls = message.calls!;
  const conversation = state.current.value!;
  const open = message.state === "done" && state.isLast(message);
  return (
    <form
      class="calls"
      onSubmit={(event) => {
        event.preventDefault();
        answerCalls(conversation, message, results, model.value);
      }}
    >
      {calls.map((call, i) => (
        <section class="call" key={i}>
          <h3>
            <Icon name="tool" /> {call.name || "…"}
          </h3>
          <Arguments call={call} />
          {open && (
            <textarea
              rows={2}
              placeholder="What did it give? Text or JSON"
              aria-label={`Result of ${call.name}`}
              value={results[i] ?? ""}
              onInput={(event) => {
                const next = [...results];
                next[i] = event.currentTarget.value;
                setResults(next);
              }}
            />
          )}
        </section>
      ))}
      {open && (
        <div class="row">
          <button type="submit" class="main">
            Send {calls.length > 1 ? "results" : "the result"}
          </button>
        </div>
      )}
    </form>
  );
}
