#!/usr/bin/env python3
"""Time to the first token of an agent's turns, and what is prefilled for them.

  tools/ttft_check.py [MODEL] [--rounds 5] [--llama-server PATH] [--json FILE]

Each round is a new agent with a system prompt and tools of --tokens tokens:
  cold     its first request
  warm     its next turn
  other    another agent's first request, then its next turn
  restart  the server is stopped and started; its next turn (ours only)
With --llama-server the same steps run there, on the same file, in turns
(who is first changes with the round). A time is that of a whole request with
max_tokens 1; medians are compared. Then, by count, every habit of
tools/agent_prompts.py alone and all together: no more may be evaluated than
what the client added. Exit 1 unless

  warm <= cold / 20     other <= cold / 20     restart <= 1.5 x warm
  warm and other not above llama-server's
  nothing evaluated twice in histories that came back changed
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from agent_prompts import Agent, user_text
from serving import BINARY, Server, ask, cached, free_port, table

CHAT = "/v1/chat/completions"
STEPS = ("cold", "warm", "other", "restart")


def model_file(model):
    done = subprocess.run([BINARY, "ls", "--json"], capture_output=True,
                          text=True, check=True)
    for each in json.loads(done.stdout):
        if model in (each.get("alias"), each.get("name")):
            path = pathlib.Path(each["path"])
            return str(next(path.glob("*.gguf"), path))
    raise SystemExit(f"{model} is not pulled")


class LlamaServer(Server):
    """llama.cpp's, with its prompt cache as it is by default."""

    def __init__(self, program, path, threads, context, log):
        port = free_port()
        super().__init__("", command=[
            program, "-m", path, "--port", str(port), "-c", str(context),
            "-t", str(threads), "--jinja", "-np", "2"], log=log, port=port)


def chat(server, agent, tokens, **more):
    begin = time.perf_counter()
    status, reply = ask(server, "POST", CHAT,
                        agent.request(max_tokens=tokens, **more))
    seconds = time.perf_counter() - begin
    if status != 200:
        raise SystemExit(f"{status}: {reply}")
    return reply, seconds


class Side:
    """One server and what it measured."""

    def __init__(self, name, server, options):
        self.name, self.server, self.options = name, server, options
        self.times = {step: [] for step in STEPS}
        self.evaluated = {step: [] for step in STEPS}
        self.prompt_tokens = []

    def measure(self, step, agent):
        reply, seconds = chat(self.server, agent, 1)
        usage = reply["usage"]
        self.times[step].append(seconds)
        self.evaluated[step].append(usage["prompt_tokens"] - cached(usage))
        if step == "cold":
            self.prompt_tokens.append(usage["prompt_tokens"])

    def turn(self, agent, rng):
        """The agent goes on: an answer, and something new to say."""
        reply, _ = chat(self.server, agent, 24)
        message = reply["choices"][0]["message"]
        agent.answer({key: message[key] for key in ("role", "content",
                                                    "tool_calls")
                      if message.get(key)})
        agent.say(user_text(rng))

    def begin_round(self, number):
        self.rng = random.Random(number)
        seed = self.options.seed * 1000 + number
        self.agent = Agent(seed, self.options.words, habits=[])
        self.agent.say(user_text(self.rng))

    def step(self, step, number):
        if step == "other":
            stranger = Agent(-self.options.seed * 1000 - number,
                             self.options.words, habits=[])
            stranger.say(user_text(self.rng))
            chat(self.server, stranger, 1)
        elif step == "restart":
            time.sleep(2.5)  # the state of a finished answer is durable by then
            self.server.stop()
            self.server.start()
        self.measure(step, self.agent)
        self.turn(self.agent, self.rng)


