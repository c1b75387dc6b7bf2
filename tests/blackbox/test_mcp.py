"""MCP: servers of others over both transports, and our own."""

import http.server
import json
import subprocess
import threading

import anthropic
import httpx2
import openai
import pytest

import conftest
import schema
from test_cli import run

TOOL = {"name": "get_weather", "description": "The weather in a city",
        "inputSchema": {"type": "object", "required": ["city"],
                        "properties": {"city": {"type": "string"}}}}


def answer(message):
    method = message["method"]
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "weather", "version": "1"}}
    if method == "tools/list":
        return {"tools": [TOOL]}
    city = message["params"]["arguments"]["city"]
    return {"content": [{"type": "text", "text": f"{city}: 31 degrees"}]}


STDIO = f"""
import json, sys
TOOL = {TOOL!r}
{__import__("inspect").getsource(answer)}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"],
                          "result": answer(message)}}), flush=True)
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "server.py").write_text(STDIO)

    def write(**servers):
        path = tmp_path / "mcp.json"
        path.write_text(json.dumps({"mcpServers": servers}))
        return path

    write.stdio = {"command": "python3", "args": [str(tmp_path / "server.py")]}
    return write


def test_tools_of_a_command(config):
    path = config(weather=config.stdio, broken={"command": "no-such-program"})
    listed = run("mcp", "list", "--json", "--mcp", path)
    assert listed.returncode == 1 and "broken" in listed.stderr
    assert [t["name"] for t in json.loads(listed.stdout)] == [
        "weather__get_weather"]
    called = run("mcp", "call", "weather__get_weather", '{"city": "Paris"}',
                 "--mcp", path)
    assert called.stdout == "Paris: 31 degrees\n"
    unknown = run("mcp", "call", "nothing", "--mcp", path)
    assert unknown.returncode == 1 and "no tool" in unknown.stdout


@pytest.mark.parametrize("stream", [False, True])
def test_tools_over_http(config, stream):
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(
                self.rfile.read(int(self.headers["content-length"])))
            seen.append((message.get("method"), dict(self.headers)))
            if "id" not in message:
                self.send_response(202)
                self.end_headers()
                return
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"],
                               "result": answer(message)})
            if stream:
                note = json.dumps({"jsonrpc": "2.0", "method": "note"})
                body = f": hello\n\ndata: {note}\n\nevent: message\ndata: {body}\n\n"
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if stream
                             else "application/json")
            self.send_header("Mcp-Session-Id", "s1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = config(weather={
        "url": f"http://127.0.0.1:{server.server_port}/mcp",
        "headers": {"Authorization": "Bearer k"}})
    called = run("mcp", "call", "weather__get_weather", '{"city": "Oslo"}',
                 "--mcp", path)
    server.shutdown()
    assert (called.returncode, called.stdout) == (0, "Oslo: 31 degrees\n")
    assert [m for m, _ in seen] == [
        "initialize", "notifications/initialized", "tools/list", "tools/call"]
    for _, headers in seen:
        assert headers["Authorization"] == "Bearer k"
    assert seen[-1][1]["Mcp-Session-Id"] == "s1"
    assert seen[-1][1]["MCP-Protocol-Version"] == "2025-06-18"


def test_errors(config, tmp_path):
    missing = run("mcp", "list", "--mcp", tmp_path / "none.json")
    assert missing.returncode == 1 and "hint: write one" in missing.stderr
    (tmp_path / "bad.json").write_text("{")
    assert run("mcp", "list", "--mcp", tmp_path / "bad.json").returncode == 1
    assert run("mcp", "dance").returncode == 2
    assert run("mcp", "call").returncode == 2


def test_our_models_as_tools(smollm):
    asked = [
        {"id": 1, "method": "initialize",
         "params": {"protocolVersion": "2025-06-18"}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "tools/call", "params": {
            "name": "chat", "arguments": {"prompt": "Say hi.",
                                          "max_tokens": 8}}},
        {"id": 4, "method": "tools/call", "params": {"name": "chat"}}]
    done = run("mcp", "serve", "--url", smollm.url,
               text="".join(json.dumps(m) + "\n" for m in asked))
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["id"] for r in replies] == [1, 2, 3, 4]
    assert {t["name"] for t in replies[1]["result"]["tools"]} == {
        "chat", "models"}
    said = replies[2]["result"]
    assert not said["isError"] and said["content"][0]["text"]
    assert replies[3]["result"]["isError"]


def test_chat_runs_what_is_allowed(config, qwen):
    del qwen  # only so that its file is there
    question = "What is the weather in Paris? Use the tool.\n"

    def chat(**entry):
        return subprocess.run(
            [conftest.BIN, "chat", "qwen2.5-coder-0.5b", "--temperature", "0",
             "--max-tokens", "80", "--mcp",
             str(config(weather={**config.stdio, **entry}))],
            input=question, capture_output=True, text=True, timeout=120)

    allowed = chat(alwaysAllow=["get_weather"])
    assert allowed.returncode == 0, allowed.stderr
    # How often it calls is the model's affair; after eight rounds it answers.
    assert "[weather__get_weather: 17 bytes]" in allowed.stderr
    asked = chat()
    assert asked.returncode == 0, asked.stderr
    assert "nobody to ask" in asked.stderr


ASK = "What is the weather in Paris? Use the tool."


@pytest.fixture(scope="module")
def serving(binary, tmp_path_factory):
    """A server that may run the weather tool, and one whose calls fail."""
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "server.py").write_text(STDIO)
    stdio = {"command": "python3", "args": [str(folder / "server.py")]}
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {
        "weather": stdio, "secret": stdio, "broken": {"command": "no-such"}}}))
    server = conftest.Server(
        "qwen2.5-coder-0.5b", "--mcp", str(folder / "mcp.json"),
        "--mcp-allow", "weather__get_weather", "--mcp-rounds", "2")
    yield server
    assert server.stop() == 0


def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none")


def test_only_allowed_tools_are_there(serving):
    tools = serving.get("/v1/mcp/tools")
    assert [t["name"] for t in tools["tools"]] == ["weather__get_weather"]
    servers = {s["name"]: s for s in serving.get("/v1/mcp/servers")["servers"]}
    assert servers["weather"]["tools"] == 1 and servers["broken"]["error"]
    api = client(serving)
    for tool in ({"type": "mcp", "server_label": "secret"},
                 {"type": "mcp", "server_label": "nobody"},
                 {"type": "mcp", "server_label": "weather",
                  "allowed_tools": ["erase_all"]}):
        with pytest.raises(openai.BadRequestError) as error:
            api.chat.completions.create(
                model="default", messages=[{"role": "user", "content": ASK}],
                tools=[tool])
        assert error.value.param.startswith("tools[0].")
    with pytest.raises(openai.BadRequestError):
        api.post("/mcp/execute", cast_to=object, body={
            "tool_name": "secret__get_weather", "arguments": {}})
    done = api.post("/mcp/execute", cast_to=object, body={
        "tool_name": "weather__get_weather", "arguments": {"city": "Oslo"}})
    assert done["content"] == "Oslo: 31 degrees" and not done["is_error"]


def test_a_chat_whose_calls_the_server_runs(serving):
    """Required, so that it does call; what it says then is its own affair."""
    api = client(serving)
    body = dict(
        model="default", messages=[{"role": "user", "content": ASK}],
        tools=[{"type": "mcp", "server_label": "weather"}],
        tool_choice="required", temperature=0, max_tokens=200)
    whole = api.chat.completions.create(**body)
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert not whole.choices[0].message.tool_calls
    runs = whole.rapid_mlx["tool_runs"]
    assert runs[0]["name"] == "get_weather" and runs[0]["server"] == "weather"
    assert "31 degrees" in runs[0]["result"] or runs[0]["is_error"]
    text, seen, usage = "", [], None
    for chunk in api.chat.completions.create(
            stream=True, stream_options={"include_usage": True}, **body):
        for choice in chunk.choices:
            assert not choice.delta.tool_calls
            text += choice.delta.content or ""
        seen.append((chunk.model_extra or {}).get("rapid_mlx", {}).get(
            "tool_run"))
        usage = chunk.usage or usage
    seen = [run for run in seen if run]
    assert "result" not in seen[0] and "result" in seen[1]
    assert text == whole.choices[0].message.content
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_a_response_whose_calls_the_server_runs(serving):
    api = client(serving)
    body = dict(
        model="default", input=ASK, temperature=0, max_output_tokens=200,
        tools=[{"type": "mcp", "server_label": "weather",
                "require_approval": "never"}],
        tool_choice="required", max_tool_calls=1)
    kinds = []
    last = None
    with httpx2.stream("POST", serving.url + "/v1/responses", timeout=300,
                       json={**body, "stream": True}) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                event = schema.check("response event", json.loads(line[6:]))
                kinds.append(event.type)
                last = event
    assert "response.mcp_call.in_progress" in kinds
    calls = [item for item in last.response.output if item.type == "mcp_call"]
    assert calls[0].server_label == "weather"
    assert sum(call.status == "completed" for call in calls) <= 1
    more = api.responses.create(
        model="default", input="Thanks.", previous_response_id=last.response.id,
        max_output_tokens=4)
    assert more.usage.input_tokens > last.response.usage.input_tokens / 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_whose_calls_the_server_runs(serving, stream):
    api = anthropic.Anthropic(base_url=serving.url, api_key="none")
    body = dict(
        model="default", messages=[{"role": "user", "content": ASK}],
        mcp_servers=[{"type": "url", "name": "weather", "url": "http://here"}],
        tools=[{"type": "mcp_toolset", "mcp_server_name": "weather"}],
        tool_choice={"type": "any"}, extra_body={"temperature": 0},
        max_tokens=200, betas=["mcp-client-2025-11-20"])
    if stream:
        with api.beta.messages.stream(**body) as events:
            message = events.get_final_message()
    else:
        message = api.beta.messages.create(**body)
    ran = [b for b in message.content if b.type.startswith("mcp_tool_")]
    call, result = ran[:2]
    assert call.name == "get_weather" and call.server_name == "weather"
    assert result.tool_use_id == call.id and result.content[0].text
    again = api.messages.create(
        model="default", max_tokens=4, messages=body["messages"] + [
            {"role": "assistant",
             "content": [block.to_dict() for block in message.content]},
            {"role": "user", "content": "Thanks."}])
    assert again.usage.output_tokens > 0


def test_a_server_that_runs_no_tools(qwen):
    with pytest.raises(openai.BadRequestError) as error:
        client(qwen).chat.completions.create(
            model="default", messages=[{"role": "user", "content": ASK}],
            tools=[{"type": "mcp", "server_label": "weather"}])
    assert "--mcp" in error.value.message
