"""The anthropic SDK against the real server: whole and streamed, tools,
thinking, errors; and every event against the SDK's own types."""

import json
import urllib.error
import urllib.request

import anthropic
import pydantic
import pytest
from anthropic.types import Message, RawMessageStreamEvent

import conftest
from test_record import Replay

TOOLS = [{
    "name": "get_weather",
    "description": "Get the current weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}]
QUESTION = [{"role": "user", "content":
             "What is the weather in Paris? Use the tool."}]


def client(server, **more):
    return anthropic.Anthropic(
        base_url=server.url, api_key="none", max_retries=0, timeout=120, **more)


def ask(**more):
    """The SDK does not name the temperature any more."""
    return {"model": "default", "max_tokens": 32,
            "extra_body": {"temperature": 0}, "messages": [
                {"role": "user", "content": "Name the capital of France."}],
            **more}


def post(server, body, path="/v1/messages"):
    body = {**body, **body.get("extra_body", {})}
    body.pop("extra_body", None)
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(),
        {"Content-Type": "application/json", "anthropic-version": "2023-06-01"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return reply.read().decode()


def events(text):
    """(event, data) pairs of a stream; comments are no events."""
    out = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line[:1] != ":"]
        if any(lines):
            name, data = lines
            out.append((name.removeprefix("event: "),
                        json.loads(data.removeprefix("data: "))))
    return out


def test_whole_and_streamed_are_one_answer(smollm):
    api = client(smollm)
    whole = api.messages.create(**ask(system="Be brief."))
    assert "Paris" in whole.content[0].text
    assert whole.stop_reason in ("end_turn", "max_tokens")
    with api.messages.stream(**ask(system="Be brief.")) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == whole.content[0].text == last.content[0].text
    assert last.stop_reason == whole.stop_reason
    assert last.usage.output_tokens == whole.usage.output_tokens


def test_usage_adds_up_and_names_the_cache(smollm):
    api = client(smollm)
    system = [{"type": "text", "text": "You are brief. " * 30,
               "cache_control": {"type": "ephemeral"}}]
    billed = {"type": "text", "text": "x-anthropic-billing-header: cc=1.e1f;"}

    def total(usage):
        return (usage.input_tokens + usage.cache_read_input_tokens
                + usage.cache_creation_input_tokens)
    first = api.messages.create(**ask(system=system))
    count = api.messages.count_tokens(
        model="default", system=system, messages=ask()["messages"])
    assert total(first.usage) == count.input_tokens
    # Another session's header, and the same text in the other form.
    again = api.messages.create(**ask(system=[billed, {
        "type": "text", "text": "You are brief. " * 30}], messages=[{
            "role": "user", "content": [{
                "type": "text", "text": "Name the capital of France."}]}]))
    assert total(again.usage) == count.input_tokens
    assert again.usage.cache_read_input_tokens >= count.input_tokens - 4
    assert again.content[0].text == first.content[0].text


def test_stop_sequences_and_limits(smollm):
    api = client(smollm)
    stopped = api.messages.create(**ask(stop_sequences=["Paris", "paris"]))
    assert stopped.stop_reason == "stop_sequence"
    assert stopped.stop_sequence == "Paris"
    assert "Paris" not in stopped.content[0].text
    cut = api.messages.create(**ask(max_tokens=2))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 2)
    # Far more than there is room for is only a bound.
    assert api.messages.create(**ask(max_tokens=10**6)).content


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_round_trip(qwen, streamed):
    api = client(qwen)

    def create(messages):
        body = ask(max_tokens=128, tools=TOOLS, messages=messages)
        if not streamed:
            return api.messages.create(**body)
        with api.messages.stream(**body) as stream:
            return stream.get_final_message()
    first = create(QUESTION)
    assert first.stop_reason == "tool_use", first
    call = [block for block in first.content if block.type == "tool_use"][0]
    assert call.name == "get_weather"
    assert call.input["city"].startswith("Paris")
    second = create([
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{
            "type": "tool_result", "tool_use_id": call.id, "content": [{
                "type": "text",
                "text": '{"temperature_c": 18, "sky": "clear"}'}]}]}])
    assert second.stop_reason == "end_turn"
    assert "18" in second.content[0].text
    assert second.usage.cache_read_input_tokens >= first.usage.output_tokens


