"""Turns that come back changed hit the cache up to their last token.

Guaranteed behind a turn that ended by itself: `cached_tokens` of the next
request is at least the prompt's and the answer's tokens of the one before,
without the token that ended it (sampled, never evaluated).
"""

import json
import urllib.error
import urllib.request

import pytest
from conftest import Server

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"]}}}]
SYSTEM = "You help. " + "Be brief and exact. " * 40


def call(server, method, path, body=None, headers=None):
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode() if body else None,
        {"content-type": "application/json", **(headers or {})},
        method=method)
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def chat(server, messages, **more):
    body = {"messages": messages, "temperature": 0, "max_tokens": 60,
            "rapid_mlx": {"explain_cache": True}, **more}
    return call(server, "POST", "/v1/chat/completions", body)


def usage(reply):
    used = reply["usage"]
    return (used["prompt_tokens"], used["completion_tokens"],
            used["prompt_tokens_details"]["cached_tokens"])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server("qwen2.5-coder-0.5b", "--cache-dir",
                    str(tmp_path_factory.mktemp("cache")))
    yield server
    assert server.stop() == 0


def changed(message, number):
    """What clients do to an assistant's turn."""
    out = {"role": "assistant"}
    text = message.get("content")
    if text:
        out["content"] = [{"type": "text", "text": f"{text}\n"}]
    for index, made in enumerate(message.get("tool_calls", [])):
        arguments = json.loads(made["function"]["arguments"])
        arguments = dict(sorted(arguments.items(), reverse=True))
        out.setdefault("tool_calls", []).append({
            "id": f"other_{number}_{index}", "type": "function",
            "function": {"name": made["function"]["name"],
                         "arguments": json.dumps(arguments, indent=2)}})
    return out


def test_only_new_tokens_are_evaluated(server):
    messages = [{"role": "system", "content": SYSTEM},
                {"role": "user", "content": "The weather in Oslo, 3 days?"}]
    whole = 0
    calls = 0
    for number in range(5):
        reply = chat(server, messages, tools=TOOLS, max_tokens=120)
        prompt, answer, cached = usage(reply)
        assert cached >= whole, (number, reply)
        choice = reply["choices"][0]
        message = choice["message"]
        # This model's calls come without their tag: such a turn is written
        # anew, in the format's own words, as is one that was cut.
        kept = not message.get("tool_calls") and \
            choice["finish_reason"] == "stop"
        whole = prompt - 1 + (answer if kept else 0)
        messages.append(changed(message, number))
        for made in messages[-1].get("tool_calls", []):
            calls += 1
            messages.append({"role": "tool", "tool_call_id": made["id"],
                             "content": "rain" if number else ""})
        if not message.get("tool_calls"):
            messages.append({"role": "user", "content": f"And {number}?"})
    assert calls >= 2


def conversation(server, name):
    messages = [{"role": "system", "content": SYSTEM + name},
                {"role": "user", "content": "What is the sea? In short."}]
    reply = chat(server, messages)
    messages.append(reply["choices"][0]["message"])
    messages.append({"role": "user", "content": "And a lake?"})
    return messages, reply


def reason(reply):
    return reply["rapid_mlx"]["cache"]


def test_the_reason_of_a_miss(server):
    messages, reply = conversation(server, "first")
    assert reason(reply)["cache_miss_reason"] == "new_conversation"
    reply = chat(server, messages)
    prompt, _, cached = usage(reply)
    report = reason(reply)
    assert report["cache_miss_reason"] == "appended", report
    assert report["cost_tokens"] == 0 and report["first_difference"] is None
    assert report["cached_tokens"] == cached
    assert report["prompt_tokens"] == prompt

    edited = json.loads(json.dumps(messages))
    edited[2]["content"] = "The Sea." + edited[2]["content"]
    report = reason(chat(server, edited))
    assert report["cache_miss_reason"] == "history_edited", report
    assert report["first_difference"]["message"] == 2
    assert report["first_difference"]["role"] == "assistant"
    assert report["first_difference"]["field"] == "content"
    assert report["cost_tokens"] > 5

    edited = json.loads(json.dumps(messages))
    edited[0]["content"] = "Today: Monday. " + edited[0]["content"]
    report = reason(chat(server, edited))
    assert report["cache_miss_reason"] == "system_changed", report
    assert report["first_difference"] == {
        "message": 0, "role": "system", "field": "content", "byte": 0}
    assert report["cost_tokens"] > 100
    report = reason(chat(server, edited, tools=TOOLS))
    assert report["cache_miss_reason"] == "tools_changed", report


def test_where_the_reason_is_told(server):
    body = {"messages": [{"role": "user", "content": "Say hi."}],
            "max_tokens": 3}
    path = "/v1/chat/completions"
    quiet = call(server, "POST", path, body)
    assert "cache" not in quiet["rapid_mlx"]
    request_id = quiet["id"].removeprefix("chatcmpl-")
    for name in (request_id, quiet["id"]):
        report = call(server, "GET", f"/v1/cache/explain/{name}")
        assert report["id"] == request_id
        assert report["cache_miss_reason"] == "new_conversation"
    asked = call(server, "POST", path, body, {"x-rapid-mlx-explain": "1"})
    assert reason(asked)["compared_to"] == request_id
    with pytest.raises(urllib.error.HTTPError) as failed:
        call(server, "GET", "/v1/cache/explain/nobody")
    assert failed.value.code == 404
    with pytest.raises(urllib.error.HTTPError) as failed:
        call(server, "POST", path, {**body, "rapid_mlx": {"history": "no"}})
    assert failed.value.code == 400


def test_delete_forgets_everything(server):
    messages, _ = conversation(server, "second")
    assert usage(chat(server, messages))[2] > 100
    stats = call(server, "GET", "/v1/cache/stats")
    assert stats["kept_prompts"] > 0 and stats["bytes"] > 0
    assert 0 < stats["hit_ratio"] < 1
    assert stats["ledger"]["turns"] > 0 and stats["ledger"]["recording"]
    assert call(server, "DELETE", "/v1/cache")["cleared"] is True
    reply = chat(server, messages)
    assert usage(reply)[2] == 0
    assert reason(reply)["cache_miss_reason"] == "new_conversation"
    stats = call(server, "GET", "/v1/cache/stats")
    assert stats["ledger"]["turns"] == 1


def test_turns_outlive_a_kill(tmp_path):
    flags = ("qwen2.5-coder-0.5b", "--cache-dir", str(tmp_path))
    server = Server(*flags)
    messages, first = conversation(server, "third")
    # Turns are written behind the stream; statistics wait for that.
    assert call(server, "GET", "/v1/cache/stats")["ledger"]["turns"] == 1
    server.kill()
    # Its text with other ends: only the ledger knows the tokens.
    messages[2]["content"] = " " + messages[2]["content"] + "\n\n"
    server = Server(*flags)
    assert call(server, "GET", "/v1/cache/stats")["ledger"]["turns"] == 1
    prompt, answer, _ = usage(first)
    reply = chat(server, messages)
    again = chat(server, messages)
    assert usage(again)[2] == usage(reply)[0] - 1
    assert usage(reply)[0] > prompt + answer
    assert server.stop() == 0
