"""The memory contract: a limit that holds under load, refusals with numbers,
and a plan that anyone may ask for."""

import concurrent.futures
import json
import os
import random
import re
import urllib.error
import urllib.request

import pytest

import conftest
from processes import peak_of
from test_cli import run

MODEL = "smollm2-135m"
LIMIT = 250 << 20


@pytest.fixture(scope="module")
def server(binary):
    server = conftest.Server(MODEL, "--threads", "2", "--memory-limit", "250MiB")
    yield server
    assert server.stop() == 0


def get(server, path):
    """Status and body, whatever the status."""
    try:
        return 200, server.get(path)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def complete(server, tokens, seed=1, **more):
    draw = random.Random(seed)
    body = {"model": "default", "temperature": 0, "max_tokens": 4,
            "prompt": [draw.randrange(100, 40000) for _ in range(tokens)],
            **more}
    request = urllib.request.Request(
        server.url + "/v1/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def plan(server, query=""):
    return server.get("/v1/memory/plan" + query)


def test_plan_adds_up(server):
    one = plan(server, "?ctx=512&batch=1")
    assert one["limit_bytes"] == LIMIT
    assert one["total_bytes"] == sum(one["items"].values())
    assert one["fits"] and one["total_bytes"] + one["reserve_bytes"] <= LIMIT
    assert 0 < one["now"]["resident_bytes"] <= one["now"]["peak_bytes"]
    four = plan(server, "?ctx=512&batch=4")
    assert four["items"]["states"] == 4 * one["items"]["states"]
    assert four["effective_context"] < one["effective_context"]
    # 30 layers, 3 heads of 64, keys and values in 16 bits: 23,040 a token.
    assert one["items"]["states"] == 512 * 30 * 3 * 64 * 4
    assert not plan(server, "?ctx=8192&batch=1")["fits"]


@pytest.mark.parametrize("query", ["?ctx=0", "?batch=x", "?ctx=1e3", "?what=1"])
def test_plan_refuses_what_is_no_number(server, query):
    status, body = get(server, "/v1/memory/plan" + query)
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"


def test_models_state_what_memory_holds(server):
    card = server.get("/v1/models")["data"][0]
    assert card["context_length"] == plan(server)["effective_context"]
    assert card["max_model_len"] == card["context_length"]
    assert card["context_length"] < card["model_context_length"] == 8192


def test_an_over_long_prompt_is_told_what_is_there(server):
    longest = plan(server)["effective_context"]
    status, body = complete(server, longest + 1)
    assert status == 400
    error = body["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["type"] == "invalid_request_error"
    numbers = re.search(r"([\d.]+) MiB are needed, ([\d.]+) MiB are available",
                        error["message"])
    assert numbers, error["message"]
    assert float(numbers[1]) > float(numbers[2])
    assert str(longest) in error["message"]


def test_too_many_choices_are_refused_and_others_go_on(server):
    longest = plan(server)["effective_context"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        other = pool.submit(complete, server, longest // 2, 7, max_tokens=24)
        status, body = complete(
            server, longest // 2, 8, n=8, max_tokens=longest // 2 - 8)
        assert other.result()[0] == 200
    assert status == 413
    assert body["error"]["code"] == "too_large"
    assert body["error"]["type"] == "invalid_request_error"
    assert len(re.findall(r"\d+ MiB", body["error"]["message"])) == 2
    # Nothing of it is left behind.
    assert complete(server, 50)[0] == 200


@pytest.mark.skipif(not os.path.exists("/proc/self/status"),
                    reason="reads /proc")
def test_the_limit_holds_under_load(server):
    """More prompts at once than memory holds: some wait, none fails."""
    longest = plan(server)["effective_context"]
    shapes = [(longest * 2 // 3, 10 + i) for i in range(4)]
    shapes += [(longest // 4, 20 + i) for i in range(6)]
    shapes += [(longest - 8, 30)]
    with concurrent.futures.ThreadPoolExecutor(len(shapes)) as pool:
        replies = list(pool.map(
            lambda shape: complete(server, *shape, max_tokens=8), shapes))
    assert [status for status, _ in replies] == [200] * len(shapes)
    # What the reserve is for: the first grammar, and logits of many rows.
    body = json.dumps({
        "model": "default", "max_tokens": 16, "temperature": 0,
        "messages": [{"role": "user", "content": "A JSON object."}],
        "response_format": {"type": "json_object"}}).encode()
    request = urllib.request.Request(
        server.url + "/v1/chat/completions", body,
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        assert reply.status == 200
    assert complete(server, 400, 40, echo=True, logprobs=5)[0] == 200
    peak = peak_of(server)
    assert peak <= LIMIT, f"{peak / 2**20:.1f} MiB"
    now = plan(server)["now"]
    assert now["peak_bytes"] <= LIMIT


def test_weights_that_do_not_fit_are_refused_before_they_are_read(binary):
    done = run("serve", MODEL, "--port", "0", "--memory-limit", "50MiB")
    assert done.returncode == 1
    assert re.search(r"weights need 9\d MiB", done.stderr)
    assert "memory limit is 50 MiB" in done.stderr
    assert "hint:" in done.stderr


def test_no_room_for_a_token_is_told(binary):
    done = run("serve", MODEL, "--port", "0", "--memory-limit", "140MiB")
    assert done.returncode == 1
    assert "memory limit is 140 MiB" in done.stderr


@pytest.mark.parametrize("amount", ["0", "-1", "lots", "80%"])
def test_a_limit_that_is_no_amount_is_wrong_use(binary, amount):
    assert run("serve", MODEL, "--memory-limit", amount).returncode == 2
