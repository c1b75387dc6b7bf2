// Some agents at work on a server: lanes with histories that grow, one whose
// system prompt changes, one that leaves before the end.
export function startLoad(url, model = "default") {
  let open = true;
  const say = (lane, messages, more = {}, signal = undefined) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ model, messages, max_tokens: 48, prompt_cache_key: lane, ...more }),
      signal,
    }).then((reply) => reply.json());
  const rules = "You are a careful helper. Answer in short sentences. ".repeat(12);

  async function talk(lane, system) {
    for (let turn = 0; open; turn++) {
      const messages = [{ role: "system", content: system(turn) }];
      for (let i = 0; open && i < 4; i++) {
        messages.push({ role: "user", content: `Question ${turn}.${i}: what is ${turn + i} plus ${i}?` });
        const reply = await say(lane, messages);
        messages.push(reply.choices?.[0]?.message ?? { role: "assistant", content: "-" });
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    }
  }
  async function leave() {
    while (open) {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), 700);
      await say("impatient", [{ role: "user", content: rules + "Tell a long story." }], { max_tokens: 400 }, abort.signal).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 2500));
    }
  }
  const all = [
    talk("coder-main", () => rules),
    talk("coder-subagent-1", () => `${rules}You only review.`),
    talk("clock-in-prompt", (turn) => `It is ${turn} o'clock. ${rules}`),
    leave(),
  ];
  return async () => {
    open = false;
    await Promise.allSettled(all);
  };
}