def changed_histories(server, options):
    """(habits, requests, tokens evaluated, of them new ones)."""
    rows = []
    for number, habits in enumerate(
            [[habit] for habit in Agent.HABITS] + [Agent.HABITS]):
        agent = Agent(options.seed * 1000 + 500 + number, options.words // 8,
                      tools=4, habits=habits)
        rng = random.Random(number)
        known, evaluated, new, count = 0, 0, 0, 0
        for turn in range(8):
            if not agent.history or agent.history[-1]["role"] != "tool":
                agent.say(user_text(rng))
            if "mid_system" in habits and turn in (3, 6):
                agent.instruct("Reminder: be brief.")
            calls = turn % 2 == 0
            reply, _ = chat(server, agent, 100 if calls else 40,
                            tool_choice="required" if calls else "auto",
                            parallel_tool_calls=False)
            usage = reply["usage"]
            if turn > 0:
                evaluated += usage["prompt_tokens"] - cached(usage)
                new += usage["prompt_tokens"] - known
                count += 1
            known = usage["prompt_tokens"] + usage["completion_tokens"] - 1
            agent.answer(reply["choices"][0]["message"])
        rows.append({"habits": "+".join(habits) if len(habits) == 1 else "all",
                     "requests": count, "evaluated": evaluated, "new": new})
    return rows


def run_rounds(sides, options):
    for number in range(options.rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        for side in sides:
            side.begin_round(number)
        for step in STEPS:
            for side in order:
                if step != "restart" or side.name == "ours":
                    side.step(step, number)
        print(f"round {number + 1}: " + ", ".join(
            f"{side.name} " + " ".join(
                f"{step} {1e3 * side.times[step][-1]:.0f}"
                for step in STEPS if side.times[step])
            for side in sides) + " ms", file=sys.stderr, flush=True)


def bars(ours, theirs, changed):
    cold, warm, other, again = (
        statistics.median(ours.times[step]) for step in STEPS)
    out = [("warm / cold", warm / cold, 1 / 20),
           ("other / cold", other / cold, 1 / 20),
           ("restart / warm", again / warm, 1.5)]
    if theirs:
        for step, mine in (("warm", warm), ("other", other)):
            out.append((f"{step} / llama-server's",
                        mine / statistics.median(theirs.times[step]), 1.0))
    out.append(("evaluated twice, changed histories",
                sum(max(0, row["evaluated"] - row["new"])
                    for row in changed), 0))
    return out


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-0.5b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=2350,
                        help="of the system prompt; with the tools 6,000 tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--llama-server", help="the program, to compare with")
    parser.add_argument("--json", help="also write all times to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapid-ttft-") as folder:
        servers = [Server(options.model, "--cache-dir", folder, "--threads",
                          str(options.threads), log=folder + "/ours.log")]
        try:
            sides = [Side("ours", servers[0], options)]
            if options.llama_server:
                servers.append(LlamaServer(
                    options.llama_server, model_file(options.model),
                    options.threads, 32768, folder + "/theirs.log"))
                sides.append(Side("llama-server", servers[1], options))
            run_rounds(sides, options)
            changed = changed_histories(servers[0], options)
        finally:
            for server in servers:
                server.stop()
    table([(side.name, step, f"{1e3 * statistics.median(side.times[step]):.1f}",
            f"{statistics.median(side.evaluated[step]):.0f}")
           for side in sides for step in STEPS if side.times[step]],
          (f"{statistics.median(sides[0].prompt_tokens):.0f} tokens", "step",
           "median ms", "evaluated"))
    table([tuple(row.values()) for row in changed],
          ("history changed by", "requests", "evaluated", "of them new"))
    checks = bars(sides[0], sides[1] if len(sides) > 1 else None, changed)
    table([(name, f"{value:.3f}", f"<= {bar:.3g}",
            "yes" if value <= bar else "NO") for name, value, bar in checks],
          ("what", "measured", "wanted", "held"))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({
            "times": {side.name: side.times for side in sides},
            "evaluated": {side.name: side.evaluated for side in sides},
            "changed": changed, "checks": checks}, indent=1))
    return 0 if all(value <= bar for _, value, bar in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
