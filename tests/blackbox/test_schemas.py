"""What clients break on when it is withheld, for every route, against the
types of the SDKs; with written answers, so that calls surely come."""

import json
import urllib.error
import urllib.request

import anthropic.types
import ollama
import openai.types
import openai.types.responses.response_item_list as item_lists
import pydantic
import pytest

import conftest
import schema
from test_anthropic_sdk import events as named_events

TOOL = {"name": "read", "parameters": {"type": "object"}}
SCRIPT = {
    "reasoning": "qwen3",
    "turns": [{"reasoning": "Two files.", "content": "I look.",
               "calls": [{"name": "read", "arguments": {"path": "a"}},
                         {"name": "read", "arguments": {"path": "b"}}]},
              {"content": "Seen."}],
    "aside": {"content": "A title"}}
SAY = [{"role": "user", "content": "Read a and b."}]
CHAT = {"messages": SAY, "tools": [{"type": "function", "function": TOOL}]}
RESPONSES = {"input": "Read a and b.", "tools": [{"type": "function", **TOOL}]}
MESSAGES = {"messages": SAY, "max_tokens": 100,
            "tools": [{"name": "read", "input_schema": {"type": "object"}}]}


@pytest.fixture(scope="module")
def scripted(binary, tmp_path_factory):
    server = conftest.Scripted(tmp_path_factory.mktemp("script"), SCRIPT)
    yield server
    assert server.stop() == 0


