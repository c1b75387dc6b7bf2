"""Adapters and coded keys and values, as a client of `serve` sees them."""

import array
import json
import random
import struct
import urllib.error
import urllib.request

import pytest

import conftest
from test_cli import run

MODEL = "smollm2-135m"
LAYERS, WIDTH, RANK = 30, 576, 4


def write_adapter(folder, seed):
    """As PEFT writes it, for q_proj and o_proj of every layer."""
    draw = random.Random(seed)
    header, data = {}, b""
    for layer in range(LAYERS):
        for module in ("q_proj", "o_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, shape in (("A", [RANK, WIDTH]), ("B", [WIDTH, RANK])):
                values = array.array(
                    "f", (draw.uniform(-0.1, 0.1) for _ in range(RANK * WIDTH)))
                begin = len(data)
                data += values.tobytes()
                header[f"{name}.lora_{part}.weight"] = {
                    "dtype": "F32", "shape": shape,
                    "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + data)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "bias": "none"}))
    return folder


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    names = {name: write_adapter(folder / name, seed)
             for seed, name in enumerate(("sql", "law"))}
    server = conftest.Server(
        MODEL, "--threads", "2", "--kv-bits", "4",
        *(f"--adapter={name}={path}" for name, path in names.items()))
    yield server
    assert server.stop() == 0


def complete(server, **more):
    body = {"model": "default", "prompt": "The cat sat on the", "temperature": 0,
            "max_tokens": 12, "logprobs": 1, **more}
    request = urllib.request.Request(
        server.url + "/v1/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def said(server, **more):
    status, reply = complete(server, **more)
    assert status == 200, reply
    return reply["choices"][0]["logprobs"]["token_logprobs"]


def test_requests_choose(server):
    plain = said(server)
    sql = said(server, adapter="sql")
    assert len({tuple(x) for x in (plain, sql, said(server, adapter="law"))}) == 3
    assert said(server, model=f"{MODEL}:sql") == sql
    assert said(server) == plain


def test_models_list_them(server):
    ids = {model["id"] for model in server.get("/v1/models")["data"]}
    assert {MODEL, f"{MODEL}:sql", f"{MODEL}:law"} <= ids
    one = server.get(f"/v1/models/{MODEL}:sql")
    assert one["id"] == f"{MODEL}:sql"


def test_unknown_ones_are_named(server):
    status, reply = complete(server, adapter="tax")
    assert (status, reply["error"]["param"]) == (404, "adapter")
    status, reply = complete(server, model=f"{MODEL}:tax")
    assert (status, reply["error"]["param"]) == (404, "model")
    status, reply = complete(server, model=f"{MODEL}:sql", adapter="law")
    assert (status, reply["error"]["param"]) == (400, "adapter")


def test_the_plan_knows_the_bits(server):
    plan = server.get("/v1/memory/plan?ctx=1024")
    assert plan["kv_bits"] == 4
    # 3 heads of 64 keys and values, two groups each: 16 bytes of codes, 4 of
    # scale and bias.
    assert plan["bytes_per_page"] == LAYERS * 64 * 3 * 2 * 2 * (16 + 4)


@pytest.mark.parametrize("flags", [
    ("--kv-bits", "3"), ("--kv-bits", "8", "--exact"),
    ("--adapter", "no-folder"), ("--adapter", "a=x", "--adapter", "a=y")])
def test_wrong_flags(binary, flags):
    done = run("serve", MODEL, *flags)
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr and flags[0] in done.stderr
