"""Writes tests/cases/formats/<format>/*.case from a second, independent
description of each format: what models write, whole and damaged, and what it
means. Cases that someone wrote by hand are left alone (the first line of ours
says so).

    python3 tools/make_format_cases.py
"""

import json
import pathlib

ROOT = pathlib.Path("tests/cases/formats")
MARK = "Made by tools/make_format_cases.py: "


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def obj(name, args, key="arguments"):
    return '{"name": %s, "%s": %s}' % (dumps(name), key, dumps(args))


def text_of(value):
    return value if isinstance(value, str) else dumps(value)


def tags(open_, key_end, close, args, line="", value_open=""):
    return "".join(
        f"{open_}{k}{key_end}{value_open}{line}{text_of(v)}{line}{close}\n"
        for k, v in args.items())


BAR = "\uff5c"
LOW = "\u2581"
DS = {k: f"<{BAR}tool{LOW}{v}{BAR}>" for k, v in {
    "calls": f"calls{LOW}begin", "calls_end": f"calls{LOW}end",
    "call": f"call{LOW}begin", "call_end": f"call{LOW}end",
    "sep": "sep"}.items()}
DSML = f"{BAR}DSML{BAR}"


def xml_call(name, args):
    body = tags("<parameter=", ">", "</parameter>", args, "\n")
    return f"<tool_call>\n<function={name}>\n{body}</function>\n</tool_call>"


def quoted(open_, name_open, name, args, param, close_param, close):
    body = tags(param, '">', close_param, args)
    return f'{name_open}{name}">\n{body}{close}\n'


