"""`rapid-mlx info`: what the files say, without the weights."""

import json
import pathlib
import shutil
import subprocess

import pytest

import conftest
from test_cli import assert_error, model_path, run

__all__ = ["model_path"]  # a fixture

FIXTURES = pathlib.Path(__file__).parent.parent / "parity" / "fixtures"


def info(model):
    done = run("info", model, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_model_of_the_catalogue(model_path):
    facts = info("smollm2-135m")
    assert facts["name"] == facts["alias"] == "smollm2-135m"
    assert facts["path"] == str(model_path)
    assert (facts["architecture"], facts["container"]) == ("llama", "GGUF")
    assert facts["parameters"] == 134515008
    assert facts["file_bytes"] == model_path.stat().st_size
    assert facts["quantisation"].startswith("Q4_1 ")
    assert (facts["context_window"], facts["vocab_size"]) == (8192, 49152)
    assert (facts["layers"], facts["hidden_size"]) == (30, 576)
    assert facts["chat_template"] == "own"
    assert facts["tool_call_parser"] is None is facts["tool_calls"]
    assert facts["reasoning_parser"] is None is facts["reasoning"]
    assert {"id": 2, "text": "<|im_end|>"} in facts["end_tokens"]


def test_a_model_that_calls_tools(binary):
    facts = info("qwen2.5-coder-0.5b")
    calls = facts["tool_calls"]
    assert facts["tool_call_parser"] == calls["format"] == "hermes"
    assert "nous" in calls["aliases"] and "qwen" in calls["fit_as_well"]
    assert "<tool_call>" in calls["tokens"]
    assert calls["why"].startswith("the chat template renders a call this way")
    assert facts["vocab_size"] >= facts["tokens"] > 151000
    # The catalogue's, as its file names none; no penalty: greedy stays greedy.
    assert facts["sampling"] == {"temperature": 0.7, "top_p": 0.8, "top_k": 20}


TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    "added_tokens": [{"id": 2, "content": "<end>", "special": True,
                      "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                      "trim_offsets": True},
    "decoder": {"type": "ByteLevel", "add_prefix_space": True,
                "trim_offsets": True}}
TEMPLATE = ("{% for m in messages %}{{ m.content }}<end>{% endfor %}"
            "{% if enable_thinking %}<think>{% else %}</think>{% endif %}")


def test_a_folder_of_safetensors(binary, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "llama_affine4", folder)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "generation_config.json").write_text(
        json.dumps({"temperature": 0.7, "top_k": 20, "eos_token_id": 2}))
    facts = info(folder)
    config = json.loads((folder / "config.json").read_text())
    assert facts["container"] == "safetensors" and facts["alias"] is None
    assert facts["context_window"] == config["max_position_embeddings"]
    assert (facts["vocab_size"], facts["tokens"]) == (config["vocab_size"], 3)
    assert "4 bits in groups of" in facts["quantisation"]
    assert facts["sampling"] == {"temperature": 0.7, "top_k": 20}
    assert {"id": 2, "text": "<end>"} in facts["end_tokens"]
    assert facts["reasoning_parser"] == facts["reasoning"]["style"] == "qwen3"
    assert facts["reasoning"]["open"] == "<think>"
    shown = run("info", folder).stdout
    assert '"<think>" ... "</think>"' in shown
    assert "temperature 0.7, top_k 20" in shown


def test_files_come_before_the_catalogue(binary, tmp_path):
    """Under the name of an entry that recommends temperature 1, top_p 0.95
    and top_k 64; a user's alias of it has the same."""
    folder = tmp_path / "models/mlx-community/gemma-4-e2b-it-4bit"
    shutil.copytree(FIXTURES / "llama_affine4", folder)
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "generation_config.json").write_text('{"temperature": 0.3}')
    home = {"RAPID_MLX_HOME": str(tmp_path)}
    assert run("alias", "set", "mine", "gemma-4-e2b", env=home).returncode == 0
    wanted = {"temperature": 0.3, "top_p": 0.95, "top_k": 64}
    for name in ("gemma-4-e2b-4bit", "mine"):
        done = run("info", name, "--json", env=home)
        assert json.loads(done.stdout)["sampling"] == wanted, name
    by_path = json.loads(run("info", folder, "--json", env=home).stdout)
    assert by_path["sampling"] == {"temperature": 0.3}


def test_for_people(model_path):
    done = run("info", "smollm2-135m")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ["134.5 M", "98.4 MB", "8192 tokens", "the model's own",
                  '"<|im_end|>" (2)', "reasoning         none"]:
        assert words in done.stdout, (words, done.stdout)
    long = [line for line in done.stdout.splitlines()
            if len(line) > 80 and not line.startswith("path")]
    assert long == []


def test_weights_are_not_read(model_path):
    """A fraction of the file's size in memory."""
    code = ("import resource, subprocess, sys;"
            "subprocess.run(sys.argv[1:], check=True,"
            " stdout=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run(
        ["python3", "-c", code, conftest.BIN, "info", "smollm2-135m"],
        capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < model_path.stat().st_size


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all"])
def test_broken_files(binary, tmp_path, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    assert_error(run("info", path), 1, "hint: ")


def test_wrong_use(binary):
    assert_error(run("info"), 2, "MODEL")
