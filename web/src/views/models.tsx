// The model page: what is served, what is here, what can be had.
import { useEffect, useState } from "preact/hooks";
import { bytes, count, percent, seconds } from "../format";
import * as page from "../models-page";
import { Icon } from "../parts/icons";
import { models, type Model } from "../server";

function Served({ one }: { one: Model }) {
  const doing = page.working.value[one.id];
  const facts = [
    one.architecture,
    one.parameters ? `${count(one.parameters)} parameters` : "",
    one.device ?? "",
    one.context_length ? `context ${count(one.context_length)}` : "",
    one.weight_bytes ? `${bytes(one.weight_bytes)} of weights` : "",
    one.resident_bytes ? `${bytes(one.resident_bytes)} in memory` : "",
    one.state === "loaded" && one.idle_seconds > 60 ? `idle for ${seconds(one.idle_seconds)}` : "",
  ].filter(Boolean);
  return (
    <li class="model">
      <div>
        <h3>
          {one.id} <span class={`state ${one.state}`}>{one.state === "evicted" ? "not in memory" : one.state}</span>
          {one.pinned && <span class="state">pinned</span>}
        </h3>
        <p class="note">{one.progress ?? one.reason ?? facts.join(" · ")}</p>
        {one.capabilities && (
          <p class="tags" aria-label="Can do">
            {one.capabilities.map((each) => (
              <span key={each}>{each}</span>
            ))}
          </p>
        )}
      </div>
      <div class="actions">
        {one.state === "loaded" ? (
          <>
            <button type="button" disabled={!!doing} onClick={() => void page.load(one.id, !one.pinned)}>
              {one.pinned ? "Unpin" : "Pin"}
            </button>
            <button type="button" disabled={!!doing} onClick={() => void page.unload(one.id)}>
              {doing ?? "Unload"}
            </button>
          </>
        ) : (
          <button type="button" disabled={!!doing || one.state === "loading"} onClick={() => void page.load(one.id)}>
            {doing ?? (one.state === "loading" ? "loading" : "Load")}
          </button>
        )}
      </div>
    </li>
  );
}

function PullRow({ one }: { one: page.Pull }) {
  const known = one.total > 0;
  return (
    <li class="pull">
      <div class="row">
        <b>{one.name}</b>
        <span class="gap" />
        {one.over ? (
          <button
            type="button"
            class="quiet"
            onClick={() => (page.pulls.value = page.pulls.value.filter((each) => each !== one))}
          >
            Dismiss
          </button>
        ) : (
          <button type="button" onClick={() => one.abort.abort()}>
            Stop
          </button>
        )}
        {one.over && one.error && (
          <button type="button" onClick={() => void page.pull(one.name)}>
            Go on
          </button>
        )}
      </div>
      {!one.over && (
        <progress aria-label={`Download of ${one.name}`} max={known ? one.total : 1} value={known ? one.done : undefined} />
      )}
      <p class={one.error ? "complaint" : "note"} role={one.error ? "alert" : undefined}>
        {one.error ||
          (one.over
            ? "It is here."
            : known
              ? `${one.status}: ${bytes(one.done)} of ${bytes(one.total)}, ${percent(one.done, one.total)}`
              : one.status)}
      </p>
    </li>
  );
}

function EntryRow({ one, limit }: { one: page.Entry; limit: number | null }) {
  const [sure, setSure] = useState(false);
  const doing = page.working.value[one.name];
  const fits = page.fit(one.bytes, limit);
  return (
    <li class="model">
      <div>
        <h3>
          {one.name} {fits && <span class={`state ${fits.level}`}>{fits.words}</span>}
        </h3>
        <p class="note">
          {[one.description, bytes(one.bytes), page.speed(one.name, page.recipe.value)].filter(Boolean).join(" · ")}
        </p>
      </div>
      <div class="actions">
        {!one.here && (
          <button type="button" onClick={() => void page.pull(one.name)}>
            <Icon name="pull" /> Download
          </button>
        )}
        {one.here && !one.served && (
          <button type="button" disabled={!!doing} onClick={() => void page.load(one.name)}>
            {doing ?? "Load"}
          </button>
        )}
        {one.here && one.removable && !one.served && !sure && (
          <button type="button" disabled={!!doing} aria-label={`Delete ${one.name}`} onClick={() => setSure(true)}>
            Delete
          </button>
        )}
        {sure && (
          <>
            <button
              type="button"
              class="danger"
              ref={(button) => button?.focus()}
              onClick={() => {
                setSure(false);
                void page.remove(one.name);
              }}
            >
              Delete {bytes(one.bytes)}
            </button>
            <button type="button" class="quiet" onClick={() => setSure(false)}>
              Keep
            </button>
          </>
        )}
        {one.served && <span class="note">served</span>}
      </div>
    </li>
  );
}

