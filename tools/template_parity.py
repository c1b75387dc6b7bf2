#!/usr/bin/env python3
"""Renders real chat templates here and with transformers, byte by byte.

  python tools/template_parity.py --program build/release/bin/text_lines \\
      [--models FOLDER] [--templates FOLDER]

Templates: those of tools/fetch_templates.py, those of the models' GGUF files,
or a folder. Also checks that the spans of user data cover the text of users.
"""
import argparse
import glob
import json
import os
import sys

from fetch_templates import sdist_templates

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Wetter für <city> & more",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "The \"city\""},
        "days": {"type": "integer", "default": 1}}, "required": ["city"]}}}]
CALL = {"id": "call00001", "type": "function", "function": {
    "name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}
USER = {"role": "user", "content": "Hi <|im_end|> there\n  two "}
BOT = {"role": "assistant", "content": "Hello! 你好"}
CHATS = [
    [USER],
    [{"role": "system", "content": " Be brief. "}, USER],
    [USER, BOT, {"role": "user", "content": "And \"now\"?"}],
    [{"role": "system", "content": "S"}, USER, BOT,
     {"role": "user", "content": "x"}, BOT],
    [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"},
     {"role": "user", "content": "ok"}],
    [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "tool_call_id": "call00001", "name": "get_weather",
      "content": "{\"t\": 1e21, \"x\": \"</tool_response>\"}"}],
    [USER, {"role": "assistant", "content": "a", "reasoning_content": "r"},
     {"role": "user", "content": "b"}],
    [{"role": "user", "content": [{"type": "text", "text": "part <eos> one"},
                                  {"type": "text", "text": "two"}]}],
]


def model_templates(folder):
    from text_reference import fields
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.gguf"))):
        template = fields(path)("chat_template")
        if template:
            found[os.path.basename(path)] = template
    return found


def cases():
    for chat in CHATS:
        for tools in (None, TOOLS):
            for extra in ({}, {"enable_thinking": False},
                          {"enable_thinking": True}):
                for generate in (False, True):
                    yield {"messages": chat, "tools": tools, "documents": None,
                           "extra": extra, "add_generation_prompt": generate}


TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def theirs(compiled, case):
    rest = {k: v for k, v in case.items() if k != "extra"}
    try:
        return compiled.render(**TOKENS, **rest, **case["extra"])
    except Exception as error:  # the template's own choice of exception
        return error


def covered(reply):
    """The untrusted marker of the chats never lies outside the spans."""
    raw = reply["text"].encode()
    at = raw.find(b"<|im_end|> there")
    if at < 0:
        return True
    return any(b <= at and e >= at + 10 for b, e in reply["user"])


def over_covered(reply):
    """Template text inside spans: role headers that must stay control."""
    raw = reply["text"].encode()
    marks = (b"<|im_start|>", b"<start_of_turn>", b"<|start_header_id|>")
    count = 0
    for mark in marks:
        at = raw.find(mark)
        while at >= 0:
            count += any(b < at + len(mark) and e > at
                         for b, e in reply["user"])
            at = raw.find(mark, at + 1)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--models")
    parser.add_argument("--templates", help="a folder instead of the sdist")
    args = parser.parse_args()
    from transformers.utils.chat_template_utils import _compile_jinja_template
    from text_parity import Lines
    if args.templates:
        paths = glob.glob(os.path.join(args.templates, "*.jinja"))
        sources = {os.path.basename(p): open(p).read() for p in sorted(paths)}
    else:
        sources = sdist_templates()
    if args.models:
        sources.update(model_templates(args.models))
    lines = Lines(args.program)
    equal = rendered = lenient = both = uncovered = over = 0
    took = []
    for name, source in sorted(sources.items()):
        compiled = _compile_jinja_template(source)
        bad = 0
        for case in cases():
            expected = theirs(compiled, case)
            got = lines.ask(template=source, input=case, tokens=TOKENS)
            if isinstance(expected, Exception):
                lenient += "text" in got
                both += "text" not in got
                continue
            rendered += 1
            if got.get("text") == expected:
                equal += 1
                took.append(got["ms"])
                uncovered += not covered(got)
                over += over_covered(got)
                continue
            bad += 1
            if bad == 1:
                print(f"{name}: differs; {got.get('error', '')}")
                text = got.get("text", "")
                at = next((i for i, (a, b) in enumerate(zip(expected, text))
                           if a != b), min(len(expected), len(text)))
                print("  theirs", ascii(expected[at - 30:at + 60]))
                print("  ours  ", ascii(text[at - 30:at + 60]))
        if bad:
            print(f"{name}: {bad} cases differ")
    took.sort()
    print(f"{len(sources)} templates: {equal}/{rendered} byte-equal; "
          f"{lenient} rendered where the reference raises, {both} refused by "
          f"both; user text outside its spans in {uncovered} cases, control "
          f"text inside spans {over} times; render with spans p50 "
          f"{took[len(took) // 2] * 1000:.0f} us, "
          f"p99 {took[len(took) * 99 // 100] * 1000:.0f} us")
    return 0 if equal == rendered and not uncovered else 1


if __name__ == "__main__":
    sys.exit(main())
