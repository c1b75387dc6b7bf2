"""What surrounds the engine: names, advice, settings, scripts, reports. Needs
no network; a hub of our own is served where one is wanted."""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from test_cli import MODEL, STORED_NAME, assert_error, model_path, run


@pytest.fixture
def home(tmp_path):
    return {"RAPID_MLX_HOME": str(tmp_path / "home"),
            "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN": "sesame",
            "HF_ENDPOINT": "http://127.0.0.1:9"}


class Hub(http.server.ThreadingHTTPServer):
    """The two routes of the hub that a pull needs, with ranges."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files, self.asked = files, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(
            (self.path, self.headers.get("range"),
             self.headers.get("authorization")))
        if self.path.startswith("/api/models/"):
            body = json.dumps({"siblings": [
                {"rfilename": name, "size": len(data),
                 "lfs": {"sha256": hashlib.sha256(data).hexdigest()}}
                for name, data in self.server.files.items()]}).encode()
            self.reply(200, body)
            return
        data = self.server.files.get(self.path.rsplit("/", 1)[1])
        if data is None:
            self.reply(404, b"")
        elif self.headers.get("range"):
            first, last = re.fullmatch(
                r"bytes=(\d+)-(\d*)", self.headers["range"]).groups()
            first, last = int(first), int(last or len(data) - 1)
            self.reply(206, data[first:last + 1], {
                "content-range": f"bytes {first}-{last}/{len(data)}"})
        else:
            self.reply(200, data)

    def reply(self, status, body, headers=None):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def test_pull_from_a_mirror_in_pieces(binary, home):
    weights = os.urandom(40 << 20)
    hub = Hub({"config.json": b"{}", "tokenizer.json": b"{}",
               "model.safetensors": weights})
    home["HF_ENDPOINT"] = hub.url
    assert run("alias", "set", "mine", "org/name", env=home).returncode == 0
    done = run("pull", "mine", env=home)
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip().split(" is at ")[1]
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        assert file.read() == weights
    ranges = [r for path, r, _ in hub.asked if path.endswith("safetensors")]
    assert len(ranges) == 3 and all(ranges), ranges
    assert {auth for *_, auth in hub.asked} == {"Bearer sesame"}
    assert "of 41.9 MB" in done.stderr and "config.json" in done.stderr
    assert "org/name" in run("ls", env=home).stdout
    hub.shutdown()


def test_aliases(binary, home):
    assert "no aliases yet" in run("alias", env=home).stdout
    assert run("alias", "set", "work", "org/name", env=home).returncode == 0
    listed = json.loads(run("alias", "list", "--json", env=home).stdout)
    assert listed == {"work": "org/name"}
    assert "work" in run("models", "--names", env=home).stdout.split()
    assert run("alias", "remove", "work", env=home).returncode == 0
    assert_error(run("alias", "remove", "work", env=home), 1, "work")
    assert_error(run("alias", "set", "work", env=home), 2, "alias set NAME")


def test_models_filter_and_typos(binary, home):
    entries = json.loads(run("models", "gpt-oss", "--json", env=home).stdout)
    assert entries and all("gpt-oss" in json.dumps(e).lower() for e in entries)
    assert all(e["runs"] and e["context"] > 0 for e in entries)
    assert_error(run("pull", "gpt-os", env=home), 1, "did you mean gpt-oss")


def test_what_does_not_run_is_not_fetched(binary, home):
    hub = Hub({"config.json": b"{}"})
    home["HF_ENDPOINT"] = hub.url
    entries = json.loads(run("models", "--json", env=home).stdout)
    for entry in [e for e in entries if not e["runs"]][:1]:
        done = run("pull", entry["alias"], env=home)
        assert_error(done, 1, "does not run", entry["architecture"])
        proposed = json.loads(run("recipe", "--json", env=home).stdout)
        assert entry["alias"] not in json.dumps(proposed)
    assert not hub.asked
    hub.shutdown()


def test_recipe(binary, home):
    here = json.loads(run("recipe", "--json", env=home).stdout)
    assert here["machine"]["bandwidth_gb_s"] > 0
    assert here["machine"]["usable_bytes"] <= here["machine"]["memory_bytes"]
    assert all(row["fits"] for row in here["models"])
    small = json.loads(run("recipe", "--json", "--max-ram", "1", "--ctx", 4096,
                           env=home).stdout)
    assert small["smart"]["memory_gb"]["total"] < 1.1
    assert small["context"] == 4096
    table = run("recipe", env=home)
    assert table.returncode == 0 and "rapid-mlx serve" in table.stdout
    assert_error(run("recipe", "--max-ram", "0", env=home), 2)


def test_serve_says_what_does_not_fit_before_it_fetches(binary, home):
    done = run("serve", "qwen3.5-27b", "--memory-limit", "4GiB", "--port", 0,
               env=home)
    assert_error(done, 1, "qwen3.5-27b needs 1", "of weights", "4.3 GB here",
                 "--memory-limit", "fits with")
    done = run("serve", "deepseek-v4-flash", "--port", 0, env=home)
    assert done.returncode == 1  # no room, or not run by this version
    hub = Hub({"config.json": b"{}"})
    hub.files["model.safetensors"] = b"x" * 4096
    home["HF_ENDPOINT"] = hub.url
    done = run("serve", "org/name", "--memory-limit", "1MiB", "--port", 0,
               env=home)
    assert_error(done, 1, "org/name needs")
    assert not [p for p, *_ in hub.asked if p.endswith(".safetensors")]
    hub.shutdown()


def test_config_changes_defaults(binary, home):
    assert "nothing is set" in run("config", env=home).stdout
    assert run("config", "set", "parse.format", "hermes",
               env=home).returncode == 0
    assert run("config", "get", "parse.format", env=home).stdout == "hermes\n"
    done = run("parse", text="hi", env=home)
    assert json.loads(done.stdout)["content"] == "hi", done.stderr
    assert_error(run("config", "set", "serve.port", "many", env=home), 2)
    assert_error(run("config", "set", "serve.nothing", "1", env=home), 2,
                 "nothing")
    every = json.loads(run("config", "list", "--all", "--json",
                           env=home).stdout)
    assert "serve.port" in every and "bench.prompt" in every
    assert every["parse.format"]["value"] == "hermes"
    assert run("config", "unset", "parse.format", env=home).returncode == 0
    assert_error(run("config", "get", "parse.format", env=home), 1)


def test_doctor(binary, home, tmp_path):
    done = run("doctor", "--json", "--offline", env=home)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1)
    states = {check["what"]: check["state"] for check in report["checks"]}
    assert states["memory"] == "ok" and states["models"] == "ok"
    broken = tmp_path / "home" / "models" / "org" / "bad"
    broken.mkdir(parents=True)
    (broken / "model.gguf").write_bytes(b"GGUF, or not")
    done = run("doctor", "--offline", env=home)
    assert done.returncode == 1 and "rapid-mlx rm org/bad" in done.stdout
    report = json.loads(run("doctor", "--json", env=home).stdout)
    network = [c for c in report["checks"] if c["what"] == "network"]
    assert network[0]["state"] == "warn"


def test_completions_and_man(binary, home, tmp_path):
    script = run("completion", "bash", env=home).stdout
    (tmp_path / "c.sh").write_text(script)

    def complete(*words):
        line = " ".join(f"'{w}'" for w in words)
        done = subprocess.run(
            ["bash", "-c", f"source {tmp_path}/c.sh; COMP_WORDS=({line}); "
             f"COMP_CWORD={len(words) - 1}; _rapid_mlx; "
             "printf '%s\\n' \"${COMPREPLY[@]}\""],
            capture_output=True, text=True, check=True,
            env={**os.environ, **home,
                 "PATH": f"{os.path.dirname(binary)}:{os.environ['PATH']}"})
        return done.stdout.split()

    assert complete("rapid-mlx", "ser") == ["serve"]
    assert "--port" in complete("rapid-mlx", "serve", "--po")
    assert "gpt-oss" in complete("rapid-mlx", "pull", "gpt-o")
    for shell in ["zsh", "fish"]:
        text = run("completion", shell, env=home).stdout
        assert "serve" in text
        if shutil.which(shell):
            (tmp_path / shell).write_text(text)
            subprocess.run([shell, "-n", tmp_path / shell], check=True)
    page = run("man", env=home).stdout
    assert page.startswith(".TH RAPID") and ".SS serve" in page
    assert "\\-\\-memory\\-limit" in page
    assert_error(run("completion", "tcsh", env=home), 2)


def test_bench_over_http(model_path, tmp_path):
    page = tmp_path / "report.html"
    done = run("bench", MODEL, "-p", "16,32", "-n", 4, "-r", 1, "-b", "1,2",
               "--cache", "--tools", "--agent", "hermes", "--agent-turns", 3,
               "--agent-tokens", 1200, "--html", page, "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert [(p["prompt"], p["batch"]) for p in value["points"]] == [
        (16, 1), (16, 2), (32, 1), (32, 2)]
    ours = value["servers"][0]
    assert len(ours["speed"]) == 2
    assert all(s["restart_ttft_ms"] > 0 for s in ours["speed"])
    assert ours["tools"]["asked"] == 12 and ours["tools"]["failed"] == 0
    assert ours["agent"]["turns"] == 3 and ours["agent"]["failed"] == 0
    text = page.read_text()
    assert "<svg" in text and "http://" not in text.split("<pre>")[0]
    assert_error(run("bench", MODEL, "-p", 4, "-n", 2, "-r", 1, "--agent",
                     "aider"), 1, "not recorded", "hermes")
