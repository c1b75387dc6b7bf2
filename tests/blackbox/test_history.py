"""What went wrong once in a conversation never refuses its later turns."""

import json
import urllib.request

import pytest

TOOLS = [{"type": "function", "function": {
    "name": "read", "parameters": {
        "type": "object", "properties": {"path": {"type": "string"}}}}}]


def post(server, **body):
    request = urllib.request.Request(
        server.url + "/v1/chat/completions",
        json.dumps({"temperature": 0, "max_tokens": 4, **body}).encode(),
        {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def call(arguments, **more):
    return {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function",
         "function": {"name": "read", "arguments": arguments}, **more}]}


def result(**more):
    return {"role": "tool", "tool_call_id": "c1", "content": "done", **more}


ASK = {"role": "user", "content": "Read it."}
NEXT = {"role": "user", "content": "And now?"}
BROKEN = {
    "cut": [ASK, call('{"path": "/et'), result(), NEXT],
    "empty": [ASK, call(""), result(), NEXT],
    "null": [ASK, call(None), result(content=None), NEXT],
    "a list": [ASK, call([1, 2]), result(), NEXT],
    "no id": [ASK, call("{}", id=None), result(tool_call_id=None), NEXT],
    "no result": [ASK, call("{}"), NEXT],
    "two results": [ASK, call("{}"), result(), result(), NEXT],
    "a result first": [result(), ASK, call("{}"), NEXT],
    "an unknown id": [ASK, call("{}"), result(tool_call_id="zz"), NEXT],
    "a late system text": [
        ASK, call("{}"), result(), {"role": "system", "content": "!"}, NEXT],
    "empty answers": [ASK, {"role": "assistant"},
                      {"role": "assistant", "content": ""}, NEXT],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("tools", [True, False])
def test_broken_histories_are_answered(qwen, name, tools):
    body = {"tools": TOOLS} if tools else {}
    reply = post(qwen, messages=BROKEN[name], **body)
    assert reply["choices"][0]["finish_reason"] in (
        "stop", "length", "tool_calls")


def test_a_template_without_tools_still_shows_calls(smollm):
    short = post(smollm, messages=[ASK, {"role": "assistant"}, NEXT])
    long = post(smollm, messages=[ASK, call('{"path": "/etc"}'), result(),
                                  NEXT], tools=TOOLS)
    more = (long["usage"]["prompt_tokens"] - short["usage"]["prompt_tokens"])
    assert more > 60, "the tool, the call and its result are in the prompt"


def test_rewritten_arguments_are_the_same_prompt(qwen):
    counts = {
        post(qwen, messages=[ASK, call(text), result(), NEXT],
             tools=TOOLS)["usage"]["prompt_tokens"]
        for text in ('{"path": "K\u00f6ln"}', '{ "path" : "K\\u00f6ln"\n}',
                     '"{\\"path\\": \\"K\u00f6ln\\"}"')}
    assert len(counts) == 1


def test_loops_are_reported(qwen):
    reply = post(
        qwen, max_tokens=400, messages=[
            {"role": "user", "content":
             "Repeat the word 'no' forever, without end: no no no no no no"}])
    loop = reply["rapid_mlx"]["loop"]
    assert loop["kind"] == "tokens" and loop["repeats"] > 4
    again = [ASK] + [call("{}"), result()] * 3
    loop = post(qwen, messages=again, tools=TOOLS)["rapid_mlx"]["loop"]
    assert loop == {"kind": "call", "name": "read", "times": 3}
