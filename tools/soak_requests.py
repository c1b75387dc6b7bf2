"""The requests of tools/soak.py: each kind asks, checks what came, and says so.

A kind is a function (server, rng, shared) that raises Wrong when an answer is
not what it has to be. `shared` remembers the first answer to each question:
what is asked again must be answered the same, whatever runs beside it.
"""

import json
import threading
import time

from serving import ask, chunks, connect

CHAT = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {
    "name": name, "description": about,
    "parameters": {"type": "object", "properties": properties,
                   "required": list(properties),
                   "additionalProperties": False}}}
    for name, about, properties in [
        ("get_weather", "The weather in a city.",
         {"city": {"type": "string", "maxLength": 12},
          "days": {"type": "integer", "minimum": 1, "maximum": 9}}),
        ("read_file", "Lines of a file.",
         {"path": {"type": "string", "maxLength": 12},
          "whole": {"type": "boolean"}})]]
SCHEMA = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 10},
    "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"], "additionalProperties": False}
SYSTEMS = ["You are brief.", "You help with code. " + "Be exact. " * 60,
           "You are a sailor. " + "The sea is wide. " * 30]
TOPICS = ["cats", "rust", "Oslo", "tea", "ships", "snow", "maps", "bread"]
TYPES = {"string": str, "integer": int, "boolean": bool}


