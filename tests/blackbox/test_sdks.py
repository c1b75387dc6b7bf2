"""SDKs and frameworks that have an environment of their own: those of
JavaScript, and LangChain, PydanticAI, smolagents, LiteLLM (tests/sdks)."""

import json
import os
import pathlib
import subprocess

import pytest

import conftest

ROOT = pathlib.Path(__file__).parents[2]
DEPS = pathlib.Path(os.environ.get("RAPID_MLX_DEPS", ROOT / ".deps"))
HERE = ROOT / "tests/sdks"
# What a model would say to the checks' question with a tool.
SCRIPT = {"turns": [
    {"calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"content": "It is 18 degrees and clear."}]}


@pytest.fixture(scope="module")
def caller(binary, tmp_path_factory):
    server = conftest.Scripted(tmp_path_factory.mktemp("script"), SCRIPT)
    yield server
    assert server.stop() == 0


def all_pass(command, least, **more):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300,
        env={**os.environ, **more})
    rows = [json.loads(line) for line in done.stdout.splitlines()
            if line.startswith('{"name"')]
    wrong = "\n".join(f"{r['name']}: {r['error']}" for r in rows if r["error"])
    assert not wrong, wrong
    assert done.returncode == 0, done.stderr
    assert len(rows) >= least


def test_javascript(smollm, caller):
    assert (DEPS / "js/node_modules").exists(), "run tools/setup --tests"
    all_pass(["node", str(HERE / "checks.mjs"), smollm.url, caller.url], 12,
             SDKS=str(DEPS / "js"))


@pytest.mark.parametrize(
    "framework", ["langchain", "pydantic", "smolagents", "litellm"])
def test_python(smollm, caller, framework):
    python = DEPS / "sdks/bin/python"
    assert python.exists(), "run tools/setup --tests"
    all_pass([str(python), str(HERE / "checks.py"), smollm.url, caller.url,
              framework], 4)
