"""What a hostile client can do to a server: bytes that two programs would read
in two ways, paths that climb, bodies too large or too deep, requests that come
a byte at a time, and a thousand connections that say nothing."""

import json
import os
import resource
import time
import urllib.request

import pytest

import conftest
import hostile
import processes
from hostile import BODY, CHUNKS, POST, SMUGGLED, Raw, statuses

LIMIT = 3  # seconds for a request to come


@pytest.fixture(scope="module")
def server(binary):
    server = conftest.Server("smollm2-135m", "--threads", "1", "--max-body",
                             "1", "--body-timeout", str(LIMIT))
    yield server
    assert server.stop() == 0


def talk(server, data):
    """All statuses that the bytes get, with a harmless request behind them.
    What the server would take for a second request is seen as one."""
    raw = Raw(server)
    reply = raw.send(data + b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
                            b"connection: close\r\n\r\n").until_closed()
    return statuses(reply)


def test_plain_requests_pass(server):
    assert talk(server, POST + b"content-length: 14\r\n\r\n" + BODY) == [
        200, 200]
    assert talk(server, POST + b"transfer-encoding: chunked\r\n\r\n" +
                CHUNKS) == [200, 200]
    assert talk(server, POST + b"transfer-encoding: chunked\r\n\r\n"
                b"e;a=b;c=\"d\"\r\n" + BODY + b"\r\n0\r\ntrailer: x\r\n\r\n"
                ) == [200, 200]


@pytest.mark.parametrize("head", hostile.FRAMING)
def test_framing_that_can_be_read_twice(server, head):
    """A 400 and the end: what came behind is nobody's request."""
    for body in (BODY, CHUNKS):
        assert talk(server, POST + head + b"\r\n" + body + SMUGGLED) == [
            400], (head, body)


@pytest.mark.parametrize("chunks", hostile.WRONG_CHUNKS)
def test_wrong_chunks(server, chunks):
    got = talk(server, POST + b"transfer-encoding: chunked\r\n\r\n" + chunks +
               SMUGGLED)
    assert got == [400], chunks


def test_folded_headers_are_one_header(server):
    """Old line folding: one value, wherever it is allowed at all."""
    got = talk(server, POST + b"x: a\r\n b\r\ncontent-length: 14\r\n\r\n" +
               BODY)
    assert got in ([200, 200], [400])
    got = talk(server, POST + b"x: a\r\n transfer-encoding: chunked\r\n"
               b"content-length: 14\r\n\r\n" + BODY)
    assert got in ([200, 200], [400])
    got = talk(server, POST + b"transfer-encoding:\r\n chunked\r\n\r\n" +
               CHUNKS)
    assert got in ([200, 200], [400])


def test_endless_chunk_extensions_and_trailers(server):
    before = processes.memory(server.process.pid, "VmRSS")
    for start in (b"1;" + b"a" * 300_000,
                  b"1;x=1\r\na\r\n" * 60_000,
                  b"0\r\n" + b"x: y\r\n" * 60_000):
        raw = Raw(server)
        raw.send(POST + b"transfer-encoding: chunked\r\n\r\n" + start)
        assert set(statuses(raw.until_closed())) <= {400, 408, 413, 431}
    assert server.get("/health")["status"] == "ok"
    grown = processes.memory(server.process.pid, "VmRSS") - before
    assert grown < 32 << 20


def test_endless_headers(server):
    for data in (b"GET /" + b"a" * 300_000, b"A" * 300_000,
                 b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 60_000):
        assert statuses(Raw(server).send(data).until_closed()) in (
            [400], [431], []), data[:20]
    assert server.get("/health")["status"] == "ok"


@pytest.mark.parametrize("path", hostile.PATHS)
def test_paths_that_climb(server, path):
    raw = Raw(server)
    raw.send(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close"
             "\r\n\r\n".encode())
    reply = raw.until_closed()
    assert statuses(reply)[0] in (400, 404), reply
    assert b"root:" not in reply


