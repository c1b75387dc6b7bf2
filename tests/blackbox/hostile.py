"""What hostile clients send, for the tests and tools/security."""

import contextlib
import re
import socket

POST = b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\n"
BODY = b'{"prompt":"a"}'
CHUNKS = b"e\r\n" + BODY + b"\r\n0\r\n\r\n"
SMUGGLED = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"

# Heads that two programs could read in two ways.
FRAMING = [
    b"content-length: 14\r\ntransfer-encoding: chunked\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 14\r\n",
    b"content-length: 14\r\ncontent-length: 15\r\n",
    b"content-length: 14, 15\r\n",
    b"content-length: +14\r\n",
    b"content-length: -14\r\n",
    b"content-length: 0x0e\r\n",
    b"content-length: 14 14\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"content-length : 14\r\n",
    b"transfer-encoding: chunked, identity\r\n",
    b"transfer-encoding: identity, chunked\r\n",
    b"transfer-encoding: xchunked\r\n",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    b"transfer-encoding: \x0bchunked\r\n",
    b"transfer-encoding:\x00chunked\r\n",
    b"transfer-encoding : chunked\r\n",
    b"host: evil.example\r\ncontent-length: 14\r\n",
    b"content-length: 14\r\nx: a\x00b\r\n",
    b"content-length: 14\nx: a\r\n",  # a line that ends in \n alone
    b"content-length: 14\rx: a\r\n",
    b"x\x01y: a\r\ncontent-length: 14\r\n",
    b": a\r\ncontent-length: 14\r\n",
]

WRONG_CHUNKS = [
    b"fffffffffffffffff\r\n" + BODY,
    b"-e\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"0xe\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"e\n" + BODY + b"\n0\n\n",
    b"d\r\n" + BODY + b"\r\n0\r\n\r\n",  # one byte too few
    b"e \r\r\n" + BODY + b"\r\n0\r\n\r\n",
]

PATHS = [
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/v1/models/../../../../etc/passwd",
    "/v1/models/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/v1/models/%2fetc%2fpasswd", "/v1/responses/..%2f..%2fetc%2fpasswd",
    "/v1/cache/explain/../../../etc/passwd", "/v1/models/..%5c..%5cetc",
    "/v1/models/%c0%ae%c0%ae/etc/passwd", "/v1/models/%252e%252e/etc/passwd",
    "/v1/models/a%00b", "/v1/models/%ff%fe", "//etc/passwd", "/.", "/..",
    "/v1/models/;/etc/passwd", "/openapi.json/../../etc/passwd",
    "http://evil.example/etc/passwd", "*", "/%", "/v1/models/%2"]

DEEP = 100_000
DEEP_BODIES = [
    "[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP,
    '{"messages":[{"role":"user","content":' + "[" * DEEP + "]" * DEEP + "}]}",
]


def nested(depth, inner):
    for _ in range(depth):
        inner = {"type": "object", "properties": {"a": inner}}
    return inner


SCHEMAS = [
    nested(60, {"type": "string"}),
    {"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    {"type": "string", "pattern": "(a+)+" * 50 + "$"},
    {"type": "string", "pattern": "(" * 1000},
    {"type": "array", "minItems": 10**9, "items": {"type": "integer"}},
    {"enum": []}, {"type": "nothing"}, {"allOf": [{"$ref": "#"}]}]


class Raw:
    """A socket that speaks bytes."""

    def __init__(self, server, timeout=60):
        self.socket = socket.create_connection(
            ("127.0.0.1", server.port), timeout=timeout)

    def send(self, data):
        with contextlib.suppress(OSError):  # it may have been closed on us
            self.socket.sendall(data)
        return self

    def until_closed(self):
        out = b""
        with contextlib.suppress(OSError):
            while chunk := self.socket.recv(65536):
                out += chunk
        self.socket.close()
        return out


def statuses(reply):
    """Of all replies on a connection."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", reply)]
