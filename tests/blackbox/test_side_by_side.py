"""`bench --vs-llama-bench` with a stand-in that prints a recorded answer."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest

import conftest
from test_cli import MODEL, assert_error, model_path, run  # noqa: F401

RECORDED = pathlib.Path(__file__).parents[1] / "data/bench/llama_bench.json"
SIZES = ["-p", 32, "-n", 8, "-t", 2, "-r", 2]


def script(folder, body, name="fake-bench"):
    path = folder / name
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def fake(tmp_path):
    return script(tmp_path, f'echo "$@" >> "{tmp_path}/calls"\n'
                            f'cat "{RECORDED}"\n')


def test_json_keeps_every_run(model_path, fake, tmp_path):  # noqa: F811
    done = run("bench", MODEL, *SIZES, "--vs-llama-bench", fake, "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    theirs = {(test["n_prompt"], test["flash_attn"]): test["avg_ts"]
              for test in json.loads(RECORDED.read_text())}
    assert value["file"] == str(model_path)
    assert (value["prompt"], value["generated"], value["threads"],
            value["rounds"]) == (32, 8, 2, 2)
    for name, tokens in [("prefill", 32), ("decode", 0)]:
        found = value[name]
        best = max(theirs[tokens, 0], theirs[tokens, 1])
        assert found["theirs_tps"] == pytest.approx(best, abs=1e-3)
        assert found["ours_tps"] > 0
        assert found["ratio"] == pytest.approx(
            found["ours_tps"] / best, abs=1e-3)
    assert len(value["ours"]["runs"]) == 2
    assert len(value["llama_bench"]["runs"]) == 4
    assert value["llama_bench"]["build_commit"] == "0c1e570"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    for call in calls:
        assert call == (f"-m {model_path} -p 32 -n 8 -t 2 -r 1 -o json "
                        "-ngl 0 -fa 0,1")
    assert [line for line in done.stderr.splitlines() if "round" in line] == [
        "round 1 of 2: ours", "round 1 of 2: llama-bench",
        "round 2 of 2: llama-bench", "round 2 of 2: ours"]


def test_table(model_path, fake):  # noqa: F811
    done = run("bench", MODEL, *SIZES, "--vs-llama-bench", fake)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("prefill ") and line.endswith("x")
               for line in lines)
    assert any(line.startswith("decode ") for line in lines)
    assert "0c1e570" in lines[0] and "2 threads" in lines[0]


def test_refusals(model_path, fake, tmp_path):  # noqa: F811
    plain = tmp_path / "plain.txt"
    plain.write_text("no program")
    for path, words in [
            (tmp_path / "missing", ["no program at"]),
            (plain, ["not an executable program"]),
            (tmp_path, ["not an executable program"]),
            (script(tmp_path, "echo a reason >&2; exit 3\n", "failing"),
             ["exit status 3", "a reason"]),
            (script(tmp_path, "echo hello\n", "greeting"), ["no JSON"])]:
        done = run("bench", MODEL, *SIZES, "--vs-llama-bench", path)
        assert_error(done, 1, *words)
    folder = tmp_path / "safetensors"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    done = run("bench", folder, "--vs-llama-bench", fake)
    assert_error(done, 1)
    for flags in [["-b", 2], ["--device", "cuda"]]:
        done = run("bench", MODEL, *flags, "--vs-llama-bench", fake)
        assert_error(done, 2, "--vs-llama-bench", "hint: ")


def test_only_gguf(binary, fake):
    fixture = (pathlib.Path(__file__).parents[1] /
               "parity/fixtures/llama_f32")
    done = run("bench", fixture, "--vs-llama-bench", fake)
    assert_error(done, 1, "not a GGUF file", "hint: ")


def test_interrupt_ends_the_child(model_path, tmp_path):  # noqa: F811
    slow = script(tmp_path, f'echo $$ > "{tmp_path}/pid"\nsleep 600\n')
    process = subprocess.Popen(
        [conftest.BIN, "bench", MODEL, "-p", "8", "-n", "4",
         "--vs-llama-bench", str(slow)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid_file = tmp_path / "pid"
    end = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1 and out == ""
    assert "the benchmark was stopped" in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
