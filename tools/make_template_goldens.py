#!/usr/bin/env python3
"""Makes tests/data/template_goldens.json: what transformers' own renderer
makes of conversations with tools, calls, results and reasoning, through real
chat templates. Only digests and a few short texts are kept.

  python tools/make_template_goldens.py TEMPLATES_FOLDER

A template is given arguments as an object and "" beside calls; where it shows
no call then, null or JSON text. A case that it refuses, or of which it drops
a call, a result or a question, has no golden.
"""
import glob
import hashlib
import json
import os
import sys

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "data",
                   "template_goldens.json")
# The date is part of some prompts: both sides see this one.
CLOCK = "{%- macro strftime_now(f) -%}26 Jul 2024{%- endmacro -%}"
# Tools come out HTML-escaped there (Markup of `|safe`): an accident; or are
# read from a variable of its own; or `spec.items`, meant as a key, is Python's
# method there and prints List[Union[]] (ours: List[str]).
SKIP = {"meetkai-functionary-medium-v3.1",
        "fireworks-ai-llama-3-firefunction-v2",
        "CohereForAI-c4ai-command-r-plus-tool_use"}
# These number a message's calls themselves, functions.NAME:0, and print the
# id as sent at the result: we make the same of any id, the reference is given
# it.
NUMBERED = {"moonshotai-Kimi-K2"}
LONGEST = 500


def tool(name, description, **properties):
    return {"type": "function", "function": {
        "name": name, "description": description, "parameters": {
            "type": "object", "properties": properties,
            "required": list(properties)[:1]}}}


TOOLS = [
    tool("get_weather", "Wetter für <city> & \"more\"",
         city={"type": "string", "description": "Its 'name'"},
         days={"type": "integer", "description": "How many"}),
    tool("write", "Writes a file",
         path={"type": "string", "description": "Where"},
         lines={"type": "array", "items": {"type": "string"},
                "description": "What"})]


