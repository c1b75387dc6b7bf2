"""Starts real servers with real models for the black-box tests."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pytest

BIN = os.environ.get(
    "RAPID_MLX_BIN",
    str(pathlib.Path(__file__).parents[2] / "build/release/bin/rapid-mlx"))


def models_home():
    home = os.environ.get("RAPID_MLX_HOME") or os.path.expanduser("~/.rapid-mlx")
    return pathlib.Path(home) / "models"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One `rapid-mlx serve` process."""

    def __init__(self, model, *flags):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        started = time.monotonic()
        if "--cache-dir" not in flags:  # nothing of an earlier run
            flags = (*flags, "--disk-cache", "0")
        self.process = subprocess.Popen(
            [BIN, "serve", model, "--port", str(self.port), *flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.wait_ready()
        self.start_seconds = time.monotonic() - started

    def wait_ready(self, limit=60):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stdout.read())
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("the server was not ready in time")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return json.loads(reply.read())

    def kill(self):
        self.process.kill()
        self.process.wait(15)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Scripted(Server):
    """One `rapid-mlx replay` of answers that are written here, so that calls
    surely come and no model is loaded."""

    def __init__(self, folder, script):
        path = folder / "script.json"
        path.write_text(json.dumps({"script": 1, **script}))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [BIN, "replay", str(path), "--serve", "--port", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.wait_ready()


def server_fixture(model, *flags):
    @pytest.fixture(scope="session")
    def fixture():
        server = Server(model, *flags)
        yield server
        assert server.stop() == 0, "serve must exit 0 on SIGTERM"
    return fixture


smollm = server_fixture("smollm2-135m")
qwen = server_fixture("qwen2.5-coder-0.5b")


@pytest.fixture(scope="session")
def binary():
    assert os.path.exists(BIN), f"{BIN} is not built: make build"
    return BIN
