"""Frameworks against two servers: of a small model that answers, and of
written answers that call a tool. One line of JSON for each check.

  python checks.py URL_TEXT URL_TOOLS FRAMEWORK
"""

import json
import os
import sys
import traceback

os.environ.update(
    LITELLM_LOCAL_MODEL_COST_MAP="True", HF_HUB_OFFLINE="1",
    LANGSMITH_TRACING="false", DO_NOT_TRACK="1", OPENAI_API_KEY="none")
TEXT, TOOLS, WHICH = sys.argv[1:]
SAY = "Name the capital of France."
ASK = "What is the weather in Paris? Use the tool."
SKY = '{"temperature_c": 18, "sky": "clear"}'
checks = {}


def check(function):
    checks.setdefault(function.__name__.split("_")[0], []).append(function)
    return function


def weather_schema():
    return {"type": "function", "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}}, "required": ["city"]}}}


def city_type():
    import pydantic

    class City(pydantic.BaseModel):
        city: str
    return City


def raises(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def langchain(url, **more):
    from langchain_openai import ChatOpenAI
    return ChatOpenAI(base_url=url + "/v1", model="default", max_retries=0,
                      temperature=0, **{"max_tokens": 200, **more})


def words(message):
    """A message's text, which is a list of blocks over /v1/responses."""
    return message.text if isinstance(message.text, str) else message.text()


@check
def langchain_text():
    for responses in (False, True):
        model = langchain(TEXT, max_tokens=24, use_responses_api=responses,
                          stream_usage=True)
        whole = model.invoke(SAY)
        parts = list(model.stream(SAY))
        assert "".join(map(words, parts)) == words(whole), responses
        assert whole.usage_metadata["output_tokens"] > 0
        used = [p.usage_metadata for p in parts if p.usage_metadata]
        assert used[-1]["output_tokens"] == whole.usage_metadata["output_tokens"]


@check
def langchain_tools():
    from langchain_core.messages import HumanMessage, ToolMessage
    for responses in (False, True):
        model = langchain(TOOLS, use_responses_api=responses,
                          max_tokens=200).bind_tools([weather_schema()])
        said = [HumanMessage(ASK)]
        whole = model.invoke(said)
        parts = None
        for part in model.stream(said):
            parts = part if parts is None else parts + part
        for message in (whole, parts):
            (call,) = message.tool_calls
            assert call["name"] == "get_weather" and call["id"], call
            assert call["args"]["city"].startswith("Paris")
        said += [whole, ToolMessage(SKY, tool_call_id=whole.tool_calls[0]["id"])]
        assert "18" in words(model.invoke(said))


@check
def langchain_structured():
    City = city_type()
    for method in ("json_schema", "function_calling"):
        made = langchain(TEXT).with_structured_output(
            City, method=method).invoke(SAY)
        assert isinstance(made, City), method


@check
def langchain_errors():
    import openai
    from langchain_openai import ChatOpenAI
    raises(openai.NotFoundError, lambda: ChatOpenAI(
        base_url=TEXT + "/v1", model="no-such", max_retries=0).invoke(SAY))
    raises(openai.BadRequestError,
           lambda: langchain(TEXT).invoke("word " * 20000))


def pydantic_agent(url, kind="Chat", model="default", **more):
    from pydantic_ai import Agent
    from pydantic_ai.models import openai as models
    from pydantic_ai.providers.openai import OpenAIProvider
    make = getattr(models, f"OpenAI{kind}Model")
    return Agent(make(model, provider=OpenAIProvider(
        base_url=url + "/v1", api_key="none")), model_settings={
            "temperature": 0, "max_tokens": 200}, **more)


@check
def pydantic_text():
    for kind in ("Chat", "Responses"):
        done = pydantic_agent(TEXT, kind).run_sync(SAY)
        assert done.output and done.usage.output_tokens > 0, kind
        stream = pydantic_agent(TEXT, kind).run_stream_sync(SAY)
        *_, last = stream.stream_text()
        assert last.strip() == done.output.strip(), kind


@check
def pydantic_tools():
    for kind in ("Chat", "Responses"):
        agent, asked = pydantic_agent(TOOLS, kind), []

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """Get the current weather in a city"""
            asked.append(city)
            return SKY

        done = agent.run_sync(ASK)
        assert asked and asked[0].startswith("Paris"), kind
        assert "18" in done.output, done.output


@check
def pydantic_structured():
    from pydantic_ai import NativeOutput
    City = city_type()
    for kind in ("Chat", "Responses"):
        done = pydantic_agent(
            TEXT, kind, output_type=NativeOutput(City)).run_sync(SAY)
        assert isinstance(done.output, City)


@check
def pydantic_errors():
    from pydantic_ai.exceptions import ModelHTTPError
    error = raises(ModelHTTPError, lambda: pydantic_agent(
        TEXT, model="no-such").run_sync(SAY))
    assert error.status_code == 404


def smol(url, model="default"):
    from smolagents import OpenAIModel
    return OpenAIModel(model_id=model, api_base=url + "/v1", api_key="none",
                       temperature=0, max_tokens=200)


def smol_tool():
    from smolagents import tool

    @tool
    def get_weather(city: str) -> str:
        """Get the current weather in a city

        Args:
            city: its name
        """
        return SKY
    return get_weather


@check
def smolagents_text():
    said = [{"role": "user", "content": [{"type": "text", "text": SAY}]}]
    whole = smol(TEXT).generate(said)
    assert whole.token_usage.output_tokens > 0
    parts = list(smol(TEXT).generate_stream(said))
    assert "".join(p.content or "" for p in parts) == whole.content


@check
def smolagents_tools():
    said = [{"role": "user", "content": [{"type": "text", "text": ASK}]}]
    done = smol(TOOLS).generate(said, tools_to_call_from=[smol_tool()],
                                stop_sequences=["Observation:"])
    (call,) = done.tool_calls
    assert call.function.name == "get_weather" and call.id
    arguments = call.function.arguments
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    assert arguments["city"].startswith("Paris")


@check
def smolagents_structured():
    said = [{"role": "user", "content": [{"type": "text", "text": SAY}]}]
    City = city_type()
    done = smol(TEXT).generate(said, response_format={
        "type": "json_schema", "json_schema": {
            "name": "city", "schema": City.model_json_schema()}})
    City.model_validate_json(done.content)


@check
def smolagents_errors():
    import openai
    said = [{"role": "user", "content": [{"type": "text", "text": SAY}]}]
    raises(openai.NotFoundError, lambda: smol(TEXT, "no-such").generate(said))


WAYS = {"openai": "/v1", "hosted_vllm": "/v1", "anthropic": "",
        "ollama_chat": ""}


def lite(url, way, **more):
    import litellm
    litellm.telemetry = False
    return litellm.completion(
        model=f"{way}/{more.pop('model', 'default')}",
        api_base=url + WAYS[way], api_key="none", temperature=0,
        num_retries=0, **{"max_tokens": 200, **more})


@check
def litellm_text():
    said = [{"role": "user", "content": SAY}]
    for way in WAYS:
        whole = lite(TEXT, way, messages=said, max_tokens=24)
        assert whole.usage.completion_tokens > 0, way
        parts = list(lite(TEXT, way, messages=said, max_tokens=24, stream=True,
                          stream_options={"include_usage": True}))
        text = "".join(p.choices[0].delta.content or "" for p in parts
                       if p.choices)
        assert text == whole.choices[0].message.content, way


@check
def litellm_tools():
    for way in WAYS:
        said = [{"role": "user", "content": ASK}]
        whole = lite(TOOLS, way, messages=said, tools=[weather_schema()])
        message = whole.choices[0].message
        (call,) = message.tool_calls
        assert json.loads(call.function.arguments)["city"].startswith("Paris")
        assert whole.choices[0].finish_reason == "tool_calls", way
        said += [message.model_dump(exclude_none=True),
                 {"role": "tool", "tool_call_id": call.id, "content": SKY}]
        last = lite(TOOLS, way, messages=said, tools=[weather_schema()])
        assert "18" in last.choices[0].message.content, way


@check
def litellm_structured():
    City = city_type()
    done = lite(TEXT, "openai", response_format=City,
                messages=[{"role": "user", "content": SAY}])
    City.model_validate_json(done.choices[0].message.content)


@check
def litellm_errors():
    import litellm
    said = [{"role": "user", "content": SAY}]
    for way in ("openai", "anthropic"):
        raises(litellm.NotFoundError,
               lambda: lite(TEXT, way, messages=said, model="no-such"))
    raises(litellm.BadRequestError, lambda: lite(
        TEXT, "openai", messages=[{"role": "user", "content": "word " * 20000}]))


failed = 0
for each in checks[WHICH]:
    trouble = None
    try:
        each()
    except Exception:
        trouble, failed = traceback.format_exc(limit=-3)[-900:], 1
    print(json.dumps({"name": each.__name__, "error": trouble}), flush=True)
sys.exit(failed)
