// One message on show.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { count, rate, seconds } from "../format";
import { Icon } from "../parts/icons";
import { RichText } from "../parts/rich";
import { copyText } from "../parts/copy";
import { model } from "../server";
import { Calls } from "./calls";
import * as send from "./send";
import * as state from "./state";
import type { Message, Stats } from "./types";

function Rich({ text, final }: { text: string; final: boolean }) {
  const root = useRef<HTMLDivElement>(null);
  const rich = useRef<RichText>(null as unknown as RichText);
  useEffect(() => {
    rich.current ??= new RichText(root.current!);
    rich.current.update(text, final);
  }, [text, final]);
  useEffect(() => () => rich.current?.dispose(), []);
  return <div ref={root} class="rich" />;
}

// Text that grows by its end, as it is.
function Plain({ text }: { text: string }) {
  const root = useRef<HTMLDivElement>(null);
  const shown = useRef("");
  useEffect(() => {
    if (text.startsWith(shown.current)) root.current!.append(text.slice(shown.current.length));
    else root.current!.textContent = text;
    shown.current = text;
  }, [text]);
  return <div ref={root} class="plain" />;
}

function Reasoning({ message }: { message: Message }) {
  state.listen(message);
  const thinking = message.state === "writing" && !message.text && !message.calls?.length;
  const [open, setOpen] = useState<boolean | null>(null); // null: nobody chose
  const shown = open ?? thinking;
  const took = message.thought ? ` for ${seconds(message.thought)}` : "";
  return (
    <section class={`reasoning ${thinking ? "live" : ""}`}>
      <button type="button" class="fold" aria-expanded={shown} onClick={() => setOpen(!shown)}>
        <Icon name={shown ? "down" : "right"} />
        {thinking ? "Thinking…" : `Thought${took}`}
      </button>
      {shown && <Plain text={message.reasoning!} />}
    </section>
  );
}

function StatsLine({ stats, finish }: { stats: Stats; finish?: string | undefined }) {
  const parts = [
    stats.decode > 0 && stats.completion > 1
      ? `${rate((stats.completion - 1) / stats.decode)} tok/s`
      : "",
    `${count(stats.completion)} ${stats.completion === 1 ? "token" : "tokens"}`,
    `first after ${seconds(stats.ttft)}`,
    `${count(stats.cached)} of ${count(stats.prompt)} prompt tokens cached`,
    finish === "length" ? "cut at the token limit" : "",
  ];
  return <p class="stats">{parts.filter(Boolean).join(" · ")}</p>;
}

