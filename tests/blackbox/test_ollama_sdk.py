"""The ollama SDK against the real server: whole and streamed, tools, formats,
listings, pull and delete."""

import json
import pathlib

import ollama
import pydantic
import pytest

import conftest

QUESTION = [{"role": "user", "content": "Name the capital of France."}]
COLD = {"temperature": 0, "num_predict": 32}


def get_weather(city: str) -> str:
    """Get the current weather in a city

    Args:
      city: The city's name
    """
    return json.dumps({"city": city, "temperature_c": 18, "sky": "clear"})


@pytest.fixture(scope="module")
def api(smollm):
    return ollama.Client(host=smollm.url)


def test_whole_and_streamed_are_one_answer(api):
    ask = dict(model="smollm2-135m:latest", messages=QUESTION, options=COLD)
    whole = api.chat(**ask)
    assert "Paris" in whole.message.content
    assert whole.done and whole.done_reason in ("stop", "length")
    assert whole.eval_count > 0 and whole.eval_duration > 0
    parts = list(api.chat(stream=True, **ask))
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) > 3, "tokens must stream"
    assert parts[-1].eval_count == whole.eval_count
    assert parts[-1].prompt_eval_count == whole.prompt_eval_count


def test_generate(api):
    ask = dict(model="default", prompt="Name the capital of France.",
               options=COLD)
    whole = api.generate(**ask)
    assert "Paris" in whole.response
    parts = list(api.generate(stream=True, **ask))
    assert "".join(p.response for p in parts) == whole.response
    raw = api.generate(model="default", prompt="Once upon a", raw=True,
                       options=COLD, logprobs=True, top_logprobs=2)
    assert raw.response.startswith(" time")
    assert len(raw.logprobs) >= 8 and len(raw.logprobs[0].top_logprobs) == 2
    assert api.generate(model="default", prompt="").done_reason == "load"


def test_formats(api):
    class City(pydantic.BaseModel):
        name: str
        people: int
    ask = dict(model="default", messages=QUESTION,
               options={**COLD, "num_predict": 200})
    reply = api.chat(format=City.model_json_schema(), **ask)
    City.model_validate_json(reply.message.content)
    loose = api.chat(format="json", **{**ask, "options": {
        "temperature": 0, "num_predict": 400, "stop": []}})
    if loose.done_reason == "stop":
        assert isinstance(json.loads(loose.message.content), dict)


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_round_trip(qwen, streamed):
    api = ollama.Client(host=qwen.url)
    messages = [{"role": "user", "content":
                 "What is the weather in Paris? Use the tool."}]
    ask = dict(model="default", tools=[get_weather], stream=streamed,
               options={"temperature": 0, "num_predict": 128})

    def chat():
        reply = api.chat(messages=messages, **ask)
        parts = list(reply) if streamed else [reply]
        return ("".join(p.message.content or "" for p in parts),
                [c for p in parts for c in p.message.tool_calls or []])
    content, calls = chat()
    assert calls[0].function.name == "get_weather", content
    city = calls[0].function.arguments["city"]
    assert city.startswith("Paris")
    messages += [
        {"role": "assistant", "content": content, "tool_calls": calls},
        {"role": "tool", "tool_name": "get_weather",
         "content": get_weather(city)}]
    content, calls = chat()
    assert "18" in content and not calls


def test_listings(api, smollm):
    listed = api.list().models
    assert [m.model for m in listed] == ["smollm2-135m"]
    assert listed[0].size > 0 and listed[0].details.family == "llama"
    running = api.ps().models
    assert running[0].context_length > 0 and running[0].expires_at
    shown = api.show("smollm2-135m")
    assert shown.modelinfo["llama.context_length"] > 0
    assert "completion" in shown.capabilities
    assert tuple(map(int, smollm.get("/api/version")["version"].split("."))) \
        >= (0, 6, 4), "clients ask for that"


def test_errors_are_the_sdks(api):
    with pytest.raises(ollama.ResponseError) as missing:
        api.chat(model="no-such-model", messages=QUESTION)
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as missing:
        list(api.chat(model="no-such-model", messages=QUESTION, stream=True))
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as served:
        api.delete("smollm2-135m")
    assert served.value.status_code == 400


def test_pull_and_delete(smollm, tmp_path, monkeypatch):
    """A model that is here already is pulled at once; another is removed."""
    models = pathlib.Path(tmp_path) / "models"
    place = models / "org" / "tiny"
    place.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (place / name).write_text("{}")
    source = next(iter((conftest.models_home() / "smollm2-135m")
                       .iterdir()))
    (models / "smollm2-135m").mkdir()
    (models / "smollm2-135m" / source.name).symlink_to(source)
    monkeypatch.setenv("RAPID_MLX_HOME", str(tmp_path))
    server = conftest.Server("smollm2-135m")
    try:
        api = ollama.Client(host=server.url)
        steps = [p.status for p in api.pull("org/tiny", stream=True)]
        assert steps == ["pulling manifest", "success"]
        assert api.pull("org/tiny:latest").status == "success"
        assert api.delete("org/tiny").status == "success"
        assert not place.exists()
        with pytest.raises(ollama.ResponseError):
            list(api.pull("not a name", stream=True))
    finally:
        assert server.stop() == 0