// What `rapid-mlx recipe` would propose here.
function Suggested() {
  const known = page.recipe.value;
  const rows: [string, page.Expected | null | undefined, string][] = [
    ["Smart", known?.smart, "the best that fits and is quick enough"],
    ["Fast", known?.fast, "hardly worse, much faster"],
  ];
  const shown = rows.filter(([, one]) => one);
  if (!known || shown.length === 0) return null;
  const here = new Map(page.library.value?.data.map((each) => [each.name, each]));
  return (
    <section aria-label="For this machine">
      <h2>For this machine</h2>
      <ul class="list">
        {shown.map(([title, one, what]) => (
          <li class="model" key={title}>
            <div>
              <h3>
                {one!.model} <span class="state">{title}</span>
              </h3>
              <p class="note" title={one!.why}>
                {what} · {page.speed(one!.model, known)} · first token of {count(one!.prompt_tokens)} tokens after{" "}
                {seconds(one!.ttft_ms / 1000)}
              </p>
            </div>
            <div class="actions">
              {here.get(one!.model)?.here === false && (
                <button type="button" aria-label={`Download ${one!.model}`} onClick={() => void page.pull(one!.model)}>
                  <Icon name="pull" /> Download
                </button>
              )}
            </div>
          </li>
        ))}
      </ul>
      <p class="note">Expected with a context of {count(known.context)}, not measured.</p>
    </section>
  );
}

function PullForm() {
  const [name, setName] = useState("");
  return (
    <form
      class="row pullform"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) void page.pull(name.trim());
        setName("");
      }}
    >
      <label class="grow">
        <span class="hidden">Another model</span>
        <input
          value={name}
          placeholder="org/name of the hub, or a short name"
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="main" disabled={!name.trim()}>
        Download
      </button>
    </form>
  );
}

export function ModelsPage() {
  useEffect(() => {
    document.title = "Models – rapid-mlx";
    void page.refresh();
    void page.refreshRecipe();
    const timer = setInterval(() => void page.refresh(), 5000);
    return () => clearInterval(timer);
  }, []);
  const entries = page.library.value?.data ?? [];
  const limit = page.library.value?.memory_limit_bytes ?? null;
  const group = (here: boolean) => entries.filter((each) => each.here === here);
  return (
    <main class="page narrow" aria-label="Models" tabIndex={-1}>
      <h1>Models</h1>
      {page.complaint.value && (
        <p class="complaint" role="alert">
          {page.complaint.value}
        </p>
      )}
      <section>
        <h2>Served</h2>
        <ul class="list">
          {models.value.map((each) => (
            <Served key={each.id} one={each} />
          ))}
        </ul>
      </section>
      {page.pulls.value.length > 0 && (
        <section>
          <h2>Downloads</h2>
          <ul class="list">
            {page.pulls.value.map((each) => (
              <PullRow key={each.name} one={each} />
            ))}
          </ul>
        </section>
      )}
      <Suggested />
      <section>
        <h2>On this machine</h2>
        {group(true).length === 0 && <p class="note">None yet.</p>}
        <ul class="list">
          {group(true).map((each) => (
            <EntryRow key={each.name} one={each} limit={limit} />
          ))}
        </ul>
      </section>
      <section>
        <h2>To download</h2>
        <p class="note">
          {limit ? `Models may take ${bytes(limit)} of memory here.` : "The memory limit is known once a model was loaded."}
        </p>
        <PullForm />
        <ul class="list">
          {group(false).map((each) => (
            <EntryRow key={each.name} one={each} limit={limit} />
          ))}
        </ul>
      </section>
    </main>
  );
}