function Branches({ message }: { message: Message }) {
  const all = state.siblings(message);
  if (all.length < 2) return null;
  const at = all.indexOf(message.n);
  const go = (by: number) => () => state.showBranch(all[at + by]!);
  return (
    <span class="branches" role="group" aria-label="Versions of this message">
      <button type="button" class="quiet square" aria-label="Earlier version" disabled={at === 0} onClick={go(-1)}>
        <Icon name="left" />
      </button>
      <span>
        {at + 1}/{all.length}
      </span>
      <button
        type="button"
        class="quiet square"
        aria-label="Later version"
        disabled={at === all.length - 1}
        onClick={go(1)}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}

function Action(props: { icon: "copy" | "again" | "edit"; label: string; run: () => void }) {
  return (
    <button type="button" class="quiet square" aria-label={props.label} title={props.label} onClick={props.run}>
      <Icon name={props.icon} />
    </button>
  );
}

function Trouble({ message }: { message: Message }) {
  state.listen(message);
  const conversation = state.current.value!;
  const words = {
    stopped: "Stopped.",
    broken: message.error || "The connection was lost before the end.",
    failed: message.error || "The server failed.",
  }[message.state as "stopped" | "broken" | "failed"];
  const resume = message.text !== "" && !message.calls?.length;
  return (
    <div class={`trouble ${message.state}`} role={message.state === "stopped" ? undefined : "alert"}>
      <span>{words}</span>
      {resume && (
        <button
          type="button"
          title="Asks the model to go on where the text ends"
          onClick={() => send.goOn(conversation, message, model.value)}
        >
          Continue
        </button>
      )}
      <button type="button" onClick={() => send.retry(conversation, message, model.value)}>
        Try again
      </button>
    </div>
  );
}

function Assistant({ message }: { message: Message }) {
  state.listen(message);
  const conversation = state.current.value!;
  const writing = message.state === "writing";
  const cut = message.state === "done" && message.finish === "length" && message.text;
  return (
    <article class="message assistant" aria-label="Answer" aria-busy={writing}>
      {message.reasoning && <Reasoning message={message} />}
      {message.text && <Rich text={message.text} final={!writing} />}
      {message.calls && <Calls message={message} />}
      {writing && !message.text && !message.reasoning && !message.calls && (
        <p class="waiting">
          <i />
          <i />
          <i />
          <span class="hidden">Waiting for the first word</span>
        </p>
      )}
      {["stopped", "broken", "failed"].includes(message.state) && <Trouble message={message} />}
      {!writing && (
        <footer>
          {message.stats && <StatsLine stats={message.stats} finish={message.finish} />}
          <div class="actions">
            {cut && (
              <button type="button" class="quiet" onClick={() => send.goOn(conversation, message, model.value)}>
                Continue
              </button>
            )}
            {message.text && (
              <Action icon="copy" label="Copy this answer" run={() => void copyText(message.text)} />
            )}
            <Action
              icon="again"
              label="Another answer"
              run={() => send.retry(conversation, message, model.value)}
            />
            <Branches message={message} />
          </div>
        </footer>
      )}
    </article>
  );
}

function Edit({ message, close }: { message: Message; close: () => void }) {
  const [text, setText] = useState(message.text);
  const area = useRef<HTMLTextAreaElement>(null);
  // Before the next key can come: an effect after the paint would lose it.
  useLayoutEffect(() => area.current!.focus(), []);
  const again = () => {
    close();
    send.editAndResend(
      state.current.value!,
      message,
      { text, files: message.files ?? [] },
      model.value,
    );
  };
  return (
    <form
      class="edit"
      onSubmit={(event) => {
        event.preventDefault();
        again();
      }}
    >
      <textarea
        ref={area}
        aria-label="Your message, edited"
        value={text}
        rows={Math.min(14, text.split("\n").length + 1)}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") close();
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            again();
          }
        }}
      />
      <div class="row">
        <button type="button" class="quiet" onClick={close}>
          Cancel
        </button>
        <button type="submit" class="main" disabled={!text.trim()}>
          Send as a new version
        </button>
      </div>
    </form>
  );
}

function User({ message }: { message: Message }) {
  state.listen(message);
  const [editing, setEditing] = useState(false);
  if (editing) return <Edit message={message} close={() => setEditing(false)} />;
  return (
    <article class="message user" aria-label="You">
      {message.files?.map((file) => (
        <details class="file" key={file.name}>
          <summary>
            {file.name} <small>{count(file.text.length)} characters</small>
          </summary>
          <pre tabIndex={0}>{file.text}</pre>
        </details>
      ))}
      {message.text && <div class="plain bubble">{message.text}</div>}
      <div class="actions">
        <Action icon="edit" label="Edit and send again" run={() => setEditing(true)} />
        <Action icon="copy" label="Copy this message" run={() => void copyText(message.text)} />
        <Branches message={message} />
      </div>
    </article>
  );
}

export function MessageView({ message }: { message: Message }) {
  state.listen(message);
  if (message.role === "user") return <User message={message} />;
  if (message.role === "assistant") return <Assistant message={message} />;
  return (
    <article class="message tool" aria-label="Result of a tool">
      <details class="file">
        <summary>
          <Icon name="tool" /> Result <small>{count(message.text.length)} characters</small>
        </summary>
        <pre tabIndex={0}>{message.text}</pre>
      </details>
    </article>
  );
}
