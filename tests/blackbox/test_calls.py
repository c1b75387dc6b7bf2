"""Strict tools, several agents on one server, and what /metrics says of it."""

import json
import re
import urllib.request

TOOLS = [{"type": "function", "function": {
    "name": "timer", "strict": True, "description": "Starts a timer",
    "parameters": {
        "type": "object", "additionalProperties": False,
        "properties": {"minutes": {"type": "integer"},
                       "label": {"enum": ["tea", "eggs"]}},
        "required": ["minutes", "label"]}}}]


def post(server, **body):
    request = urllib.request.Request(
        server.url + "/v1/chat/completions",
        json.dumps({"temperature": 0, "max_tokens": 80, **body}).encode(),
        {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def metrics(server):
    with urllib.request.urlopen(server.url + "/metrics", timeout=30) as reply:
        text = reply.read().decode()
    return {name: float(value) for name, value in
            re.findall(r"^rapid_mlx_(\w+) (\S+)$", text, re.M)}


def test_a_strict_tool_gets_what_its_schema_says(qwen):
    before = metrics(qwen)
    reply = post(qwen, tools=TOOLS, messages=[
        {"role": "user", "content": "Set a timer of 5 minutes for my soup."}])
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    arguments = json.loads(
        choice["message"]["tool_calls"][0]["function"]["arguments"])
    assert set(arguments) == {"minutes", "label"}
    assert type(arguments["minutes"]) is int
    assert arguments["label"] in ("tea", "eggs")
    after = metrics(qwen)
    assert after["calls_strict_total"] > before["calls_strict_total"]
    assert after["generated_tokens_total"] > before["generated_tokens_total"]


def test_a_model_without_a_format_of_calls_is_made_to_call(smollm):
    reply = post(smollm, tools=TOOLS, tool_choice="required",
                 parallel_tool_calls=False, messages=[
                     {"role": "user", "content": "Tea, please."}])
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert set(json.loads(call["function"]["arguments"])) == {
        "minutes", "label"}


def test_agents_do_not_push_each_other_out(qwen):
    agents = [[{"role": "system", "content": f"You are agent {name}. " * 30},
               {"role": "user", "content": "Hello!"}]
              for name in ("Anna", "Ben", "Cleo")]
    for turn in range(3):
        for messages in agents:
            reply = post(qwen, messages=messages, max_tokens=8)
            usage = reply["usage"]
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            if turn > 0:
                assert usage["prompt_tokens"] - cached < 40
            messages += [reply["choices"][0]["message"],
                         {"role": "user", "content": "And then?"}]
    assert metrics(qwen)["kept_prompts"] >= 3
