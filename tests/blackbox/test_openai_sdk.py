"""The openai SDK against the real server and real models."""

import json

import openai
import pytest

import schema

TOOLS = [{
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}]


def client(server, **more):
    return openai.OpenAI(
        base_url=server.url + "/v1", api_key="none", max_retries=0,
        timeout=120, **more)


def test_streamed_chat(smollm):
    stream = client(smollm).chat.completions.create(
        model="default", stream=True, temperature=0, max_tokens=32,
        stream_options={"include_usage": True},
        messages=[{"role": "user", "content":
                   "What is the capital city of France? Answer in one sentence."}])
    chunks = list(stream)
    text = "".join(
        c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Paris" in text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0
    ends = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [e for e in ends if e] in (["stop"], ["length"])
    assert len([c for c in chunks if c.choices]) > 5, "tokens must stream"


def test_streaming_and_not_streaming_are_one_path(smollm):
    ask = dict(
        model="smollm2-135m", temperature=0.8, seed=7, max_tokens=24,
        messages=[{"role": "user", "content": "Tell me about the sea."}])
    whole = client(smollm).chat.completions.create(**ask)
    parts = client(smollm).chat.completions.create(stream=True, **ask)
    text = "".join(c.choices[0].delta.content or "" for c in parts)
    assert whole.choices[0].message.content == text


def test_second_turn_reuses_the_first(smollm):
    api = client(smollm)
    messages = [
        {"role": "system", "content": "You are brief. " * 20},
        {"role": "user", "content": "Name a colour."}]
    first = api.chat.completions.create(
        model="default", messages=messages, temperature=0, max_tokens=16)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "Name another one."}]
    second = api.chat.completions.create(
        model="default", messages=messages, temperature=0, max_tokens=16)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached >= first.usage.prompt_tokens - 4
    again = api.chat.completions.create(
        model="default", messages=messages, temperature=0, max_tokens=16,
        extra_body={"cache": False})
    assert (again.choices[0].message.content
            == second.choices[0].message.content)


def test_tool_call_and_its_result(qwen):
    api = client(qwen)
    messages = [{"role": "user", "content":
                 "What is the weather in Paris? Use the tool."}]
    first = api.chat.completions.create(
        model="default", messages=messages, tools=TOOLS, temperature=0,
        seed=1, max_tokens=128)
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    call = choice.message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"].startswith("Paris")
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id,
         "content": json.dumps({"temperature_c": 18, "sky": "clear"})}]
    final = api.chat.completions.create(
        model="default", messages=messages, tools=TOOLS, temperature=0,
        seed=1, max_tokens=128)
    assert final.choices[0].finish_reason == "stop"
    assert "18" in final.choices[0].message.content


def test_tool_call_streams_whole(qwen):
    stream = client(qwen).chat.completions.create(
        model="default", tools=TOOLS, temperature=0, seed=1, max_tokens=128,
        stream=True, messages=[{"role": "user", "content":
                                "What is the weather in Paris? Use the tool."}])
    arguments, names, reason = "", [], None
    for chunk in stream:
        choice = chunk.choices[0]
        reason = choice.finish_reason or reason
        for call in choice.delta.tool_calls or []:
            names += [call.function.name] if call.function.name else []
            arguments += call.function.arguments or ""
    assert (names, reason) == (["get_weather"], "tool_calls")
    assert "city" in json.loads(arguments)


def test_logprobs(smollm):
    reply = client(smollm).chat.completions.create(
        model="default", temperature=0, max_tokens=4, logprobs=True,
        top_logprobs=3, messages=[{"role": "user", "content": "Hi"}])
    content = reply.choices[0].logprobs.content
    assert len(content) == reply.usage.completion_tokens
    for entry in content:
        assert len(entry.top_logprobs) == 3
        assert entry.logprob == entry.top_logprobs[0].logprob


def test_echo_scores_the_prompt_alike_cold_and_warm(smollm):
    api = client(smollm)
    ask = dict(model="default", prompt="The quick brown fox jumps over the",
               echo=True, logprobs=2, max_tokens=0, temperature=0)
    cold = api.completions.create(**ask).choices[0]
    warm = api.completions.create(**ask).choices[0]
    assert cold.finish_reason == "length"
    assert cold.text == "The quick brown fox jumps over the"
    assert cold.logprobs.token_logprobs[0] is None
    assert cold.logprobs.token_logprobs == warm.logprobs.token_logprobs
    assert len(cold.logprobs.token_ids) == len(cold.logprobs.tokens)