def call(number, name, **arguments):
    return {"id": f"call{number:05}", "type": "function", "function": {
        "name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}}


def calling(*calls, content="", **rest):
    return {"role": "assistant", "content": content, **rest,
            "tool_calls": list(calls)}


def result(number, name, content):
    return {"role": "tool", "content": content,
            "tool_call_id": f"call{number:05}", "name": name}


def user(content):
    return {"role": "user", "content": content}


def bot(content, **rest):
    return {"role": "assistant", "content": content, **rest}


SYSTEM = {"role": "system", "content": "Be brief."}
ASK = user("Is it \"warm\" in Köln?\n <b>Now</b> 你好")
ONE = call(1, "get_weather", city="Zürich", days=2)
TWO = call(2, "get_weather", city="Paris \"x\"")
NASTY = call(3, "write", path="C:\\tmp\\a 'b'.txt", lines=[
    "def f(x):\n\treturn \"</tool_call>\" + '你好 👍' \\", "", "<&>"],
    deep={"a": [1, 2.5, None, True, {"b": {}}], "": -0.0}, big=1e21)
FULL = [SYSTEM, ASK, calling(ONE), result(1, "get_weather", "{\"t\": 21.5}"),
        bot("It has 21.5 °C."), user("And tomorrow?")]
# name -> (messages, tools?, extra)
CASES = {
    "chat": ([SYSTEM, ASK, bot("Yes."), user("Sure?")], False, {}),
    "tools": ([SYSTEM, ASK], True, {}),
    "tools_no_system": ([ASK], True, {}),
    "call": ([ASK, calling(ONE), result(1, "get_weather", "warm")], False, {}),
    "call_tools": (
        [ASK, calling(ONE), result(1, "get_weather", "warm")], True, {}),
    "call_content": (
        [ASK, calling(ONE, content="Let me see."),
         result(1, "get_weather", "warm")], True, {}),
    "two_calls": (
        [SYSTEM, ASK, calling(ONE, TWO), result(1, "get_weather", "warm"),
         result(2, "get_weather", "wet\nand cold")], True, {}),
    "two_rounds": (
        [ASK, calling(ONE), result(1, "get_weather", "warm"), calling(TWO),
         result(2, "get_weather", "wet")], True, {}),
    "full": (FULL, True, {}),
    "nasty": (
        [ASK, calling(NASTY), result(3, "write", "ok \"<tool>\" 👍\n\ndone ")],
        True, {}),
    "thinking": (FULL, True, {"enable_thinking": True}),
    "no_thinking": (FULL, True, {"enable_thinking": False}),
    "reasoning": (
        [ASK, bot("Yes.", reasoning_content="Hm, it is\njuly."),
         user("Why?"), calling(ONE, reasoning_content="I look it up."),
         result(1, "get_weather", "warm")], True, {}),
    "reasoning_off": (
        [ASK, bot("Yes.", reasoning_content="Hm."), user("Why?")], False,
        {"enable_thinking": False}),
}


for name in ("call_content", "two_calls", "full", "nasty", "reasoning"):
    CASES[name + "_no_tools"] = (CASES[name][0], False, {})


def formed(messages, text, null):
    out = json.loads(json.dumps(messages))
    for message in out:
        for each in message.get("tool_calls", []):
            if not text:
                function = each["function"]
                function["arguments"] = json.loads(function["arguments"])
        if null and message.get("tool_calls") and not message["content"]:
            message["content"] = None
    return out


def numbered(messages):
    out = json.loads(json.dumps(messages))
    ids = {}
    for message in out:
        for number, each in enumerate(message.get("tool_calls", [])):
            name = each["function"]["name"]
            ids[each["id"]] = f"functions.{name}:{number}"
            each["id"] = ids[each["id"]]
        if "tool_call_id" in message:
            message["tool_call_id"] = ids[message["tool_call_id"]]
    return out


def words(messages, tools):
    out = [m["content"] for m in messages]
    for message in messages:
        for each in message.get("tool_calls", []):
            out.append(each["function"]["name"])
            arguments = json.loads(each["function"]["arguments"])
            out += [v for v in arguments.values() if isinstance(v, str)]
    return out + [t["function"]["name"] for t in tools or []]


def shown(text, word):
    plain = json.dumps(word, ensure_ascii=False)[1:-1]
    return any(w.strip() in text for w in (
        word, plain, json.dumps(word)[1:-1],
        json.dumps(plain, ensure_ascii=False)[1:-1]))


def render(source, messages, tools, extra):
    from transformers.utils.chat_template_utils import render_jinja_template
    try:
        rendered, _ = render_jinja_template(
            conversations=[messages], tools=tools, chat_template=source,
            add_generation_prompt=True, bos_token="<s>", eos_token="</s>",
            **extra)
        return rendered[0]
    except Exception:  # whatever the template raises
        return None


def form_of(source):
    probe = CASES["call"][0]
    for tools in (TOOLS, None):
        for text in (False, True):
            for null in (False, True):
                made = render(source, formed(probe, text, null), tools, {})
                if made and all(shown(made, w) for w in words(probe, tools)):
                    return text, null
    return False, False


def main():
    templates = {}
    count = 0
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.jinja"))):
        name = os.path.basename(path)[:-len(".jinja")]
        raw = open(path, encoding="utf-8", newline="").read()
        if name in SKIP:
            continue
        source = CLOCK + raw if "strftime_now" in raw else raw
        form = form_of(source)
        cases = {}
        texts = {}
        for case, (messages, with_tools, extra) in CASES.items():
            tools = TOOLS if with_tools else None
            given = formed(messages, *form)
            if name in NUMBERED:
                given = numbered(given)
            made = render(source, given, tools, extra)
            if made is None or not all(
                    shown(made, w) for w in words(messages, tools)):
                continue
            cases[case] = hashlib.sha256(made.encode()).hexdigest()
            count += 1
            if case == "call" and len(made) < LONGEST:
                texts[case] = made
        if "call_tools" in cases or "call" in cases:
            templates[name] = {
                "source": hashlib.sha256(raw.encode()).hexdigest(),
                "cases": cases, "texts": texts}
    conversations = {
        name: {"messages": messages, "tools": with_tools, "extra": extra}
        for name, (messages, with_tools, extra) in CASES.items()}
    with open(OUT, "w", encoding="utf-8") as out:
        json.dump({"clock": CLOCK, "tools": TOOLS,
                   "conversations": conversations, "templates": templates},
                  out, ensure_ascii=True, indent=1)
        out.write("\n")
    print(f"{len(templates)} templates, {count} cases")


if __name__ == "__main__":
    main()