def gemma(value):
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{gemma(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(gemma, value)) + "]"
    return dumps(value)


def python(value):
    if isinstance(value, str):
        return dumps(value)
    if isinstance(value, dict):
        return "{" + ", ".join(
            f"{dumps(k)}: {python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(python, value)) + "]"
    return repr(value)


def python_call(name, args):
    return name + "(" + ", ".join(
        f"{k}={python(v)}" for k, v in args.items()) + ")"


class Format:
    """name; write(calls) -> text; `tail`: what a cut behind the arguments
    loses; `tag`: its opening text; kind: json, xml, python or literal."""

    def __init__(self, name, write, tail, tag, kind="json", close=None):
        self.name, self.write, self.tail = name, write, tail
        self.tag, self.kind, self.close = tag, kind, close


def each(one, between="\n"):
    return lambda calls: between.join(one(n, a) for n, a in calls)


def section(open_, one, close):
    return lambda calls: (
        open_ + "".join(one(n, a) for n, a in calls) + close)


HERMES = each(lambda n, a: f"<tool_call>\n{obj(n, a)}\n</tool_call>")
FORMATS = [
    Format("hermes", HERMES, "\n</tool_call>", "<tool_call>",
           close="</tool_call>"),
    Format("qwen", HERMES, "\n</tool_call>", "<tool_call>",
           close="</tool_call>"),
    Format("qwen3_coder_xml", each(xml_call), "</function>\n</tool_call>",
           "<tool_call>", "xml", "</parameter>"),
    Format("nemotron", each(xml_call), "</function>\n</tool_call>",
           "<tool_call>", "xml", "</parameter>"),
    Format("llama", each(lambda n, a: obj(n, a, "parameters")), "",
           "<|python_tag|>"),
    Format("mistral", each(
        lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{dumps(a)}", ""), "",
        "[TOOL_CALLS]"),
    Format("gemma4", each(
        lambda n, a: f"<|tool_call>call:{n}{gemma(a)}<tool_call|>", ""),
        "<tool_call|>", "<|tool_call>", "literal", "<tool_call|>"),
    Format("harmony", each(
        lambda n, a: "<|start|>assistant<|channel|>commentary "
        f"to=functions.{n} <|constrain|>json<|message|>{dumps(a)}<|call|>",
        ""), "<|call|>", None, close="<|call|>"),
    Format("deepseek", section(DS["calls"], lambda n, a: (
        f"{DS['call']}function{DS['sep']}{n}\n```json\n{dumps(a)}\n```"
        f"{DS['call_end']}"), DS["calls_end"]),
        "\n```" + DS["call_end"] + DS["calls_end"], DS["calls"],
        close=DS["call_end"]),
    Format("deepseek_v3", section(DS["calls"], lambda n, a: (
        f"{DS['call']}function{DS['sep']}{n}\n```json\n{dumps(a)}\n```"
        f"{DS['call_end']}"), DS["calls_end"]),
        "\n```" + DS["call_end"] + DS["calls_end"], DS["calls"],
        close=DS["call_end"]),
    Format("deepseek_v31", section(DS["calls"], lambda n, a: (
        f"{DS['call']}{n}{DS['sep']}{dumps(a)}{DS['call_end']}"),
        DS["calls_end"]), DS["call_end"] + DS["calls_end"], DS["calls"],
        close=DS["call_end"]),
    Format("deepseek_v4_0731", section(
        f"<{DSML}tool_calls>\n", lambda n, a: (
            f'<{DSML}invoke name="{n}">\n' + "".join(
                f'<{DSML}parameter name="{k}" string="'
                f'{"true" if isinstance(v, str) else "false"}">'
                f"{text_of(v)}</{DSML}parameter>\n" for k, v in a.items())
            + f"</{DSML}invoke>\n"), f"</{DSML}tool_calls>"),
        f"</{DSML}invoke>\n</{DSML}tool_calls>", f"<{DSML}tool_calls>",
        "xml"),
    Format("glm47", each(lambda n, a: f"<tool_call>{n}\n" + tags(
        "<arg_key>", "</arg_key>", "</arg_value>", a,
        value_open="<arg_value>") + "</tool_call>"), "</tool_call>",
        "<tool_call>", "xml", "</arg_value>"),
    Format("minimax", section(
        "<minimax:tool_call>\n", lambda n, a: quoted(
            "", '<invoke name="', n, a, '<parameter name="', "</parameter>",
            "</invoke>"), "</minimax:tool_call>"),
        "</invoke>\n</minimax:tool_call>", "<minimax:tool_call>", "xml",
        "</parameter>"),
    Format("kimi", lambda calls: "<|tool_calls_section_begin|>" + "".join(
        f"<|tool_call_begin|>functions.{n}:{i}<|tool_call_argument_begin|>"
        f"{dumps(a)}<|tool_call_end|>" for i, (n, a) in enumerate(calls))
        + "<|tool_calls_section_end|>",
        "<|tool_call_end|><|tool_calls_section_end|>",
        "<|tool_calls_section_begin|>", close="<|tool_call_end|>"),
    Format("granite", lambda calls: "<|tool_call|>[" + ", ".join(
        obj(n, a) for n, a in calls) + "]", "", "<|tool_call|>"),
    Format("xlam", lambda calls: "[" + ", ".join(
        obj(n, a) for n, a in calls) + "]", "", None),
    Format("functionary", each(
        lambda n, a: f"<|from|>assistant\n<|recipient|>{n}\n<|content|>"
        f"{dumps(a)}<|stop|>"), "<|stop|>", None, close="<|stop|>"),
    Format("seed_oss", each(lambda n, a: "<seed:tool_call>\n"
           f"<function={n}>\n" + tags(
               "<parameter=", ">", "</parameter>", a)
           + "</function>\n</seed:tool_call>"),
           "</function>\n</seed:tool_call>", "<seed:tool_call>", "xml",
           "</parameter>"),
    Format("lfm", lambda calls: "<|tool_call_start|>[" + ", ".join(
        python_call(n, a) for n, a in calls) + "]<|tool_call_end|>",
        "<|tool_call_end|>", "<|tool_call_start|>", "python",
        "<|tool_call_end|>"),
    Format("minicpm", each(lambda n, a: f'<function name="{n}">' + "".join(
        f'<param name="{k}">'
        + (f"<![CDATA[{v}]]>" if isinstance(v, str) and ("<" in v or "&" in v)
           else text_of(v)) + "</param>" for k, v in a.items())
        + "</function>"), "</function>", '<function name="', "xml"),
    Format("hy_v3", each(
        lambda n, a: f"<tool_call:opensource>{n}<tool_sep:opensource>"
        f"{dumps(a)}<end_of_tool_call:opensource>", ""),
        "<end_of_tool_call:opensource>", "<tool_call:opensource>",
        close="<end_of_tool_call:opensource>"),
    Format("muse", section("<atem:function_calls>\n", lambda n, a: quoted(
        "", '<atem:invoke name="', n, a, '<atem:parameter name="',
        "</atem:parameter>", "</atem:invoke>"), "</atem:function_calls>"),
        "</atem:invoke>\n</atem:function_calls>", "<atem:function_calls>",
        "xml", "</atem:parameter>"),
    Format("auto", HERMES, "\n</tool_call>", "<tool_call>",
           close="</tool_call>"),
]

A = ("read", {"path": "/a"})
B = ("read", {"path": "/b"})
CODE = 'def f(x):\n    return "\\n" if x < 3 else {\'a\': [x]}\n\n# \\d "end"'


def call(one):
    return ["call", one[0], dumps_compact(one[1])]


def dumps_compact(args):
    return json.dumps(args, ensure_ascii=False, separators=(",", ":"))


def cases(f):
    one = f.write([A])
    yield "one", "A call alone.", {}, one, [call(A)]
    yield "two", "Two calls.", {}, f.write([A, B]), [call(A), call(B)]
    yield ("text_before", "Text before a call stays text.", {},
           "Let me look.\n" + one, [["text", "Let me look.\n"], call(A)])
    uni = ("write", {"path": "/ü", "content": "naïve – 日本語 😀"})
    yield "unicode", "Not only ASCII.", {}, f.write([uni]), [call(uni)]
    number = ("write", {"path": "123", "content": "true", "lines": 3})
    yield ("types", "Text that looks like a number stays text.", {},
           f.write([number]), [call(number)])
    deep = ("write", {"path": "/a", "opts": {"a": {"b": [1, {"c": None}]}},
                      "tags": ["x", "y z"], "flag": True})
    yield "nested", "Objects in objects.", {}, f.write([deep]), [call(deep)]
    code = ("write", {"path": "/a.py", "content": CODE})
    yield "code", "Quotes and escapes.", {}, f.write([code]), [call(code)]
    bare = ("ping", {})
    yield "no_arguments", "Nothing to say.", {}, f.write([bare]), [call(bare)]
    if f.close:
        inner = ("write", {"path": "/a", "content": f"a {f.close} b"})
        yield ("own_tag_inside", "A closing tag inside of a value is data.",
               {}, f.write([inner]), [call(inner)])
    yield ("text_only", "No call at all: 2 < 3, {x}, [1], and `f(a=1)`.", {},
           'if a[0] < 3 { f(a=1) } "x"', [["text", 'if a[0] < 3 { f(a=1) } "x"']])
    # Damaged from here on.
    unknown = f.write([("rm", {"path": "/"})])
    yield ("undeclared", "A tool that nobody declared is text.", {}, unknown,
           [["text", unknown]])
    yield ("choice_none", "tool_choice none: all is text.", {"choice": "none"},
           one, [["text", one]])
    long = f.write([("write", {"path": "/a", "content": "one two three"})])
    cut = long[:long.index(" three")]
    yield ("cut_in_value", "Cut in a value: not a call.", {"cause": "length"},
           cut, [["rejected", cut]])
    if f.tail:
        yield ("cut_behind", "Only closing tags are missing.",
               {"cause": "length"}, one[:-len(f.tail)], [call(A)])
        yield ("end_behind", "Closing tags are missing, text before.", {},
               "So:\n" + one[:-len(f.tail)], [["text", "So:\n"], call(A)])
    if f.tag:
        part = "I write " + f.tag[:-1]
        yield ("cut_in_tag", "A tag that never came is text.", {}, part,
               [["text", part]])
        prose = f"The tag {f.tag} begins it."
        yield ("mention", "A tag in prose.", {}, prose, [["text", prose]])
    if f.kind == "xml" and f.tail:
        good = f.write([("write", {"path": "/a", "lines": 12, "flag": True})])
        odd = good.replace("true<", "TRUE<").replace("true</", "TRUE</")
        yield ("python_literals", "A boolean as Python writes it.", {}, odd,
               [call(("write", {"path": "/a", "lines": 12, "flag": True}))])
    if f.kind == "json":
        loose = one.replace('"/a"}', '"/a",}')
        yield "trailing_comma", "One comma too many.", {}, loose, [call(A)]
        single = one.replace('"path": "/a"', "'path': '/a'")
        yield "single_quotes", "Python's quotes.", {}, single, [call(A)]
        bare_key = one.replace('"path"', "path")
        yield "bare_key", "A key without quotes.", {}, bare_key, [call(A)]
        py = f.write([("write", {"path": "/a", "flag": True})]).replace(
            "true", "True")
        yield ("python_literals", "True, as Python has it.", {}, py,
               [call(("write", {"path": "/a", "flag": True}))])
    text = f"[Calling tool: read({dumps(A[1])})]"
    yield "bracket_text", "As flattened histories have it.", {}, text, [call(A)]
    attributes = '[Calling tool="read" path="/a" n="3"]'
    yield ("bracket_attributes", "The same with attributes.", {}, attributes,
           [call(("read", {"path": "/a", "n": 3}))])
    fence = f"Sure:\n```json\n{obj(*A)}\n```"
    yield ("fenced", "JSON in a fence.", {}, fence,
           [["text", "Sure:\n"], call(A)])
    other = (xml_call(*A) if f.name in ("hermes", "qwen", "auto")
             else HERMES([A]))
    yield "other_family", "Another family's way.", {}, other, [call(A)]
    third = f"<minimax:tool_call>\n<invoke name=\"read\">\n<parameter name=\"path\">/a</parameter>\n</invoke>\n</minimax:tool_call>"
    yield "third_family", "And one more.", {}, "Ok.\n" + third, [
        ["text", "Ok.\n"], call(A)]
    raw = "Ok\n" + obj(*A)
    yield "bare_json", "No tags at all.", {}, raw, [["text", "Ok\n"], call(A)]
    mixed = f.write([("read", {"path": "/a"})]) + "\n" + HERMES([B])
    yield ("two_families", "Two ways in one answer.", {}, mixed,
           [call(A), call(B)])
    ansi = f"\x1b[3m{obj(*A)}\x1b[0m"
    yield "italics", "In a terminal's italics.", {}, ansi, [call(A)]
    worn = "<toolcall>read\n<parameter=path>/a</parameter></toolcall>"
    yield "worn_tags", "Tags as worn models write them.", {}, worn, [call(A)]


def write(folder, name, comment, options, raw, events):
    path = ROOT / folder / f"{name}.case"
    if path.exists() and not path.read_text().startswith(MARK):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [MARK + comment]
    lines += [f"=== {k} {v}" for k, v in options.items()]
    lines += ["=== input", raw, "=== events"] + [dumps(e) for e in events]
    path.write_text("\n".join(lines) + "\n")


def ui_tars():
    def action(text, args):
        return f"Action: {text}", ["call", "computer", dumps_compact(args)]
    for name, text, args in [
        ("click", "click(point='<point>200 300</point>')",
         {"action": "click", "point": [200, 300]}),
        ("double", "left_double(point='<point>1 2</point>')",
         {"action": "left_double", "point": [1, 2]}),
        ("right", "right_single(point='<point>9 8</point>')",
         {"action": "right_single", "point": [9, 8]}),
        ("drag", "drag(start_point='<point>1 2</point>', "
         "end_point='<point>3 4</point>')",
         {"action": "drag", "start_point": [1, 2], "end_point": [3, 4]}),
        ("hotkey", "hotkey(key='ctrl c')",
         {"action": "hotkey", "key": "ctrl c"}),
        ("type", "type(content='it\\'s \"x\"\\n')",
         {"action": "type", "content": 'it\'s "x"\n'}),
        ("scroll", "scroll(point='<point>5 6</point>', direction='down')",
         {"action": "scroll", "point": [5, 6], "direction": "down"}),
        ("wait", "wait()", {"action": "wait"}),
        ("finished", "finished(content='done (all)')",
         {"action": "finished", "content": "done (all)"}),
        ("call_user", "call_user()", {"action": "call_user"}),
        ("box", "click(start_box='<|box_start|>(7,8)<|box_end|>')",
         {"action": "click", "start_box": [7, 8]}),
        ("pair", "click(point='(20, 30)')",
         {"action": "click", "point": [20, 30]}),
        ("open_app", "open_app(app_name='Mail')",
         {"action": "open_app", "app_name": "Mail"}),
        ("press_home", "press_home()", {"action": "press_home"}),
        ("not_a_point", "click(point='there')",
         {"action": "click", "point": "there"}),
    ]:
        raw, event = action(text, args)
        write("ui_tars", name, "An action.", {}, raw, [event])
        if name in ("click", "type"):
            write("ui_tars", "thought_" + name, "With a thought.", {},
                  "Thought: I see it.\n" + raw,
                  [["reasoning", "I see it."], event])
            write("ui_tars", "none_" + name, "No calls are wanted.",
                  {"choice": "none"}, raw, [["text", raw]])
            write("ui_tars", "undeclared_" + name, "No such tool.",
                  {"tools": "read"}, raw, [["text", raw]])
    cut = "Action: type(content='half"
    write("ui_tars", "cut", "Cut in a value.", {"cause": "length"}, cut,
          [["rejected", cut]])
    two = ("Action: click(point='<point>1 2</point>')\n\n"
           "type(content='x')")
    write("ui_tars", "two", "Two actions.", {}, two, [
        action("", {"action": "click", "point": [1, 2]})[1],
        action("", {"action": "type", "content": "x"})[1]])
    odd = "Action: dance(x=1)"
    write("ui_tars", "unknown_verb", "No such action.", {}, odd,
          [["text", odd]])
    prose = "The Action: label is text here"
    write("ui_tars", "mention", "In prose.", {}, prose, [["text", prose]])
    foreign = HERMES([A])
    write("ui_tars", "other_family", "Another family's way.", {}, foreign,
          [call(A)])


for f in FORMATS:
    for name, comment, options, raw, events in cases(f):
        write(f.name, name, comment, options, raw, events)
ui_tars()
