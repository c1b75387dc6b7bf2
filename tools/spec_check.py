#!/usr/bin/env python3
"""What guesses of how an answer goes on are worth (serve --speculate).

  tools/spec_check.py [MODEL] [--lines 300] [--rounds 3] [--json FILE]
                      [--flags "--draft OTHER"] [--only copy,prose]

Two servers, one with --speculate off and one with auto, get the same chats in
turns, one request at a time:
  copy    a file of --lines lines is to be written again with one name changed
  again   the same with another name, in a warm server
  prose   a story: little repeats; drawn at temperature 1: nothing
  facts   a list
  drawn   the copy at temperature 0.7 with a seed
Medians of decode tokens per second by the engine's own times. Exit 1 unless

  every answer is equal, token by token (greedy and drawn)
  copy and again are faster with guesses
  nothing is more than --loss percent (2) slower

A time is as good as the machine was idle: the load is printed beside it.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import sys
import tempfile

from serving import Server, ask, table

CHAT = "/v1/chat/completions"


def source(lines):
    """Plain Python of so many lines, none of them twice in a row."""
    out = ["import math", "", ""]
    number = 0
    while len(out) < lines:
        number += 1
        out += [
            f"def measure_{number}(values, limit={number * 7}):",
            f'    """Sums what is under the limit, in steps of {number}."""',
            "    total = 0",
            f"    for index in range(0, len(values), {number}):",
            "        if values[index] < limit:",
            f"            total += math.sqrt(values[index] + {number * 3})",
            f"    return round(total / {number + 1}, {number % 5})",
            "",
            "",
        ]
    return "\n".join(out[:lines]) + "\n"


def copy_task(lines, name):
    return (
        "Write this file again, complete, with the parameter `limit` renamed "
        f"to `{name}`. Answer with the file alone.\n\n"
        f"```python\n{source(lines)}```")


STORY = (
    "Tell a long story of a lighthouse keeper who finds a letter in a bottle. "
    "Use many different words and never say the same thing twice.")
FACTS = "Name twenty cities, each with its country and one fact about it."


def run(server, text, tokens, **more):
    status, reply = ask(server, "POST", CHAT, {
        "model": "default",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "logprobs": True,
        **more,
    })
    if status != 200:
        raise SystemExit(f"{status}: {reply}")
    done = ask(server, "GET", "/v1/activity")[1]["requests"][0]
    usage = reply["usage"]
    details = usage["completion_tokens_details"]
    choice = reply["choices"][0]
    return {
        "said": [(each["token"], each["logprob"])
                 for each in choice["logprobs"]["content"]],
        "reason": choice["finish_reason"],
        "tokens": usage["completion_tokens"],
        "rate": (usage["completion_tokens"] - 1) / done["decode_seconds"],
        "accepted": details.get("accepted_prediction_tokens", 0),
        "rejected": details.get("rejected_prediction_tokens", 0),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-0.5b")
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=300, help="of a story")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loss", type=float, default=2)
    parser.add_argument("--flags", default="--speculate auto")
    parser.add_argument("--only", help="tasks, by comma")
    parser.add_argument("--json")
    args = parser.parse_args()
    long = args.lines * 14
    tasks = {
        "copy": (copy_task(args.lines, "most"), long, {}),
        "again": (copy_task(args.lines, "bound"), long, {}),
        "prose": (STORY, args.tokens, {}),
        "drawn prose": (STORY, args.tokens, {"temperature": 1, "seed": 3}),
        "facts": (FACTS, args.tokens, {}),
        "drawn": (copy_task(args.lines, "most"), long,
                  {"temperature": 0.7, "seed": 7}),
    }
    if args.only:
        tasks = {name: tasks[name] for name in args.only.split(",")}
    with tempfile.TemporaryDirectory() as home:
        flags = ["--threads", "0", "--disk-cache", "0"]
        plain = Server(args.model, "--speculate", "off", *flags,
                       log=os.path.join(home, "plain.log"))
        guessing = Server(args.model, *shlex.split(args.flags), *flags,
                          log=os.path.join(home, "guessing.log"))
        try:
            return measure(args, plain, guessing, tasks)
        finally:
            plain.stop()
            guessing.stop()


def measure(args, plain, guessing, tasks):
    print("plain:   ", shlex.join(plain.command))
    print("guessing:", shlex.join(guessing.command))
    for server in (plain, guessing):
        run(server, "Say hello.", 16)
    rows, out, wrong = [], {}, []
    for name, (text, tokens, more) in tasks.items():
        got = {"plain": [], "guessing": []}
        for turn in range(args.rounds):
            pair = [("plain", plain), ("guessing", guessing)]
            for who, server in pair if turn % 2 == 0 else reversed(pair):
                got[who].append(run(server, text, tokens, **more))
        first = got["plain"][0]
        for each in got["plain"] + got["guessing"]:
            if (each["said"], each["reason"]) != (first["said"], first["reason"]):
                wrong.append(f"{name}: an answer is another one")
        before = statistics.median(each["rate"] for each in got["plain"])
        after = statistics.median(each["rate"] for each in got["guessing"])
        last = got["guessing"][-1]
        rows.append([
            name, first["tokens"], f"{before:.1f}", f"{after:.1f}",
            f"{after / before:.2f}x", last["accepted"], last["rejected"]])
        out[name] = {
            "tokens": first["tokens"], "plain": before, "guessing": after,
            "accepted": last["accepted"], "rejected": last["rejected"]}
        if name in ("copy", "again") and after <= before:
            wrong.append(f"{name} is no faster")
        if after < before * (1 - args.loss / 100):
            wrong.append(f"{name} is slower by more than {args.loss} %")
    table(rows, ["task", "tokens", "plain tok/s", "guessing", "", "accepted",
                 "rejected"])
    print(f"load {os.getloadavg()[0]:.1f}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(out, indent=1) + "\n")
    for each in dict.fromkeys(wrong):
        print("WRONG:", each)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
