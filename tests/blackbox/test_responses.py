"""/v1/responses with the openai SDK, real models, and the SDK's own types."""

import json

import openai
import pydantic
import pytest

import conftest
import schema
from test_openai_sdk import client

WEATHER = {
    "type": "function", "name": "get_weather",
    "description": "Get the current weather in a city", "strict": False,
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string"}}, "required": ["city"]}}
QUESTION = "What is the weather in Paris? Use the tool."


def check_events(events):
    """Their order, numbers, names and types; the final response."""
    for number, (name, event) in enumerate(events):
        schema.check("response event", event)
        assert event["type"] == name
        assert event["sequence_number"] == number
    names = [name for name, _ in events]
    assert names[:2] == ["response.created", "response.in_progress"]
    assert names[-1] in ("response.completed", "response.incomplete")
    final = events[-1][1]["response"]
    done = [e["item"] for _, e in events
            if e["type"] == "response.output_item.done"]
    assert done == final["output"]
    added = [e for _, e in events if e["type"] == "response.output_item.added"]
    assert [e["output_index"] for e in added] == list(range(len(done)))
    assert [e["item"]["id"] for e in added] == [item["id"] for item in done]
    return schema.check("response", final)


@pytest.mark.parametrize("more", [
    {"max_output_tokens": 8},
    {"max_output_tokens": 8, "include": ["message.output_text.logprobs"],
     "top_logprobs": 2, "reasoning": {"effort": "low", "summary": "auto"},
     "metadata": {"a": "b"}, "text": {"format": {"type": "json_object"}}},
    {"tools": [WEATHER, {"type": "web_search"}, {
        "type": "namespace", "name": "files", "description": "Files.",
        "tools": [{"type": "function", "name": "read",
                   "parameters": {"type": "object"}}]}, {
        "type": "custom", "name": "patch", "description": "Patch."}],
     "tool_choice": "required", "max_output_tokens": 64},
    {"tools": [{"type": "custom", "name": "patch"}], "max_output_tokens": 64,
     "tool_choice": {"type": "custom", "name": "patch"}},
])
def test_every_field_that_the_types_have(qwen, more):
    body = {"input": QUESTION, "temperature": 0, "seed": 1, **more}
    whole = schema.post(qwen, "/v1/responses", body).json()
    schema.check("response", whole)
    streamed = check_events(schema.events(qwen, "/v1/responses", body))
    one, other = [
        [{k: v for k, v in item.items() if k not in ("id", "call_id")}
         for item in output] for output in (
            whole["output"], json.loads(streamed.model_dump_json(
                include={"output"}, exclude_unset=True))["output"])]
    assert one == other
    stored = qwen.get("/v1/responses/" + whole["id"])
    assert stored == whole
    items = qwen.get(f"/v1/responses/{whole['id']}/input_items")
    for item in items["data"] + whole["output"]:
        schema.check("item", item)


def test_tool_round_trip_over_the_stored_turn(qwen):
    api = client(qwen)
    ask = dict(model="default", tools=[WEATHER], temperature=0,
               extra_body={"seed": 1}, max_output_tokens=128)
    first = api.responses.create(input=QUESTION, **ask)
    [call] = [i for i in first.output if i.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments)["city"].startswith("Paris")
    final = api.responses.create(previous_response_id=first.id, input=[{
        "type": "function_call_output", "call_id": call.call_id,
        "output": json.dumps({"temperature_c": 18, "sky": "clear"})}], **ask)
    # What it says is the model's affair: a small one may call again.
    assert final.output and final.status in ("completed", "incomplete")
    assert final.previous_response_id == first.id
    assert final.usage.input_tokens_details.cached_tokens > 0
    # The same conversation sent whole gives the same.
    again = api.responses.create(input=[
        {"role": "user", "content": QUESTION},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id,
         "output": json.dumps({"temperature_c": 18, "sky": "clear"})}], **ask)
    assert again.output_text == final.output_text
    assert api.responses.retrieve(final.id).output_text == final.output_text
    api.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError) as caught:
        api.responses.create(
            previous_response_id=first.id, input="and now?", **ask)
    assert caught.value.code == "previous_response_not_found"


def test_stream_helper_of_the_sdk(qwen):
    with client(qwen).responses.stream(
            model="default", input=QUESTION, tools=[WEATHER], temperature=0,
            max_output_tokens=128, extra_body={"seed": 1}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert "response.function_call_arguments.done" in kinds
    assert [i.type for i in final.output][-1] == "function_call"


def test_structured_output(qwen):
    class Town(pydantic.BaseModel):
        name: str
        people: int
    reply = client(qwen).responses.parse(
        model="default", temperature=0, max_output_tokens=96, text_format=Town,
        input="Paris has 2000000 people. Give its name and people as JSON.")
    assert reply.output_parsed.name
    assert reply.output_parsed.people >= 0


def test_background_and_cancel(smollm):
    api = client(smollm)
    queued = api.responses.create(
        model="default", background=True, max_output_tokens=4,
        input="Say hi.")
    assert queued.status == "queued"
    reply = queued
    while reply.status in ("queued", "in_progress"):
        reply = api.responses.retrieve(queued.id)
    assert reply.status in ("completed", "incomplete")
    assert reply.output_text
    running = api.responses.create(
        model="default", background=True, input="Tell a long story.",
        extra_body={"ignore_eos": True})
    assert api.responses.cancel(running.id).status == "cancelled"
    assert api.responses.retrieve(running.id).status == "cancelled"


def test_stored_responses_outlive_the_server(binary, tmp_path):
    flags = ("--cache-dir", str(tmp_path), "--threads", "1")
    server = conftest.Server("smollm2-135m", *flags)
    first = client(server).responses.create(
        model="default", input="Name a colour.", max_output_tokens=8)
    assert client(server).responses.retrieve(first.id).id == first.id
    server.kill()  # it is written behind the stream, which a fetch waits for
    server = conftest.Server("smollm2-135m", *flags)
    try:
        api = client(server)
        assert api.responses.retrieve(first.id).id == first.id
        second = api.responses.create(
            model="default", input="Another.", max_output_tokens=4,
            previous_response_id=first.id)
        assert second.usage.input_tokens > first.usage.input_tokens
    finally:
        assert server.stop() == 0
