"""One agent does one task in a throw-away home, over a wire."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import programs
from wire import Wire

# What programs say when an answer was not as they expect it. That Codex knows
# no metadata of the model is not of that kind (decision 0058).
COMPLAINTS = re.compile(
    r"without active item|could not be parsed"
    r"|stream (error|disconnected|closed before|ended without)|reconnecting"
    r"|retrying|invalid (json|response|chunk|sse)|unexpected (event|chunk|end)"
    r"|validation error|ZodError|JSONDecodeError|APIConnectionError"
    r"|InternalServerError|BadRequestError", re.I)
DIALECTS = {"pi-responses": ("openai-responses", "/v1"),
            "pi-messages": ("anthropic-messages", "")}


def other_dialect(home, name, url):
    """The profile gives pi one of its three dialects."""
    api, path = DIALECTS[name]
    file = home / ".pi/agent/models.json"
    config = json.loads(file.read_text())
    for provider in config["providers"].values():
        provider.update(api=api, baseUrl=url + path)
    file.write_text(json.dumps(config))


def larger_context(home):
    """Hermes does not start with less than 64,000 tokens, of which the task
    here needs a fifth."""
    file = home / ".hermes/config.yaml"
    file.write_text(re.sub(r"context_length: \d+", "context_length: 65536",
                           file.read_text()))


class Trial:
    def __init__(self, agent, path, binary, keep=None):
        self.agent, self.binary = agent, binary
        self.top = pathlib.Path(
            keep or tempfile.mkdtemp(prefix="rapid-mlx-agent-"))
        self.keep = keep is not None
        self.home, self.here = self.top / "home", self.top / "work"
        for folder in (self.home, self.here):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for name, word in programs.WORDS.items():
            (self.here / name).write_text(word + "\n")
        self.env = {
            key: value for key, value in os.environ.items()
            if key in ("LANG", "TERM", "RAPID_MLX_BIN")}
        self.env.update(
            HOME=str(self.home), PATH=f"{path}:{os.environ['PATH']}",
            TMPDIR=str(self.top), **programs.QUIET, **agent.quiet)

    def script(self):
        path = self.top / "script.json"
        path.write_text(json.dumps({
            "script": 1, "name": "scripted",
            "turns": self.agent.turns(str(self.here)),
            "aside": {"content": "Two small files"}}))
        return path

    def profile(self, url):
        """What `rapid-mlx agents` says, once it has set the agent up."""
        name = self.agent.profile_name()
        command = [self.binary, "agents", name, "--url", url]
        plan = json.loads(subprocess.run(
            [*command, "--json"], env=self.env, check=True,
            capture_output=True, text=True).stdout)
        if plan["files"]:
            subprocess.run([*command, "--setup"], env=self.env, check=True,
                           stdout=subprocess.DEVNULL)
        if self.agent.name in DIALECTS:
            other_dialect(self.home, self.agent.name, url)
        if self.agent.name == "hermes":
            larger_context(self.home)
        return plan

    def run(self, port, limit):
        wire = Wire(port)
        plan = self.profile(wire.url)
        task = programs.TASK.format(here=self.here)
        first, *others = plan["headless"]
        command = [first, *self.agent.arguments, *others, task]
        log = open(self.top / "log", "w")
        start = time.monotonic()
        child = subprocess.Popen(
            command, cwd=self.here, env={**self.env, **plan["environment"]},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = "late"
        finally:
            try:  # it, and what it left running
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        time.sleep(0.2)
        seconds = time.monotonic() - start
        heard = wire.heard()
        wire.close()
        if self.keep:
            for number, one in enumerate(heard):
                (self.top / f"{number:02}.json").write_text(json.dumps(
                    {"path": one.path, "status": one.status,
                     "body": one.body(), "answer": one.text()}, indent=1))
        return {"exit": code, "seconds": round(seconds, 1),
                "requests": len([one for one in heard if one.raw]),
                "done": self.done(heard),
                "errors": [t for t in (one.trouble() for one in heard) if t] +
                          self.complaints()}

    def complaints(self):
        """Of its own, on the terminal; a task or an answer may not hold such
        words, ours do not."""
        lines = (self.top / "log").read_text(errors="replace").splitlines()
        return list(dict.fromkeys(
            "it says: " + line.strip()[:200] for line in lines
            if COMPLAINTS.search(line)))[:5]

    def done(self, heard):
        """Both steps: the file is there, and both words came back at once."""
        made = self.here / "made.txt"
        if not made.exists() or made.read_text().strip() != "hello":
            return False
        if self.agent.text:
            return (self.here / "second.txt").exists()
        return any(all(word.encode() in one.raw
                       for word in programs.WORDS.values()) for one in heard)

    def tail(self):
        return (self.top / "log").read_text(errors="replace")[-2000:]

    def remove(self):
        if not self.keep:
            shutil.rmtree(self.top, ignore_errors=True)