def post(server, path, text):
    request = urllib.request.Request(
        server.url + path, text.encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_names_that_climb(server):
    for name in ("../../../../etc", "/etc/passwd", "..", "a/../../../etc",
                 "x\u0000y", "/proc/self/mem", "a" * 10_000):
        for path in ("/v1/models/unload", "/v1/completions", "/api/show",
                     "/api/chat", "/v1/models/load"):
            status, body = post(server, path, json.dumps(
                {"model": name, "prompt": "a", "max_tokens": 1}))
            assert 400 <= status < 500, (path, name, body)
            assert "root:" not in json.dumps(body)


def test_bodies_too_large(server):
    # Said beforehand: refused before it is sent.
    raw = Raw(server)
    raw.send(POST + b"content-length: 2000000\r\n\r\n")
    assert statuses(raw.until_closed()) == [413]
    raw = Raw(server)
    raw.send(POST + b"transfer-encoding: chunked\r\n\r\n" + b"".join(
        b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(40)))
    assert statuses(raw.until_closed()) == [413]
    status, _ = post(server, "/tokenize", json.dumps({"prompt": "a" * 900_000}))
    assert status in (200, 400, 413)


@pytest.mark.parametrize("text", hostile.DEEP_BODIES)
def test_bodies_too_deep(server, text):
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages",
                 "/api/chat", "/tokenize"):
        status, body = post(server, path, text)
        assert status == 400, (path, body)


def test_deep_parts_of_a_body(server):
    """JSON in texts, and schemas that are deep or never end."""
    message = {"role": "user", "content": "a"}
    call = {"role": "assistant", "content": None, "tool_calls": [{
        "id": "c", "type": "function", "function": {
            "name": "f", "arguments": "[" * hostile.DEEP}}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "[" * hostile.DEEP}
    bodies = [{"messages": [message, call, result, message]}]
    bodies += [{"messages": [message], "response_format": {
        "type": "json_schema", "json_schema": {"name": "a", "schema": s}}}
        for s in hostile.SCHEMAS]
    bodies += [{"messages": [message], "tool_choice": "required", "tools": [{
        "type": "function", "function": {"name": "f", "parameters": s}}]}
        for s in hostile.SCHEMAS]
    for body in bodies:
        status, reply = post(server, "/v1/chat/completions", json.dumps(
            {"max_tokens": 2, **body}))
        assert status in (200, 400), reply
    assert server.get("/health")["status"] == "ok"


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def wait_until(condition, limit=60):
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_slow_requests_are_cut_and_disturb_nobody(server):
    before = descriptors(server)
    slow = [Raw(server) for _ in range(100)]
    text = POST + b"content-length: 14\r\nx-long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    begun = time.monotonic()
    at = 0
    while time.monotonic() < begun + LIMIT + 1:
        for raw in slow:
            raw.send(text[at % len(text):at % len(text) + 1])
        at += 1
        assert server.get("/health")["status"] == "ok"
        time.sleep(0.1)
    for raw in slow:
        assert statuses(raw.until_closed()) in ([408], [400], [])
    wait_until(lambda: descriptors(server) <= before)


def test_a_thousand_idle_connections(server):
    """They cost little, keep nobody out, and leave nothing behind."""
    pid = server.process.pid
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    before = descriptors(server)
    grown = []
    at_first = processes.memory(pid, "VmRSS")
    for _ in range(2):
        idle = [Raw(server) for _ in range(1000)]
        wait_until(lambda: descriptors(server) >= before + 1000)
        grown.append(processes.memory(pid, "VmRSS") - at_first)
        status, reply = post(server, "/v1/completions", json.dumps(
            {"prompt": "a", "max_tokens": 2}))
        assert status == 200, reply
        for raw in idle:
            raw.socket.close()
        wait_until(lambda: descriptors(server) <= before + 2)
    assert grown[0] < 64 << 20
    assert grown[1] < grown[0] + (8 << 20)  # the second thousand uses the same
