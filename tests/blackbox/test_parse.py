"""`rapid-mlx parse`: what the engine makes of raw output."""

import json

import pytest

from test_cli import assert_error, run

TOOLS = [{"type": "function", "function": {
    "name": "read", "parameters": {"type": "object"}}}]
RAW = """<think>
Which file?
</think>

Let me look.
<tool_call>
{"name": "read", "arguments": {"path": "/ä"}}
</tool_call>"""


@pytest.fixture
def tools(tmp_path):
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(TOOLS))
    return path


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_one_object(binary, tools, cut):
    done = run("parse", "--format", "nous", "--reasoning", "qwen3", "--tools",
               tools, "--cut", cut, text=RAW)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    call = answer["tool_calls"].pop()
    assert answer == {
        "content": "Let me look.\n", "reasoning_content": "Which file?",
        "tool_calls": [], "rejected": [], "finish_reason": "tool_calls"}
    assert call["type"] == "function" and call["id"].startswith("call_")
    assert call["function"]["name"] == "read"
    assert json.loads(call["function"]["arguments"]) == {"path": "/ä"}


def test_without_tools_all_is_text(binary):
    done = run("parse", "--format", "hermes", text=RAW)
    answer = json.loads(done.stdout)
    assert answer["content"] == RAW and answer["tool_calls"] == []
    assert answer["finish_reason"] == "stop"


def test_events_and_a_cut(binary, tools):
    done = run("parse", "--format", "hermes", "--tools", tools, "--events",
               "--cut-off", text='Hi <tool_call>{"name": "read", "argu')
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events] == [
        "content", "rejected", "finish"]
    assert events[-1]["finish_reason"] == "length"


def test_thinking_on(binary):
    done = run("parse", "--format", "hermes", "--reasoning", "deepseek_r1",
               "--thinking", "on", text="Hm.</think>Yes.")
    answer = json.loads(done.stdout)
    assert (answer["reasoning_content"], answer["content"]) == ("Hm.", "Yes.")


def test_list(binary):
    names = json.loads(run("parse", "--list", "--json").stdout)
    formats = {entry["name"]: entry["aliases"] for entry in names["formats"]}
    assert "nous" in formats["hermes"]
    assert {"name": "qwen3", "aliases": []} in names["reasoning"]


def test_wrong_use(binary, tmp_path):
    assert_error(run("parse"), 2, "--format")
    assert_error(run("parse", "--format", "nobody", text=""), 2, "nobody",
                 "--list")
    bad = tmp_path / "bad.json"
    bad.write_text('{"a": 1}')
    assert_error(run("parse", "--format", "hermes", "--tools", bad, text=""),
                 2, "tools")
