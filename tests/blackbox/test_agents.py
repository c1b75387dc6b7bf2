"""agents, launch, connect: what they write into a person's files, and take back."""

import json
import os
import stat

import pytest

from test_cli import run

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAPID_MLX_HOME", str(tmp_path / "state"))
    for name in ["CODEX_HOME", "HERMES_HOME", "CLAUDE_CONFIG_DIR"]:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def agents(*arguments):
    return run("agents", *arguments, "--url", NOWHERE)


def test_list(home):
    listed = json.loads(run("agents", "--json").stdout)
    assert len(listed) >= 20
    assert all(agent["title"] and agent["route"] for agent in listed)
    assert not any(agent["set_up"] for agent in listed)
    assert "NAME" in run("agents", "list").stdout


def test_set_up_and_undo(home):
    config = home / ".codex/config.toml"
    config.parent.mkdir()
    mine = '# my own\nmodel = "other"\n\n[history]\npersistence = "none"\n'
    config.write_text(mine)
    config.chmod(0o600)

    dry = agents("codex", "--setup", "--dry-run", "--model", "m")
    assert dry.returncode == 0, dry.stderr
    assert '+ model = "m"' in dry.stdout
    assert config.read_text() == mine

    done = agents("codex", "--setup", "--model", "m")
    assert done.returncode == 0, done.stderr
    text = config.read_text()
    assert text.startswith('# my own\nmodel = "m"\n')
    assert '[model_providers.rapid-mlx]' in text
    assert f'base_url = "{NOWHERE}/v1"' in text
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    listed = json.loads(run("agents", "--json").stdout)
    assert [a["name"] for a in listed if a["set_up"]] == ["codex"]

    undone = agents("codex", "--undo")
    assert undone.returncode == 0, undone.stderr
    assert config.read_text() == mine
    assert agents("codex", "--undo").returncode == 1


@pytest.mark.parametrize("name", [
    "claude-code", "codex", "opencode", "hermes", "continue", "pi", "vibe",
    "openclaw"])
def test_files_come_and_go(home, name):
    done = agents(name, "--setup", "--model", "m", "--json")
    assert done.returncode == 0, done.stderr
    paths = [f["path"] for f in json.loads(done.stdout)["files"]]
    assert paths and all(os.path.exists(path) for path in paths)
    assert agents(name, "--undo").returncode == 0
    assert not any(os.path.exists(path) for path in paths)


def test_a_broken_file_is_left_alone(home):
    config = home / ".claude/settings.json"
    config.parent.mkdir()
    config.write_text("{")
    done = agents("claude-code", "--setup")
    assert done.returncode == 1
    assert str(config) in done.stderr
    assert config.read_text() == "{"


def test_launch(home):
    shown = run("launch", "claude", "--dry-run", "--url", NOWHERE,
                    "--model", "m", "--", "-p", "hi there")
    assert shown.returncode == 0, shown.stderr
    assert f"export ANTHROPIC_BASE_URL={NOWHERE}" in shown.stdout
    assert shown.stdout.endswith("claude -p 'hi there'\n")
    cursor = run("launch", "cursor", "--url", NOWHERE)
    assert cursor.returncode == 1
    assert "own servers" in cursor.stderr
    unknown = run("launch", "nobody", "--url", NOWHERE)
    assert unknown.returncode == 1 and "known:" in unknown.stderr


def test_launch_becomes_the_agent(home, monkeypatch, smollm):
    program = home / "bin/aider"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$OPENAI_API_BASE $@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    root = smollm.url
    ran = run("launch", "aider", "--url", root, "--", "--version")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"{root}/v1 --model openai/")
    assert ran.stdout.endswith("--version\n")


def test_test_runs_the_agent_in_an_empty_folder(home, monkeypatch):
    program = home / "bin/aider"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nls -A\necho hello > made.txt\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert agents("aider", "--test").returncode == 0
    program.write_text("#!/bin/sh\necho no >&2\n")
    failed = agents("aider", "--test")
    assert failed.returncode == 1 and "no" in failed.stderr


def test_connect(home):
    told = json.loads(run("connect", "--json", "--url", NOWHERE).stdout)
    assert told["base_url"] == f"{NOWHERE}/v1"
    assert told["answers"] is False


def test_an_agent_that_needs_more_context(home, smollm):
    short = run("agents", "hermes", "--url", smollm.url)
    assert short.returncode == 0
    assert "Hermes Agent refuses models of fewer than 64000" in short.stderr
    assert "refuses" not in run("agents", "pi", "--url", smollm.url).stderr