def test_completions_take_every_form_of_prompt(smollm):
    api = client(smollm)
    for prompt, count in [
            ("One two", 1), (["One two", "Three"], 2),
            ([3, 4, 5], 1), ([[3, 4], [5]], 2)]:
        reply = api.completions.create(
            model="default", prompt=prompt, n=2, max_tokens=2)
        assert len(reply.choices) == 2 * count
        assert [c.index for c in reply.choices] == list(range(2 * count))


def test_n_and_stop(smollm):
    reply = client(smollm).chat.completions.create(
        model="default", n=3, seed=5, temperature=1, max_tokens=12,
        messages=[{"role": "user", "content": "Say something."}])
    assert len({c.message.content for c in reply.choices}) > 1
    stopped = client(smollm).completions.create(
        model="default", prompt="1, 2, 3, 4, 5,", temperature=0, max_tokens=40,
        stop=[" 8, 9"])
    assert " 8, 9" not in stopped.choices[0].text
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("body, status, word", [
    (dict(temperature="hot"), 400, "temperature"),
    (dict(temperature=9), 400, "temperature"),
    (dict(messages="hello"), 400, "messages"),
    (dict(model="no-such-model"), 404, "no-such-model"),
    (dict(max_tokens=-1), 400, "max_tokens"),
])
def test_errors_name_the_field(smollm, body, status, word):
    ask = dict(model="default", max_tokens=1,
               messages=[{"role": "user", "content": "x"}]) | body
    with pytest.raises(openai.APIStatusError) as caught:
        client(smollm).post("/chat/completions", body=ask, cast_to=object)
    assert caught.value.status_code == status
    assert word in json.dumps(caught.value.response.json()["error"])


def test_over_long_prompt(smollm):
    with pytest.raises(openai.BadRequestError) as caught:
        client(smollm).completions.create(
            model="default", prompt=[5] * 9000, max_tokens=1)
    assert caught.value.code == "context_length_exceeded"


def test_models(smollm):
    model = client(smollm).models.list().data[0]
    assert model.id == "smollm2-135m"
    assert client(smollm).models.retrieve("smollm2-135m").id == model.id


def test_special_tokens_of_a_user_are_text(smollm):
    api = client(smollm)
    plain = api.chat.completions.create(
        model="default", max_tokens=1,
        messages=[{"role": "user", "content": "a"}])
    tricky = api.chat.completions.create(
        model="default", max_tokens=1,
        messages=[{"role": "user", "content": "a<|im_end|>"}])
    # One control token would add 1; eight characters of text add more.
    assert tricky.usage.prompt_tokens > plain.usage.prompt_tokens + 2


def test_replies_have_every_field_of_the_types(qwen):
    chat = {"temperature": 0, "seed": 1, "max_tokens": 64,
            "messages": [{"role": "user", "content":
                          "What is the weather in Paris? Use the tool."}]}
    for more in [{}, {"tools": TOOLS, "tool_choice": "required"},
                 {"logprobs": True, "top_logprobs": 1, "max_tokens": 3},
                 {"functions": [TOOLS[0]["function"]],
                  "function_call": {"name": "get_weather"}}]:
        body = {**chat, **more}
        path = "/v1/chat/completions"
        schema.check("chat", schema.post(qwen, path, body).json())
        events = schema.events(qwen, path, {
            **body, "stream_options": {"include_usage": True}})
        assert events.pop()[1] == "[DONE]"
        chunks = [schema.check("chat chunk", data) for _, data in events]
        assert chunks[-1].usage.total_tokens > 0
        assert chunks[0].choices[0].delta.role == "assistant"
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert reasons[-1] and not any(reasons[:-1])
        for chunk in chunks[:-1]:
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.index >= 0 and call.id
                assert call.type == "function"
    text = {"prompt": "a", "max_tokens": 2, "logprobs": 1}
    schema.check("completion",
                 schema.post(qwen, "/v1/completions", text).json())
    chunks = [data for _, data in
              schema.events(qwen, "/v1/completions", text)[:-1]]
    for i, chunk in enumerate(chunks):
        # Null until the end, as everywhere; the SDK's type has no chunks.
        for choice in chunk["choices"]:
            if i + 1 < len(chunks) and choice["finish_reason"] is None:
                choice["finish_reason"] = "stop"
        schema.check("completion", chunk)
    for model in qwen.get("/v1/models")["data"]:
        schema.check("model", model)
