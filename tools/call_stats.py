#!/usr/bin/env python3
"""How many tool calls of a model are valid, and by what means.

  tools/call_stats.py [MODEL] [--prompts 100] [--temperature 0] [--streams 8]

Every prompt goes out with 1 to 8 tools, in each of these modes:
  free       the answer's JSON is read without any help (--format plain)
  recovery   auto, and what is malformed stays so (--no-redecode)
  redecode   auto, as it is by default
  strict     auto, with strict tools: a grammar from the call on
  required   a grammar from the first token on
Valid = every call's arguments satisfy its schema. Without a MODEL that is
qwen2.5-coder-0.5b. Prompts run beside each other, which changes no answer.
"""

import argparse
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

from serving import Server, ask, table

TOOLS = {
    "get_weather": ("What is the weather in {}?", {"city": "string"}),
    "read_file": ("Show me lines of the file /tmp/{}.txt.",
                  {"path": "string", "lines": "integer"}),
    "search": ("Search the web for {}.",
               {"query": "string", "limit": "integer"}),
    "send_mail": ("Send a mail to {} about lunch.",
                  {"to": "string", "subject": "string", "urgent": "boolean"}),
    "add": ("Use the tool to add 3 and {}.", {"a": "number", "b": "number"}),
    "translate": ("Translate '{}' into French.",
                  {"text": "string", "language": "string"}),
    "timer": ("Set a timer for 5 minutes for {}.", {"minutes": "integer"}),
    "tags": ("Tag the note {} as urgent and private.",
             {"note": "string", "tags": "array"}),
}
WORDS = ["paris", "rust", "berlin", "cats", "anna", "tea", "12", "7", "oslo"]
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list,
         "number": (int, float)}


def declaration(name, strict):
    properties = {key: {"type": kind} if kind != "array" else
                  {"type": kind, "items": {"type": "string"}}
                  for key, kind in TOOLS[name][1].items()}
    function = {"name": name, "description": name.replace("_", " "),
                "parameters": {"type": "object", "properties": properties,
                               "required": list(properties)}}
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def is_valid(name, arguments):
    if name not in TOOLS or not isinstance(arguments, dict):
        return False
    kinds = TOOLS[name][1]
    if not all(key in arguments for key in kinds):
        return False
    return all(
        isinstance(value, TYPES[kinds[key]])
        and (kinds[key] == "boolean") == isinstance(value, bool)
        for key, value in arguments.items() if key in kinds)


def strictly_read(text):
    """The calls of a raw answer, as a client without recovery would see."""
    found = re.findall(r"<tool_call>(.*?)</tool_call>", text, re.S)
    for raw in found or [text]:
        try:
            call = json.loads(raw)
            yield call["name"], call["arguments"]
        except (ValueError, KeyError, TypeError):
            if found:
                yield "", None


MODES = {  # name: (of the server, tool_choice, strict)
    "free": (("--format", "plain"), "auto", False),
    "recovery": (("--no-redecode",), "auto", False),
    "redecode": ((), "auto", False),
    "strict": ((), "auto", True),
    "required": ((), "required", False),
}


def bodies(options, mode):
    rng = random.Random(options.seed)
    _, choice, strict = MODES[mode]
    for i in range(options.prompts):
        name = rng.choice(list(TOOLS))
        others = [other for other in TOOLS if other != name]
        names = [name] + rng.sample(others, rng.randrange(0, 8))
        rng.shuffle(names)
        text = TOOLS[name][0].format(rng.choice(WORDS))
        yield {
            "model": "default", "seed": i, "max_tokens": 160,
            "temperature": options.temperature,
            "messages": [{"role": "user", "content": text}],
            "tools": [declaration(each, strict) for each in names],
            "parallel_tool_calls": False, "tool_choice": choice}


def run(server, options, mode):
    """[mode, answers with a call, valid ones, rejected, decoded again]."""
    def one(body):
        status, reply = ask(server, "POST", "/v1/chat/completions", body)
        if status != 200:
            raise SystemExit(f"{status}: {reply}")
        return reply

    with ThreadPoolExecutor(options.streams) as pool:
        replies = list(pool.map(one, bodies(options, mode)))
    called = valid = rejected = redecoded = 0
    for reply in replies:
        message = reply["choices"][0]["message"]
        calls = [(call["function"]["name"],
                  json.loads(call["function"]["arguments"]))
                 for call in message.get("tool_calls") or []]
        if mode == "free":
            calls = list(strictly_read(message["content"] or ""))
        ours = reply.get("rapid_mlx", {})
        rejected += len(ours.get("rejected", []))
        redecoded += ours.get("redecoded", 0)
        called += bool(calls)
        valid += bool(calls) and all(is_valid(*call) for call in calls)
    return [mode, called, valid, rejected, redecoded]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-0.5b")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--modes", default=",".join(MODES))
    options = parser.parse_args()
    rows = []
    for mode in options.modes.split(","):
        server = Server(options.model, *MODES[mode][0])
        try:
            rows.append(run(server, options, mode))
        finally:
            server.stop()
        table([rows[-1]], ["mode", "called", "valid", "rejected",
                           "decoded again"])


if __name__ == "__main__":
    main()
