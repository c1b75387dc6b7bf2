"""Several models behind one server: which are in memory, and what that costs
nobody."""

import json
import os
import pathlib
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import Server, free_port
from processes import children
from test_cli import run
from test_product import Hub

SMALL, LARGE = "smollm2-135m", "gemma3-270m"
# Either has room in it, not both.
LIMIT = 640 << 20
PROMPTS = ["The capital of France is", "Once upon a time", "1, 2, 3,"]


def post(server, path, body):
    """Status and body, whatever the status."""
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(),
        {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def complete(server, model, prompt, tokens=12):
    status, body = post(server, "/v1/completions", {
        "model": model, "prompt": prompt, "max_tokens": tokens,
        "temperature": 0, "logprobs": 1})
    assert status == 200, body
    return body["choices"][0]["text"], body["choices"][0]["logprobs"]


def stream_text(server, model, prompt, tokens, on_chunk=lambda count: None):
    request = urllib.request.Request(
        server.url + "/v1/completions",
        json.dumps({"model": model, "prompt": prompt, "max_tokens": tokens,
                    "temperature": 0, "stream": True}).encode(),
        {"content-type": "application/json"})
    text, count = "", 0
    with urllib.request.urlopen(request, timeout=120) as reply:
        for line in reply:
            if line.startswith(b"data: {"):
                chunk = json.loads(line[6:])
                assert "error" not in chunk, chunk
                text += chunk["choices"][0]["text"]
                count += 1
                on_chunk(count)
    return text


def models(server):
    return {each["id"]: each for each in server.get("/v1/models")["data"]}


def states(server):
    return {name: each["state"] for name, each in models(server).items()}


def wait_for(condition, limit=60):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def worker_with(server, part):
    """The worker that has the file of this model in its memory."""
    for pid in children(server.process.pid):
        try:
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text().lower()
        except OSError:
            continue
        if part in maps:
            return pid
    raise AssertionError(f"no worker has {part}")


@pytest.fixture(scope="module")
def alone(binary):
    """Answers of servers that have one model each."""
    out = {}
    for model in [SMALL, LARGE]:
        server = Server(model)
        for prompt in PROMPTS:
            out[model, prompt] = complete(server, model, prompt)
        out[model, "long"] = stream_text(server, model, PROMPTS[1], 120)
        assert server.stop() == 0
    return out


def test_requests_alternate_under_a_limit_for_one(alone):
    server = Server(SMALL, LARGE, "--memory-limit", f"{LIMIT >> 20}MiB")
    assert states(server) == {SMALL: "loaded", LARGE: "evicted"}
    for prompt in PROMPTS:
        for model in [LARGE, SMALL]:
            assert complete(server, model, prompt) == alone[model, prompt]
            assert sorted(states(server).values()) == ["evicted", "loaded"]
    # At once, too: nobody is refused, each gets its own model's answer.
    got = {}

    def ask(model, prompt):
        got[model, prompt] = complete(server, model, prompt)

    threads = [threading.Thread(target=ask, args=(model, prompt))
               for prompt in PROMPTS for model in [SMALL, LARGE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key, answer in got.items():
        assert answer == alone[key]
    assert len(got) == len(threads)
    cards = models(server)
    assert cards[SMALL]["loads"] + cards[LARGE]["loads"] > 6
    assert sum(each["memory_bytes"] for each in cards.values()) <= LIMIT
    for each in cards.values():
        assert each["resident_bytes"] <= LIMIT
        assert 0 < each["context_length"] <= each["model_context_length"]
    # A request may name the default, and nobody else.
    assert complete(server, "default", PROMPTS[0]) == alone[SMALL, PROMPTS[0]]
    status, body = post(server, "/v1/completions",
                        {"model": "other", "prompt": "x"})
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    plan = server.get(f"/v1/memory/plan?model={SMALL}&ctx=512")
    assert plan["model"] == SMALL and plan["fits"]
    assert plan["limit_bytes"] <= LIMIT
    # Two models that must both stay do not fit.
    assert post(server, "/v1/models/load",
                {"model": SMALL, "pin": True})[0] == 200
    status, body = post(server, "/v1/models/load", {"model": LARGE})
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert "MiB are available" in body["error"]["message"]
    assert states(server) == {SMALL: "loaded", LARGE: "failed"}
    assert complete(server, SMALL, PROMPTS[1]) == alone[SMALL, PROMPTS[1]]
    assert server.stop() == 0


def test_one_workers_death_is_nothing_to_the_others_stream(alone):
    server = Server(SMALL, LARGE, "--threads", "1")
    wait_for(lambda: states(server) == {SMALL: "loaded", LARGE: "loaded"})
    killed = []

    def kill(count):
        if count == 10:
            killed.append(worker_with(server, "gemma"))
            os.kill(killed[0], signal.SIGKILL)

    text = stream_text(server, SMALL, PROMPTS[1], 120, kill)
    assert text == alone[SMALL, "long"]
    assert killed
    # The one that died is back by itself, and goes on as if nothing was.
    assert complete(server, LARGE, PROMPTS[0]) == alone[LARGE, PROMPTS[0]]
    with urllib.request.urlopen(server.url + "/metrics") as reply:
        metrics = reply.read().decode()
    for model, deaths in [(SMALL, 0), (LARGE, 1)]:
        line = f'model_worker_restarts_total{{model="{model}"}} {deaths}\n'
        assert line in metrics

    # And in the midst of its own stream.
    def kill_own(count):
        if count == 10:
            os.kill(worker_with(server, "gemma"), signal.SIGKILL)

    assert stream_text(
        server, LARGE, PROMPTS[1], 120, kill_own) == alone[LARGE, "long"]
    assert server.stop() == 0


def test_load_unload_idle_and_ps(alone, tmp_path):
    server = Server(SMALL, "--idle-ttl", "1.5", "--cache-dir", str(tmp_path))

    def ps():
        done = run("ps", "--url", server.url, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert [each["id"] for each in ps()] == [SMALL]
    # What was not named comes by this route alone.
    assert post(server, "/v1/completions",
                {"model": LARGE, "prompt": "x"})[0] == 404
    status, body = post(server, "/v1/models/load",
                        {"model": LARGE, "pin": True})
    assert status == 200 and body["state"] == "loaded"
    assert body["context_length"] > 0
    assert complete(server, LARGE, PROMPTS[0]) == alone[LARGE, PROMPTS[0]]
    assert post(server, "/v1/models/load", {"model": "no-such"})[0] == 404

    # Idle, one goes and the pinned one stays.
    wait_for(lambda: states(server)[SMALL] == "evicted")
    by_name = {each["id"]: each for each in ps()}
    assert by_name[LARGE]["state"] == "loaded" and by_name[LARGE]["pinned"]
    assert by_name[LARGE]["resident_bytes"] > 100 << 20
    assert by_name[SMALL]["resident_bytes"] == 0
    table = run("ps", "--url", server.url + "/v1/").stdout.splitlines()
    assert table[0].split() == ["MODEL", "STATE", "MEMORY", "CONTEXT",
                                "REQUESTS", "IDLE", "PINNED"]
    assert table[1].split()[:2] == [SMALL, "evicted"]
    assert table[2].split()[:2] == [LARGE, "loaded"]
    assert len(children(server.process.pid)) == 1
    assert server.get("/health")["status"] == "ok"
    # The next request has it back, and counters go on.
    assert complete(server, SMALL, PROMPTS[0]) == alone[SMALL, PROMPTS[0]]
    assert server.get("/health")["generated_tokens"] >= 24

    assert post(server, "/v1/models/unload", {"model": LARGE})[0] == 200
    assert states(server)[LARGE] == "evicted"
    assert server.stop() == 0


def test_an_unloaded_model_is_warm_when_it_is_back(tmp_path):
    server = Server(SMALL, "--cache-dir", str(tmp_path))
    prompt = "Here is a list of colours: " + "red, green, blue, " * 100
    body = {"prompt": prompt, "max_tokens": 8, "temperature": 0}
    first = post(server, "/v1/completions", body)[1]
    wait_for(lambda: server.get("/v1/cache/stats")["disk_bytes"] > 1 << 20)
    time.sleep(2)  # durable within 2 s
    assert post(server, "/v1/models/unload", {"model": SMALL})[0] == 200
    again = post(server, "/v1/completions", body)[1]
    assert again["choices"][0]["text"] == first["choices"][0]["text"]
    usage = again["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached >= usage["prompt_tokens"] - 1
    # Cleared while it is not loaded, nothing of it is left.
    assert post(server, "/v1/models/unload", {"model": SMALL})[0] == 200
    urllib.request.urlopen(urllib.request.Request(
        server.url + "/v1/cache?model=" + SMALL, method="DELETE")).read()
    wait_for(lambda: not list(tmp_path.rglob("*.safetensors")))
    usage = post(server, "/v1/completions", body)[1]["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert server.stop() == 0


def test_a_model_that_cannot_be_loaded_leaves_the_others_alone(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(200))
    server = Server(SMALL, str(broken))
    wait_for(lambda: states(server)[str(broken)] == "failed")
    assert models(server)[str(broken)]["reason"]
    status, body = post(server, "/v1/completions",
                        {"model": str(broken), "prompt": "x"})
    assert 400 <= status < 500, body
    assert post(server, "/v1/completions",
                {"model": SMALL, "prompt": "x", "max_tokens": 2})[0] == 200
    assert server.get("/health")["status"] == "ok"
    assert "broken.gguf:" in run("ps", "--url", server.url).stdout
    assert server.stop() == 0


@pytest.fixture
def unknown_hub(monkeypatch):
    """A hub whose models are of an architecture that nobody knows."""
    hub = Hub({"config.json": b'{"model_type": "toy"}', "tokenizer.json": b"{}",
               "model.safetensors": b"x" * 5000})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    yield hub
    hub.shutdown()


def test_what_does_not_run_is_told_at_once(unknown_hub, tmp_path):
    """No weights are fetched, nothing is unloaded, nobody waits."""
    for name, data in unknown_hub.files.items():
        (tmp_path / name).write_bytes(data)
    server = Server(SMALL)
    for body in [{"model": str(tmp_path)},
                 {"model": str(tmp_path), "wait": False}]:
        status, reply = post(server, "/v1/models/load", body)
        assert (status, reply["error"]["param"]) == (400, "model"), reply
        assert "architecture toy" in reply["error"]["message"]
    assert states(server) == {SMALL: "loaded"}
    status, reply = post(server, "/api/pull",
                         {"model": "org/toy", "stream": False})
    assert status == 400 and "architecture toy" in reply["error"], reply
    assert [path for path, *_ in unknown_hub.asked if "safetensors" in path
            or "tokenizer" in path] == []
    strange = [e for e in json.loads(run("models", "--json").stdout)
               if not e["runs"]]
    for entry in strange[:1]:
        for path in ["/api/pull", "/v1/models/load"]:
            status, reply = post(server, path, {"model": entry["alias"]})
            assert status == 400, reply
            assert entry["architecture"] in json.dumps(reply["error"])
    assert server.stop() == 0


def test_in_one_process_the_model_stays():
    server = Server(SMALL, "--in-process")
    for path, body in [
            ("load", {"model": LARGE}), ("load", {"model": SMALL, "ttl": 5}),
            ("unload", {"model": SMALL})]:
        status, reply = post(server, f"/v1/models/{path}", body)
        assert status == 400, reply
        assert "--in-process" in reply["error"]["message"]
    assert post(server, "/v1/models/load", {"model": SMALL})[0] == 200
    assert states(server) == {SMALL: "loaded"}
    assert server.stop() == 0


def test_ps_without_a_server_says_what_to_do(binary):
    done = run("ps", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "error: no server answers at" in done.stderr
    assert "rapid-mlx serve" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("arguments, words", [
    ([SMALL, SMALL], "named twice"),
    ([SMALL, "--pin", LARGE], "no such MODEL"),
    ([SMALL, LARGE, "--in-process"], "one MODEL"),
    ([SMALL, "--idle-ttl", "5", "--in-process"], "--idle-ttl"),
    ([SMALL, LARGE, "--format", "plain"], "one MODEL"),
])
def test_wrong_use_is_told(binary, arguments, words):
    done = run("serve", *arguments, "--port", free_port())
    assert done.returncode == 2
    assert words in done.stderr and "hint:" in done.stderr