@pytest.mark.parametrize("choice", [
    {"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_forced_calls(qwen, choice):
    reply = client(qwen).messages.create(**ask(
        tools=TOOLS, tool_choice=choice, max_tokens=128,
        messages=[{"role": "user", "content": "Hello from Rome!"}]))
    assert reply.stop_reason == "tool_use", reply
    call = [block for block in reply.content if block.type == "tool_use"][0]
    assert call.name == "get_weather" and isinstance(call.input["city"], str)


def test_structured_output(smollm):
    class City(pydantic.BaseModel):
        name: str
        people: int
    reply = client(smollm).messages.parse(
        **ask(max_tokens=200), output_format=City)
    assert isinstance(reply.parsed_output, City)


def test_errors_are_the_sdks(smollm):
    api = client(smollm)
    with pytest.raises(anthropic.NotFoundError) as missing:
        api.messages.create(**{**ask(), "model": "no-such-model"})
    assert missing.value.body["error"]["type"] == "not_found_error"
    assert missing.value.request_id
    with pytest.raises(anthropic.BadRequestError) as wrong:
        api.messages.create(**ask(messages=[{"role": "user", "content": [{
            "type": "image", "source": {"type": "url", "url": "http://x"}}]}]))
    assert "messages[0].content[0]" in wrong.value.body["error"]["message"]
    with pytest.raises(anthropic.BadRequestError) as long:
        api.messages.create(**ask(messages=[
            {"role": "user", "content": "word " * 20000}]))
    assert "prompt is too long" in long.value.body["error"]["message"]


AGENT = {
    "model": "claude-haiku-4-5", "max_tokens": 200, "stream": True,
    "temperature": 0,
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "output_config": {"effort": "medium"}, "metadata": {"user_id": "u"},
    "system": [{"type": "text", "text": "Use tools.",
                "cache_control": {"type": "ephemeral"}}],
    "tools": [*TOOLS, {"type": "web_search_20250305", "name": "web_search"}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "system", "content": "Now in earnest."},
        {"role": "user", "content": "Weather in Rome?"}],
}


@pytest.mark.parametrize("body", [ask(stream=True), AGENT],
                         ids=["text", "agent"])
def test_every_event_is_of_the_sdks_types(smollm, body):
    """agents.md: what is withheld breaks clients, so nothing is."""
    checked = pydantic.TypeAdapter(RawMessageStreamEvent)
    stream = events(post(smollm, body, "/v1/messages?beta=true"))
    for name, data in stream:
        assert data["type"] == name
        if name != "ping":
            checked.validate_python(data)
    names = [name for name, _ in stream]
    assert names[0] == "message_start" and "ping" in names
    assert names[-2:] == ["message_delta", "message_stop"]
    assert names.count("content_block_start") \
        == names.count("content_block_stop") > 0
    last = stream[-2][1]
    assert last["delta"]["stop_reason"]
    assert {"input_tokens", "output_tokens", "cache_read_input_tokens",
            "cache_creation_input_tokens"} <= set(last["usage"])
    for _, data in stream:
        if data["type"] == "content_block_start" \
                and data["content_block"]["type"] == "tool_use":
            assert {"id", "name", "input"} <= set(data["content_block"])
    whole = json.loads(post(smollm, {**body, "stream": False}))
    Message.model_validate(whole)


def test_a_recording_answers_in_this_dialect(smollm, tmp_path):
    server = conftest.Server("smollm2-135m", "--record", str(tmp_path))
    body = ask(tools=TOOLS, tool_choice={"type": "any"}, max_tokens=100)
    first = json.loads(post(server, body))
    assert server.stop() == 0
    replay = Replay(tmp_path, "--strict")
    try:
        again = json.loads(post(replay, body))
        assert again["content"] == first["content"]
        with client(replay).messages.stream(**body) as stream:
            last = stream.get_final_message()
        assert [{key: getattr(block, key) for key in given}
                for block, given in zip(last.content, first["content"],
                                        strict=True)] == first["content"]
    finally:
        replay.stop()