def ask(server, path, body, method="POST"):
    request = urllib.request.Request(
        server.url + path, json.dumps({"model": "default", **body}).encode(),
        {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def check(kind, value):
    return pydantic.TypeAdapter(kind).validate_python(value)


def test_chat_chunks_withhold_nothing(scripted):
    """Each of these made an agent lose its tool, stop or run for ever."""
    said = schema.events(scripted, "/v1/chat/completions", {
        **CHAT, "stream_options": {"include_usage": True}})
    assert said.pop()[1] == "[DONE]"
    chunks = [data for _, data in said]
    for chunk in chunks:
        schema.check("chat chunk", chunk)
        assert {"id", "object", "created", "model", "choices"} <= set(chunk)
        assert chunk["id"] == chunks[0]["id"]
    usage = chunks.pop()
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] > 0
    choices = [chunk["choices"][0] for chunk in chunks]
    assert all(choice["index"] == 0 for choice in choices)
    assert choices[0]["delta"]["role"] == "assistant"
    assert [c["finish_reason"] for c in choices] == [
        *[None] * (len(choices) - 1), "tool_calls"]
    calls = [call for c in choices for call in c["delta"].get("tool_calls", [])]
    first = {}
    for call in calls:
        first.setdefault(call["index"], call)
    assert sorted(first) == [0, 1]
    assert first[0]["id"] != first[1]["id"]
    for call in first.values():
        assert call["id"] and call["type"] == "function"
        assert call["function"]["name"] == "read"
    assert "".join(c["delta"].get("reasoning_content") or ""
                   for c in choices) == "Two files."
    whole = json.loads(ask(scripted, "/v1/chat/completions", CHAT))
    schema.check("chat", whole)
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert all(call["id"] and call["type"] == "function"
               for call in choice["message"]["tool_calls"])


def test_responses_events_withhold_nothing(scripted):
    said = schema.events(scripted, "/v1/responses", RESPONSES)
    for number, (name, event) in enumerate(said):
        schema.check("response event", event)
        assert name == event["type"] and event["sequence_number"] == number
    names = [name for name, _ in said]
    assert names[0] == "response.created"
    assert names[1] == "response.in_progress"
    assert names[-1] == "response.completed"
    added = [e["item"] for n, e in said if n == "response.output_item.added"]
    done = [e["item"] for n, e in said if n == "response.output_item.done"]
    assert [i["type"] for i in added] == [i["type"] for i in done] == [
        "reasoning", "message", "function_call", "function_call"]
    assert done[2]["call_id"] != done[3]["call_id"]
    for call in done[2:]:
        deltas = [e for n, e in said
                  if n == "response.function_call_arguments.delta"
                  and e["item_id"] == call["id"]]
        assert "".join(e["delta"] for e in deltas) == call["arguments"]
    assert said[-1][1]["response"]["output"] == done


def test_message_events_withhold_nothing(scripted):
    said = named_events(ask(scripted, "/v1/messages?beta=true",
                            {**MESSAGES, "stream": True}))
    for name, event in said:
        assert name == event["type"]
        if name != "ping":
            check(anthropic.types.RawMessageStreamEvent, event)
    starts = [e for n, e in said if n == "content_block_start"]
    stops = [e for n, e in said if n == "content_block_stop"]
    assert [e["index"] for e in starts] == [e["index"] for e in stops] \
        == list(range(len(starts)))
    assert [e["content_block"]["type"] for e in starts] == [
        "thinking", "text", "tool_use", "tool_use"]
    assert starts[2]["content_block"]["id"] != starts[3]["content_block"]["id"]
    kinds = {e["delta"]["type"] for n, e in said if n == "content_block_delta"}
    assert kinds >= {"thinking_delta", "signature_delta", "text_delta",
                     "input_json_delta"}
    assert said[-2][1]["delta"]["stop_reason"] == "tool_use"
    check(anthropic.types.Message,
          json.loads(ask(scripted, "/v1/messages", MESSAGES)))


def test_lists_and_counts(scripted, smollm):
    check(anthropic.types.MessageTokensCount, json.loads(
        ask(smollm, "/v1/messages/count_tokens", {"messages": SAY})))
    for form in ("float", "base64"):
        reply = json.loads(ask(smollm, "/v1/embeddings", {
            "input": ["a", "b"], "encoding_format": form}))
        if form == "float":
            check(openai.types.CreateEmbeddingResponse, reply)
        assert [one["index"] for one in reply["data"]] == [0, 1]
        assert reply["usage"]["prompt_tokens"] > 0
    stored = json.loads(ask(scripted, "/v1/responses", RESPONSES))
    path = f"/v1/responses/{stored['id']}"
    schema.check("response", scripted.get(path))
    check(item_lists.ResponseItemList, scripted.get(path + "/input_items"))
    gone = json.loads(ask(scripted, path, {}, "DELETE"))
    assert gone["id"] == stored["id"] and gone["deleted"] is True


def test_ollama_answers_withhold_nothing(scripted):
    body = {"messages": SAY, "tools": CHAT["tools"]}
    lines = [json.loads(line) for line in
             ask(scripted, "/api/chat", body).splitlines()]
    for line in lines:
        check(ollama.ChatResponse, line)
        assert line["created_at"] and line["model"]
        assert line["message"]["role"] == "assistant"
    assert [line["done"] for line in lines] == [
        *[False] * (len(lines) - 1), True]
    last = lines[-1]
    assert last["done_reason"] == "stop"
    assert all(last[key] >= 0 for key in (
        "total_duration", "load_duration", "prompt_eval_count",
        "prompt_eval_duration", "eval_count", "eval_duration"))
    calls = [call for line in lines
             for call in line["message"].get("tool_calls", [])]
    assert [call["function"]["arguments"] for call in calls] == [
        {"path": "a"}, {"path": "b"}]
    check(ollama.ListResponse, scripted.get("/api/tags"))
    check(ollama.ProcessResponse, scripted.get("/api/ps"))
    check(ollama.ShowResponse, json.loads(
        ask(scripted, "/api/show", {"model": "scripted"})))


@pytest.mark.parametrize("path, body, kind", [
    ("/v1/chat/completions", {"messages": 3}, "openai"),
    ("/v1/completions", {"prompt": {}}, "openai"),
    ("/v1/responses", {"input": 3}, "openai"),
    ("/v1/embeddings", {}, "openai"),
    ("/v1/messages", {"messages": 3, "max_tokens": 1}, "anthropic"),
    ("/v1/messages/count_tokens", {"messages": 3}, "anthropic"),
    ("/api/chat", {"messages": 3}, "ollama"),
    ("/api/generate", {"prompt": 3}, "ollama"),
])
def test_errors_have_their_dialects_shape(scripted, path, body, kind):
    said = json.loads(ask(scripted, path, body))
    if kind == "openai":
        assert set(said["error"]) == {"message", "type", "code", "param"}
        assert said["error"]["message"] and said["error"]["type"]
    elif kind == "anthropic":
        check(anthropic.types.ErrorResponse, said)
    else:
        assert isinstance(said["error"], str)
