"""The engine's process dies, hangs or loses its front, and nobody notices."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import urllib.request

import pytest
from conftest import Server, free_port
from processes import children, is_gone, worker_of
from test_restart import PROMPT, complete, wait_until_written

MODEL = "smollm2-135m"
SCHEMA = {"type": "json_schema", "json_schema": {"name": "town", "schema": {
    "type": "object", "properties": {
        "name": {"type": "string", "maxLength": 40},
        "people": {"type": "array", "minItems": 6, "maxItems": 6, "items": {
            "type": "object", "properties": {
                "name": {"type": "string", "maxLength": 30},
                "age": {"type": "integer", "minimum": 1, "maximum": 99}},
            "required": ["name", "age"], "additionalProperties": False}}},
    "required": ["name", "people"], "additionalProperties": False}}}


def chat(**more):
    return {"model": "default", "stream": True, "max_tokens": 160,
            "messages": [{"role": "user",
                          "content": "Tell a long story of a lighthouse."}],
            **more}


def stream(server, body, on_chunk=lambda count: None):
    """Text and logprobs of each choice, reasons, usage."""
    request = urllib.request.Request(
        server.url + "/v1/chat/completions",
        json.dumps({**body, "stream_options": {"include_usage": True}}
                   ).encode(),
        {"content-type": "application/json"})
    texts, logprobs, reasons, usage, count = {}, {}, {}, None, 0
    with urllib.request.urlopen(request, timeout=120) as reply:
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            assert "error" not in chunk, chunk
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                index = choice["index"]
                text = choice["delta"].get("content") or ""
                texts[index] = texts.get(index, "") + text
                if choice.get("logprobs"):
                    logprobs.setdefault(index, []).extend(
                        (each["token"], each["logprob"])
                        for each in choice["logprobs"]["content"])
                if choice["finish_reason"]:
                    assert index not in reasons
                    reasons[index] = choice["finish_reason"]
                count += bool(text)
            on_chunk(count)
    return texts, logprobs, reasons, usage["completion_tokens"]


def restarts(server):
    return server.get("/health")["worker_restarts"]


class Killer:
    """Kills the worker at the given numbers of chunks."""

    def __init__(self, server, at):
        self.server = server
        self.at = list(at)

    def __call__(self, count):
        if self.at and count >= self.at[0]:
            self.at.pop(0)
            os.kill(worker_of(self.server), signal.SIGKILL)


@pytest.fixture(scope="module")
def server():
    server = Server(MODEL)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def in_process():
    server = Server(MODEL, "--in-process")
    assert children(server.process.pid) == []
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("body", [
    chat(temperature=0, logprobs=True, top_logprobs=3),
    chat(temperature=0.9, seed=7, logprobs=True, frequency_penalty=0.4),
    chat(temperature=1.0, seed=11, n=3),
    chat(temperature=0.7, seed=3, response_format=SCHEMA, max_tokens=400),
], ids=["greedy", "seeded", "three-choices", "json-schema"])
def test_streams_go_on_bit_for_bit(server, in_process, body):
    chunks = []
    want = stream(in_process, body, chunks.append)
    before = restarts(server)
    assert stream(server, body) == want, "undisturbed, but in a worker"
    assert restarts(server) == before
    kills = [(1,), (chunks[-1] // 8, chunks[-1] // 3, chunks[-1] * 2 // 3)]
    for at in kills:
        killer = Killer(server, at)
        got = stream(server, body, killer)
        assert killer.at == [], "all kills took place"
        assert got == want, at
    assert restarts(server) == before + 4
    with urllib.request.urlopen(server.url + "/metrics") as reply:
        assert f"worker_restarts_total {before + 4}\n" in reply.read().decode()
    if "response_format" in body:
        assert len(json.loads(want[0][0])["people"]) == 6


def test_streams_beside_each_other_go_on(server, in_process):
    bodies = [chat(temperature=0.8, seed=seed) for seed in range(6)]
    want = [stream(in_process, body) for body in bodies]
    got = [None] * len(bodies)

    def run(index):
        got[index] = stream(server, bodies[index])

    threads = [threading.Thread(target=run, args=(i,))
               for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    before = restarts(server)
    for _ in range(3):
        time.sleep(0.8)
        if all(each is not None for each in got):
            break
        os.kill(worker_of(server), signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert restarts(server) > before
    assert got == want


def test_an_idle_worker_is_replaced_too(server):
    before = restarts(server)
    old = worker_of(server)
    os.kill(old, signal.SIGKILL)
    end = time.monotonic() + 10
    while restarts(server) == before and time.monotonic() < end:
        time.sleep(0.05)
    assert stream(server, chat(temperature=0, max_tokens=5))[3] == 5
    assert worker_of(server) != old


def test_a_stuck_worker_is_replaced(in_process):
    body = chat(temperature=0)
    want = stream(in_process, body)
    server = Server(MODEL, "--worker-timeout", "2")
    stopped = []

    def stop(count):
        if count == 10 and not stopped:
            stopped.append(worker_of(server))
            os.kill(stopped[0], signal.SIGSTOP)

    assert stream(server, body, stop) == want
    assert restarts(server) == 1
    assert is_gone(stopped[0], 1)
    assert server.stop() == 0


@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_ends_with_its_front(busy):
    server = Server(MODEL)
    worker = worker_of(server)
    if busy:
        thread = threading.Thread(
            target=lambda: pytest.raises(
                Exception, stream, server,
                chat(temperature=0, max_tokens=2000)))
        thread.start()
        time.sleep(0.5)
    server.kill()
    assert is_gone(worker, 5)
    if busy:
        thread.join()


def test_what_is_on_disk_outlives_a_front_killed_at_work(tmp_path):
    flags = (MODEL, "--cache-dir", str(tmp_path))
    server = Server(*flags)
    text, _ = complete(server, PROMPT)
    wait_until_written(tmp_path)
    thread = threading.Thread(
        target=lambda: pytest.raises(
            Exception, stream, server, chat(temperature=0, max_tokens=2000)))
    thread.start()
    time.sleep(0.5)
    os.kill(server.process.pid, signal.SIGKILL)
    server = Server(*flags)  # the old worker may still be there
    assert complete(server, PROMPT) == (text, 1)
    assert server.stop() == 0
    thread.join()


def test_a_regular_stop_leaves_nobody():
    server = Server(MODEL)
    worker = worker_of(server)
    begin = time.monotonic()
    assert server.stop() == 0
    assert is_gone(worker, 0.5)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("delay", [0, 0.03, 0.1])
def test_ctrl_c_during_loading_leaves_nobody(binary, delay):
    process = subprocess.Popen(
        [binary, "serve", MODEL, "--port", str(free_port())],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not children(process.pid) and time.monotonic() < end:
        pass
    worker = children(process.pid)[0]
    time.sleep(delay)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 3
    assert is_gone(worker, 5)


def test_who_stops_all_processes_stops_the_front(server):
    worker = worker_of(server)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker, number)
    assert stream(server, chat(temperature=0, max_tokens=5))[3] == 5
    assert worker_of(server) == worker


def test_the_worker_inherits_no_sockets(server):
    os.kill(worker_of(server), signal.SIGKILL)
    time.sleep(0.5)  # started beside open connections
    assert stream(server, chat(temperature=0, max_tokens=5))[3] == 5
    folder = pathlib.Path(f"/proc/{worker_of(server)}/fd")
    sockets = [each for each in folder.iterdir()
               if os.readlink(each).startswith("socket:")]
    assert len(sockets) == 1


def test_worker_is_hidden(binary):
    done = subprocess.run([binary, "--help"], capture_output=True, text=True)
    assert "worker" not in done.stdout
