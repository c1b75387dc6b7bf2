"""How many tool calls of a served model are valid, and by what means.

    tools/call_stats.py --url http://127.0.0.1:8000 --temperature 1.2

Every prompt goes out with 1 to 8 tools, under each of the modes: free (for a
server with --format plain: the answer's JSON is read without any help), auto
(once with a server that has --no-redecode, once without), strict (auto, with
strict tools) and required. Valid = the arguments satisfy the schema.
"""

import argparse
import json
import random
import re
import urllib.request

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


def ask(options, body):
    request = urllib.request.Request(
        options.url + "/v1/chat/completions", json.dumps(body).encode(),
        {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        return json.loads(reply.read())


def run(options, mode):
    rng = random.Random(options.seed)
    called = valid = rejected = redecoded = 0
    for i in range(options.prompts):
        name = rng.choice(list(TOOLS))
        others = [other for other in TOOLS if other != name]
        names = [name] + rng.sample(others, rng.randrange(0, 8))
        rng.shuffle(names)
        text = TOOLS[name][0].format(rng.choice(WORDS))
        reply = ask(options, {
            "model": "default", "seed": i, "max_tokens": 160,
            "temperature": options.temperature,
            "messages": [{"role": "user", "content": text}],
            "tools": [declaration(each, mode == "strict") for each in names],
            "parallel_tool_calls": False,
            "tool_choice": "required" if mode == "required" else "auto"})
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
    print(f"{mode:9} called {called:3}  valid {valid:3}  "
          f"rejected {rejected}  redecoded {redecoded}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--modes", default="auto,strict,required")
    options = parser.parse_args()
    for mode in options.modes.split(","):
        run(options, mode)


if __name__ == "__main__":
    main()
