#!/usr/bin/env python3
"""A trace of four agents that take turns: how much of it is prefilled twice?

  tools/agent_trace.py [MODEL] [--turns 100] [--agents 4] [--json FILE]

Each agent has a system prompt and tools of some thousand tokens, and a client
with every habit of tools/agent_prompts.py: billing headers that change, marks
that move, arguments serialised anew and in another order, ids renamed, text
as string or list, system messages in mid-conversation. Half of the turns are
forced calls (tool_choice "required"), the others are free.

Twice = tokens that an agent's last request had in its prompt or its answer and
that were evaluated again for the next one. The one token that ends an answer
is sampled and never evaluated, so it is new. Exit 1 unless the share of all
prompt tokens is under 1 %.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

from agent_prompts import Agent, sentence, user_text
from serving import Server, ask, cached, table


class Trace:
    def __init__(self, server, options):
        self.server = server
        self.agents = [Agent(seed, options.words, options.tools)
                       for seed in range(1, options.agents + 1)]
        self.known = [0] * options.agents
        self.rng = random.Random(options.seed)
        self.rows = []

    def turn(self, number):
        index = self.rng.randrange(len(self.agents))
        agent = self.agents[index]
        if not agent.history or agent.history[-1]["role"] != "tool":
            agent.say(user_text(self.rng))
        if self.rng.random() < 0.1 and agent.history[-1]["role"] == "user":
            agent.instruct("Reminder: " + sentence(self.rng))
        calls = self.rng.random() < 0.5
        body = agent.request(
            max_tokens=100 if calls else 40, parallel_tool_calls=False,
            tool_choice="required" if calls else "auto",
            rapid_mlx={"explain_cache": True})
        begin = time.monotonic()
        status, reply = ask(
            self.server, "POST", "/v1/chat/completions", body,
            {"x-claude-code-agent-id": f"agent-{index}"})
        seconds = time.monotonic() - begin
        if status != 200:
            raise SystemExit(f"turn {number}: {status} {reply}")
        usage = reply["usage"]
        hit = cached(usage)
        choice = reply["choices"][0]
        report = reply["rapid_mlx"]["cache"]
        self.rows.append({
            "turn": number, "agent": index, "prompt": usage["prompt_tokens"],
            "cached": hit, "new": usage["prompt_tokens"] - hit,
            "twice": max(0, self.known[index] - hit),
            "seconds": round(seconds, 3), "finish": choice["finish_reason"],
            "reason": report["cache_miss_reason"],
            "difference": report["first_difference"]})
        if self.rows[-1]["twice"]:
            print(json.dumps(self.rows[-1]), flush=True)
        # Its last token is sampled, not evaluated.
        self.known[index] = (usage["prompt_tokens"] +
                             usage["completion_tokens"] - 1)
        agent.answer(choice["message"])

    def report(self):
        total = {key: sum(row[key] for row in self.rows)
                 for key in ("prompt", "cached", "new", "twice")}
        return {
            "turns": len(self.rows), **total,
            "twice_share": total["twice"] / total["prompt"],
            "cached_share": total["cached"] / total["prompt"],
            "turns_with_some_twice": sum(
                row["twice"] > 0 for row in self.rows),
            "calls": sum(row["finish"] == "tool_calls" for row in self.rows),
            "longest_prompt": max(row["prompt"] for row in self.rows),
            "rows": self.rows}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-0.5b")
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--words", type=int, default=1200,
                        help="of a system prompt")
    parser.add_argument("--tools", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="also write every turn to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapid-trace-") as folder:
        server = Server(options.model, "--cache-dir", folder)
        try:
            trace = Trace(server, options)
            for number in range(options.turns):
                trace.turn(number)
        finally:
            server.stop()
    out = trace.report()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(out, indent=1))
    good = out["twice_share"] < 0.01
    table([
        ("turns, of which calls", f"{out['turns']}, {out['calls']}", ""),
        ("prompt tokens", out["prompt"], ""),
        ("from the cache", f"{out['cached']} ({out['cached_share']:.1%})", ""),
        ("evaluated", out["new"], ""),
        ("prefilled twice", f"{out['twice']} ({out['twice_share']:.2%})",
         "< 1 %: " + ("yes" if good else "NO")),
        ("longest prompt", out["longest_prompt"], ""),
    ], (options.model, "measured", "wanted"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
