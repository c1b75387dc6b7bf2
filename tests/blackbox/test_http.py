"""The server as a plain HTTP peer: starts, leaves, broken input."""

import http.client
import json
import socket
import time

import conftest


def post(server, path, body, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", path, body, headers or {
        "content-type": "application/json"})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data


def test_second_start_is_quick(smollm):
    assert smollm.start_seconds < 10  # the figure itself is a benchmark's
    assert smollm.get("/health")


def test_broken_bodies(smollm):
    for body in [b"", b"{", b"[1,2", b'{"messages": 3}', b"\xff\xfe",
                 b"[" * 100000, b'{"messages":[{"role":"user"}]}']:
        status, data = post(smollm, "/v1/chat/completions", body)
        assert status == 400, (body[:20], data)
        assert json.loads(data)["error"]["message"]
    assert smollm.get("/health")


def test_unknown_paths_and_methods(smollm):
    assert post(smollm, "/v1/nothing", b"{}")[0] == 404
    assert post(smollm, "/health", b"{}")[0] == 405
    with socket.create_connection(("127.0.0.1", smollm.port)) as s:
        s.sendall(b"HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_frees_the_engine(smollm):
    body = json.dumps({
        "model": "default", "stream": True, "ignore_eos": True,
        "messages": [{"role": "user", "content": "Count to a million."}]})
    with socket.create_connection(("127.0.0.1", smollm.port)) as s:
        s.sendall((
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}").encode())
        assert b"data:" in s.recv(4096) + s.recv(4096)
    started = time.monotonic()
    status, _ = post(smollm, "/v1/completions", json.dumps(
        {"model": "default", "prompt": "a", "max_tokens": 1}))
    assert status == 200
    assert time.monotonic() - started < 10


def test_api_key(binary):
    server = conftest.Server("smollm2-135m", "--api-key", "secret")
    try:
        body = json.dumps({"model": "default", "prompt": "a", "max_tokens": 1})
        assert post(server, "/v1/completions", body)[0] == 401
        wrong = {"authorization": "Bearer wrong"}
        assert post(server, "/v1/completions", body, wrong)[0] == 401
        right = {"authorization": "Bearer secret"}
        assert post(server, "/v1/completions", body, right)[0] == 200
    finally:
        assert server.stop() == 0
