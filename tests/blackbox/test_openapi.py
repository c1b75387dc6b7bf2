"""/openapi.json says what is true: each documented route answers as its schema
has it, and no field of any body, whatever is in it, makes a 5xx."""

import json
import urllib.error
import urllib.request

import pytest

import conftest

# A body or query for each operation; {} stands for what an earlier one made.
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
TEXT = {"prompt": "Hello", "max_tokens": 2}
OLLAMA = {"stream": False, "options": {"num_predict": 2}}
ASKS = {
    ("post", "/v1/responses"): {"input": "Hi", "max_output_tokens": 2},
    ("post", "/v1/responses/input_tokens"): {"input": "Hi"},
    ("get", "/v1/responses/{id}"): None,
    ("get", "/v1/responses/{id}/input_items"): "?limit=5&order=asc",
    ("post", "/v1/responses/{id}/cancel"): None,
    ("delete", "/v1/responses/{id}"): None,
    ("post", "/v1/chat/completions"): CHAT,
    ("post", "/v1/completions"): TEXT,
    ("post", "/v1/embeddings"): {"input": ["a", "b"]},
    ("post", "/v1/rerank"): {"query": "a", "documents": ["b", "a"],
                             "return_documents": True},
    ("post", "/v1/messages"): CHAT,
    ("post", "/v1/messages/count_tokens"): CHAT,
    ("post", "/api/chat"): {**CHAT, **OLLAMA},
    ("post", "/api/generate"): {"prompt": "Hi", **OLLAMA},
    ("post", "/api/embed"): {"input": ["a", "b"]},
    ("post", "/api/embeddings"): {"prompt": "a"},
    ("post", "/api/show"): {"model": "smollm2-135m"},
    ("get", "/api/tags"): None,
    ("get", "/api/ps"): None,
    ("get", "/api/version"): None,
    ("post", "/tokenize"): {"prompt": "Hi", "return_token_strs": True},
    ("post", "/detokenize"): {"tokens": [1, 2]},
    ("get", "/v1/models"): None,
    ("get", "/v1/models/{name}"): "smollm2-135m",
    ("post", "/v1/models/load"): {"model": "smollm2-135m"},
    ("get", "/v1/cache/stats"): None,
    ("get", "/v1/cache/explain/{name}"): None,
    ("delete", "/v1/cache"): None,
    ("get", "/v1/memory/plan"): "?ctx=512&batch=2",
    ("get", "/health"): None,
    ("get", "/v1/activity"): None,
    ("get", "/v1/library"): None,
    ("get", "/v1/recipe"): "?ctx=4096",
    ("get", "/openapi.json"): None,
    ("get", "/v1/mcp/tools"): None,
    ("get", "/v1/mcp/servers"): None,
    ("post", "/v1/mcp/execute"): {"tool_name": "weather__get_weather",
                                  "arguments": {"city": "Rome"}},
}
# Answers in plain text, from the net, or the end of the model of all tests.
NOT_ASKED = {("get", "/"), ("get", "/ui/{name}"), ("get", "/metrics"),
             ("post", "/api/pull"), ("delete", "/api/delete"),
             ("post", "/v1/models/unload")}

KINDS = {"string": str, "integer": int, "number": (int, float), "array": list,
         "object": dict, "boolean": bool, "null": type(None)}


def faults(schema, value, place=""):
    """Where `value` is not as the schema has it."""
    if "const" in schema and value != schema["const"]:
        return [f"{place}: {value!r} is not {schema['const']!r}"]
    kinds = schema.get("type", list(KINDS))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(isinstance(value, KINDS[k]) and
               (k == "boolean") == isinstance(value, bool) for k in kinds):
        return [f"{place}: {value!r} is no {kinds}"]
    out = []
    if isinstance(value, dict):
        out += [f"{place}: no {name}" for name in schema.get("required", [])
                if name not in value]
        for name, inner in value.items():
            of = schema.get("properties", {}).get(
                name, schema.get("additionalProperties", {}))
            out += faults(of if isinstance(of, dict) else {}, inner,
                          f"{place}.{name}")
    if isinstance(value, list):
        for i, inner in enumerate(value):
            out += faults(schema.get("items", {}), inner, f"{place}[{i}]")
    return out


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    import test_mcp
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "server.py").write_text(test_mcp.STDIO)
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"weather": {
        "command": "python3", "args": [str(folder / "server.py")]}}}))
    server = conftest.Server("smollm2-135m", "--mcp", str(folder / "mcp.json"),
                             "--mcp-allow", "weather__*")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json")


def ask(server, method, path, body):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        server.url + path, data, {"content-type": "application/json"},
        method=method.upper())
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def content(operation, status):
    return operation["responses"][status]["content"][
        "application/json"]["schema"]


def test_each_route_answers_as_documented(server, document):
    operations = {(method, path): operation
                  for path, methods in document["paths"].items()
                  for method, operation in methods.items()}
    assert set(operations) == set(ASKS) | NOT_ASKED
    made = {}
    for (method, path), asked in ASKS.items():
        real = path
        if isinstance(asked, str) and not asked.startswith("?"):
            real = path.replace("{name}", asked)
        elif isinstance(asked, str):
            real += asked
        real = real.replace("{id}", made.get("id", ""))
        real = real.replace("{name}", made.get("request", ""))
        status, headers, text = ask(
            server, method, real, asked if isinstance(asked, dict) else None)
        assert status == 200, (method, real, text)
        value = json.loads(text)
        wrong = faults(content(operations[method, path], "200"), value)
        assert not wrong, (method, path, wrong)
        if path == "/v1/responses":
            made["id"] = value["id"]
        if path == "/v1/completions":
            made["request"] = headers["x-request-id"]


def test_errors_are_as_documented(server, document):
    for path, methods in document["paths"].items():
        operation = methods.get("post")
        if operation is None or "requestBody" not in operation:
            continue
        status, _, text = ask(server, "post", path.replace("{id}", "x"), [])
        assert status == 400, (path, text)
        wrong = faults(content(operation, "default"), json.loads(text))
        assert not wrong, (path, wrong)


VALUES = [None, True, -1, 1e308, 2**70, "", "\u0000", "x" * 5000, [], [None],
          [[]], {}, {"type": None}, [{"role": "user"}], [{"type": "function"}]]


def test_no_field_breaks_the_server(server, document):
    """One field at a time is what it should not be."""
    count = 0
    for path, methods in document["paths"].items():
        operation = methods.get("post", {})
        base = ASKS.get(("post", path))
        if "requestBody" not in operation or not isinstance(base, dict):
            continue
        fields = operation["requestBody"]["content"]["application/json"][
            "schema"]["properties"]
        for name in fields:
            if name in ("model", "max_tokens", "max_completion_tokens",
                        "max_output_tokens", "keep_alive"):
                continue  # a wish that is granted takes long
            for value in VALUES:
                if name == "options" and value == {}:
                    continue
                status, _, text = ask(
                    server, "post", path,
                    {**base, name: value, **(
                        {"stream": False} if name != "stream" and
                        path.startswith("/api/") else {})})
                assert status < 500, (path, name, value, text)
                count += 1
    assert count > 1000
    assert server.get("/health")["status"] == "ok"