class Wrong(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Wrong(*what)


class Shared:
    """First answers, by question."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers = {}
        self.compared = 0

    def same(self, question, answer):
        key = json.dumps(question, sort_keys=True)
        with self.lock:
            first = self.answers.setdefault(key, answer)
            self.compared += first is not answer
        check(first == answer, "not the first answer", question, first, answer)


def question(rng, turns=1):
    """One of a few hundred conversations, so that each comes many times."""
    messages = [{"role": "system", "content": rng.choice(SYSTEMS)}]
    for _ in range(turns - 1):
        topic = rng.choice(TOPICS[:3])
        messages += [{"role": "user", "content": f"What of {topic}?"},
                     {"role": "assistant", "content": f"I like {topic}."}]
    messages.append({"role": "user",
                     "content": f"Tell me of {rng.choice(TOPICS)}."})
    return {"model": "default", "messages": messages, "temperature": 0,
            "max_tokens": rng.choice([4, 12, 24])}


def lane(rng):
    return {"x-session-id": f"agent-{rng.randrange(6)}"}


def whole(server, body, headers=None):
    status, reply = ask(server, "POST", CHAT, body, headers)
    check(status == 200, status, reply)
    usage = reply["usage"]
    check(usage["total_tokens"] ==
          usage["prompt_tokens"] + usage["completion_tokens"], usage)
    check(usage["completion_tokens"] <= body["max_tokens"], usage)
    return reply["choices"][0]


def chat(server, rng, shared):
    body = question(rng, rng.randrange(1, 4))
    choice = whole(server, body, lane(rng))
    check(choice["finish_reason"] in ("stop", "length"), choice)
    shared.same(body, [choice["message"]["content"], choice["finish_reason"]])


def streamed(server, rng, shared):
    body = question(rng, rng.randrange(1, 4))
    text, reason, done, usage = "", None, False, None
    options = {"stream_options": {"include_usage": True}}
    for chunk in chunks(server, CHAT, {**body, **options}, lane(rng)):
        check(not done, "behind [DONE]", chunk)
        if chunk is None:
            done = True
            continue
        check("error" not in chunk, chunk)
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
    check(done and usage, "no [DONE] or no usage")
    shared.same(body, [text, reason])


def sampled(server, rng, shared):
    body = {**question(rng), "temperature": 0.9, "seed": rng.randrange(4),
            "n": rng.choice([1, 3])}
    status, reply = ask(server, "POST", CHAT, body)
    check(status == 200, status, reply)
    shared.same(body, [each["message"]["content"]
                       for each in reply["choices"]])


def check_calls(choice):
    for call in choice["message"].get("tool_calls") or []:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        check(call["id"] and isinstance(arguments, dict), call)


def tools_auto(server, rng, shared):
    body = {**question(rng), "tools": TOOLS, "tool_choice": "auto"}
    choice = whole(server, body)
    check_calls(choice)
    # Ids of calls are a client's own; names and arguments are the model's.
    calls = [call["function"]
             for call in choice["message"].get("tool_calls") or []]
    shared.same(body, [choice["message"]["content"], calls])


def tools_required(server, rng, _shared):
    body = {**question(rng), "tools": TOOLS, "tool_choice": "required",
            "parallel_tool_calls": False, "max_tokens": 80}
    choice = whole(server, body)
    calls = choice["message"].get("tool_calls") or []
    check_calls(choice)
    if choice["finish_reason"] == "length":
        return
    check(choice["finish_reason"] == "tool_calls" and len(calls) == 1, choice)
    function = calls[0]["function"]
    properties = next(
        tool["function"]["parameters"]["properties"] for tool in TOOLS
        if tool["function"]["name"] == function["name"])
    arguments = json.loads(function["arguments"])
    check(arguments.keys() == properties.keys(), function)
    for key, value in arguments.items():
        check(type(value) is TYPES[properties[key]["type"]], function)


def schema(server, rng, shared):
    body = {**question(rng), "max_tokens": 60, "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": SCHEMA}}}
    choice = whole(server, body)
    if choice["finish_reason"] == "stop":
        value = json.loads(choice["message"]["content"])
        check(value.keys() == {"name", "age"}, value)
        check(type(value["age"]) is int and 0 <= value["age"] <= 99, value)
    shared.same(body, choice["message"]["content"])


def json_object(server, rng, shared):
    body = {**question(rng), "max_tokens": 40,
            "response_format": {"type": "json_object"}}
    choice = whole(server, body)
    text = choice["message"]["content"]
    check(text.lstrip().startswith("{"), text)
    if choice["finish_reason"] == "stop":
        check(isinstance(json.loads(text), dict), text)
    shared.same(body, text)


def scored(server, rng, shared):
    ids = [1000 + 7 * rng.randrange(30) for _ in range(rng.randrange(2, 40))]
    body = {"model": "default", "prompt": ids, "max_tokens": 4,
            "temperature": 0, "echo": True, "logprobs": 2}
    status, reply = ask(server, "POST", "/v1/completions", body)
    check(status == 200, status, reply)
    logprobs = reply["choices"][0]["logprobs"]
    check(logprobs["token_ids"][:len(ids)] == ids, logprobs)
    check(logprobs["token_logprobs"][0] is None, logprobs)
    shared.same(body, logprobs["token_logprobs"])


def cancelled(server, rng, _shared):
    body = {**question(rng), "max_tokens": 400}
    seen = 0
    events = chunks(server, CHAT, body, lane(rng))
    for chunk in events:
        check(chunk is None or "error" not in chunk, chunk)
        seen += 1
        if seen > rng.randrange(2, 12):
            break
    events.close()


def left_in_prefill(server, rng, _shared):
    words = " ".join(str(rng.randrange(10**6)) for _ in range(250))
    body = {"model": "default", "stream": rng.random() < 0.5,
            "max_tokens": 50,
            "messages": [{"role": "user", "content": words}]}
    link = connect(server, "POST", CHAT, body, lane(rng))
    time.sleep(rng.random() * 0.15)
    link.close()


def left_in_body(server, rng, _shared):
    """Hangs up in the middle of its own request."""
    link = connect(server, "GET", "/health")
    link.getresponse().read()
    link.putrequest("POST", CHAT)
    link.putheader("content-length", "5000")
    link.endheaders()
    link.send(b'{"model": "default", "messages": [')
    link.close()


ERRORS = [
    (b'{"model": "default", "messages": [', 400, None),
    (b"\xff\xfe not JSON", 400, None),
    (b"[1, 2]", 400, None),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "king", "content": "x"}]}, 400,
     "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, 400,
     "messages[0].content"),
    ({"max_tokens": "many"}, 400, "max_tokens"),
    ({"max_tokens": -1}, 400, "max_tokens"),
    ({"temperature": "hot"}, 400, "temperature"),
    ({"temperature": 9}, 400, "temperature"),
    ({"n": 0}, 400, "n"),
    ({"tools": "all"}, 400, "tools"),
    ({"stop": [1]}, 400, "stop[0]"),
    ({"tool_choice": "required"}, 400, "tool_choice"),
    ({"response_format": {"type": "xml"}}, 400, None),
    ({"response_format": {"type": "json_schema", "json_schema": {
        "schema": {"type": "no such type"}}}}, 400, None),
    ({"model": "no-such-model"}, 404, "model"),
]


def refused(server, rng, _shared):
    change, status, param = rng.choice(ERRORS)
    body = change if isinstance(change, bytes) else {
        **question(rng), **change}
    got, reply = ask(server, "POST", CHAT, body)
    check(got == status, change, got, reply)
    check(reply["error"]["message"] and reply["error"]["type"], reply)
    check(param is None or reply["error"]["param"] == param, change, reply)


def too_long(server, rng, _shared):
    ids = [1000 + rng.randrange(1000)] * 9000
    got, reply = ask(server, "POST", "/v1/completions",
                     {"model": "default", "prompt": ids, "max_tokens": 1})
    check(got == 400, got, reply)
    check(reply["error"]["code"] == "context_length_exceeded", reply)


def nowhere(server, rng, _shared):
    got, reply = ask(server, "GET", f"/v1/nothing/{rng.randrange(9)}")
    check(got == 404 and reply["error"]["message"], got, reply)


# Kind and its share.
KINDS = [(chat, 20), (streamed, 20), (sampled, 6), (tools_auto, 8),
         (tools_required, 6), (schema, 6), (json_object, 4), (scored, 4),
         (cancelled, 8), (left_in_prefill, 5), (left_in_body, 2),
         (refused, 8), (too_long, 1), (nowhere, 2)]
