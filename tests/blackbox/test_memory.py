"""What a process may take: memory beside the weights, and CPU when idle."""

import json
import os
import pathlib
import time
import urllib.request

import pytest

import conftest
from processes import peak_of, worker_of
from test_cli import run

MB = 1_000_000
# Float16 keys and values of one token: layers * heads * size * 2 * 2 bytes.
KV_PER_TOKEN = {
    "smollm2-135m": 30 * 3 * 64 * 4,
    "gemma3-270m": 18 * 1 * 256 * 4,
    "qwen2.5-coder-0.5b": 24 * 2 * 64 * 4,
}


def limit(path, kv_bytes):
    return path.stat().st_size * 1.25 + 60 * MB + kv_bytes


def cpu_ticks(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def model_file(model):
    done = run("pull", model, timeout=900)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip().split(" is at ")[1])


@pytest.mark.parametrize("model", KV_PER_TOKEN)
def test_bench_stays_within_the_plan(binary, model):
    most = limit(model_file(model), 544 * KV_PER_TOKEN[model])
    # What the process that starts it holds is not its own.
    ballast = b"x" * int(most)
    done = run("bench", model, "-p", 512, "-n", 32, "-t", 2, "-r", 1, "--json")
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout)["peak_rss_bytes"]
    del ballast
    assert peak <= most, f"{peak / MB:.1f} MB, at most {most / MB:.1f}"


@pytest.fixture(scope="module")
def server():
    server = conftest.Server("gemma3-270m", "--threads", "2")
    yield server
    server.stop()


def chat(server, words):
    body = {"model": "default", "max_tokens": 16, "temperature": 0,
            "messages": [{"role": "user", "content": "word " * words}]}
    request = urllib.request.Request(
        server.url + "/v1/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())["usage"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"),
                    reason="reads /proc")
def test_serve_stays_within_the_plan_and_sleeps(binary, server):
    """The largest vocabulary of the catalogue; tokenizer, template and HTTP
    server, and the engine in its process."""
    usage = chat(server, 500)
    pids = [server.process.pid, worker_of(server)]
    peak = peak_of(server)
    kv = usage["total_tokens"] * KV_PER_TOKEN["gemma3-270m"]
    most = limit(model_file("gemma3-270m"), kv)
    assert peak <= most, f"{peak / MB:.1f} MB, at most {most / MB:.1f}"
    time.sleep(3)  # until freed memory went back
    before = sum(map(cpu_ticks, pids))
    time.sleep(3)
    assert sum(map(cpu_ticks, pids)) - before <= 1
