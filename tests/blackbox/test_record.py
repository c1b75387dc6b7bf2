"""Requests are recorded, run again bit by bit, and served without a model."""

import concurrent.futures
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

import conftest
from test_cli import run

MODEL = "smollm2-135m"
TOOLS = [{"type": "function", "function": {
    "name": "read_file", "description": "Reads a file.",
    "parameters": {"type": "object", "properties": {
        "path": {"type": "string"}}, "required": ["path"]}}}]


def ask(url, body, path="/v1/chat/completions"):
    request = urllib.request.Request(
        url + path, json.dumps({"model": "default", **body}).encode(),
        {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as reply:
            raw = reply.read().decode()
    except urllib.error.HTTPError as error:
        raw = error.read().decode()
    return raw if body.get("stream") else json.loads(raw)


def chat(text, **more):
    return {"messages": [{"role": "user", "content": text}],
            "max_tokens": 24, **more}


BODIES = [
    chat("Name three colours.", temperature=0),
    chat("Write a line.", temperature=1.0, n=3, stop=["\n"]),
    chat("Read a.txt", temperature=0, tools=TOOLS, tool_choice="required"),
    chat("Grüße an 東京 🙂!", temperature=1.3, logprobs=True, top_logprobs=2),
    chat("A town.", temperature=0, response_format={"type": "json_object"}),
]
STREAMED = chat("Count to ten.", temperature=0.8, stream=True)


def answer_of(reply):
    """What may not change: all but ids, times and speed."""
    return [(c["message"], c["finish_reason"], c.get("logprobs"))
            for c in reply["choices"]], {
                key: reply["usage"][key]
                for key in ("prompt_tokens", "completion_tokens")}


def text_of(stream):
    events = [json.loads(line[6:]) for line in stream.splitlines()
              if line.startswith("data: {")]
    return "".join(choice["delta"].get("content") or ""
                   for event in events for choice in event["choices"])


@pytest.fixture(scope="module")
def recorded(binary, tmp_path_factory):
    """A folder of recordings, and the answers in order."""
    folder = tmp_path_factory.mktemp("recordings")
    server = conftest.Server(MODEL, "--record", str(folder), "--threads", "2")
    replies = [ask(server.url, body) for body in BODIES]
    stream = ask(server.url, STREAMED)
    raw = ask(server.url, {"prompt": ["Once upon", "In the end"], "echo": True,
                           "max_tokens": 8, "logprobs": 1}, "/v1/completions")
    # A client that leaves.
    gone = socket.create_connection(("127.0.0.1", server.port))
    body = json.dumps({"model": "default", "stream": True, **chat(
        "Tell a long story.", max_tokens=3000)}).encode()
    gone.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    seen = b""
    while seen.count(b"data:") < 8:
        seen += gone.recv(4096)
    gone.close()
    assert server.stop() == 0
    return folder, replies, stream, raw


def test_one_file_a_request(recorded):
    folder, *_ = recorded
    files = sorted(folder.iterdir())
    assert len(files) == len(BODIES) + 3
    assert oct(folder.stat().st_mode)[-3:] == "700"
    first = json.loads(files[0].read_text())
    assert first["request"]["messages"][0]["content"] == "Name three colours."
    assert first["output"][0]


def test_replay_gives_the_same_tokens(recorded):
    """With other threads, without a cache, in one process."""
    folder, *_ = recorded
    done = run("replay", str(folder), "--threads", "1", "--json", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["different"] == 0
    assert len(report["recordings"]) == len(BODIES) + 3
    assert all(row["tokens"] > 0 for row in report["recordings"])


def test_replay_sees_a_difference(recorded, tmp_path):
    folder, *_ = recorded
    recording = json.loads(sorted(folder.iterdir())[0].read_text())
    tokens = recording["runs"][0]["choices"][0]["tokens"]
    tokens[5] += 1
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(recording))
    done = run("replay", str(path), timeout=120)
    assert done.returncode == 1
    assert "choice 0, token 5:" in done.stdout


class Replay(conftest.Server):
    def __init__(self, folder, *flags):
        self.port = conftest.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # No model can be found from there.
        self.process = subprocess.Popen(
            [conftest.BIN, "replay", str(folder), "--serve", "--port",
             str(self.port), *flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "RAPID_MLX_HOME": "/nonexistent"})
        self.wait_ready()


def test_served_without_a_model(recorded):
    folder, replies, stream, raw = recorded
    server = Replay(folder, "--strict")
    try:
        for body, reply in reversed(list(zip(BODIES, replies))):
            again = ask(server.url, body)
            assert answer_of(again) == answer_of(reply)
        assert text_of(ask(server.url, STREAMED)) == text_of(stream)
        again = ask(server.url, {"prompt": ["Once upon", "In the end"],
                                 "echo": True, "max_tokens": 8, "logprobs": 1},
                    "/v1/completions")
        assert again["choices"] == raw["choices"]
        # Any number of times, at once.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            many = list(pool.map(lambda i: ask(
                server.url, BODIES[i % len(BODIES)]), range(40)))
        for i, reply in enumerate(many):
            assert answer_of(reply) == answer_of(replies[i % len(BODIES)])
        # The same answer as one event stream.
        whole = ask(server.url, {**BODIES[0], "stream": True})
        assert text_of(whole) == replies[0]["choices"][0]["message"]["content"]
        refused = ask(server.url, chat("Never asked."))
        assert refused["error"]["code"] == "not_found"
        assert server.get("/v1/models")["data"]
    finally:
        assert server.stop() == 0


def test_in_order_when_asked_otherwise(recorded):
    folder, replies, *_ = recorded
    server = Replay(folder)
    try:
        for body, reply in zip(BODIES[:2], replies):
            again = ask(server.url, chat(
                f"At {time.time()}: what now?", stop=body.get("stop")))
            assert answer_of(again)[0] == answer_of(reply)[0][:1]
    finally:
        assert server.stop() == 0


def test_what_is_no_recording_is_told(tmp_path):
    done = run("replay", str(tmp_path))
    assert done.returncode == 1
    assert "no recordings" in done.stderr and "--record" in done.stderr
    (tmp_path / "a.json").write_text("{}")
    done = run("replay", str(tmp_path / "a.json"))
    assert done.returncode == 1
    assert re.search(r"a\.json: this is no recording", done.stderr)
