"""Replies against the openai SDK's own types, strictly: the SDK itself lets a
missing field pass, a client that reads it does not."""

import json

import httpx2 as httpx
import pydantic
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.completion import Completion
from openai.types.model import Model
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent

TYPES = {
    "response": Response, "response event": ResponseStreamEvent,
    "item": ResponseItem, "chat": ChatCompletion,
    "chat chunk": ChatCompletionChunk, "completion": Completion,
    "model": Model,
}
ADAPTERS = {name: pydantic.TypeAdapter(t) for name, t in TYPES.items()}


def check(kind, value):
    """The value, when it has every field that the type requires."""
    return ADAPTERS[kind].validate_python(value)


def post(server, path, body):
    return httpx.post(server.url + path, timeout=300,
                      json={"model": "default", **body})


def events(server, path, body):
    """(event name, data) of a stream, "[DONE]" as text."""
    out = []
    with httpx.stream("POST", server.url + path, timeout=300, json={
            "model": "default", "stream": True, **body}) as reply:
        assert reply.status_code == 200, reply.read()
        name = None
        for line in reply.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = line[6:]
                out.append((name, data if data == "[DONE]"
                            else json.loads(data)))
                name = None
    return out
