"""TLS, keys, hosts, CORS, the access log, sockets from a service manager and
a stop that lets answers end."""

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

import conftest


def ask(url, body=None, headers=(), context=None):
    request = urllib.request.Request(
        url, None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=60,
                                    context=context) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


BODY = {"model": "default", "prompt": "a", "max_tokens": 1}


@pytest.fixture(scope="module")
def secure(binary, tmp_path_factory):
    """TLS on an inherited socket, with keys and a log."""
    folder = tmp_path_factory.mktemp("manners")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
         folder / "key.pem", "-out", folder / "cert.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True)
    (folder / "keys").write_text(
        hashlib.sha256(b"ann's").hexdigest() + " ann per-minute=4\n" +
        hashlib.sha256(b"bob's").hexdigest() + " bob\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        # The service manager's way: file 3, and the pid of the program itself.
        process = subprocess.Popen(
            ["bash", "-c", f"exec 3<&{listening.fileno()}; "
             "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "bash",
             conftest.BIN, "serve", "smollm2-135m", "--disk-cache", "0",
             "--port", "1", "--tls-cert", folder / "cert.pem", "--tls-key",
             folder / "key.pem", "--api-keys-file", folder / "keys",
             "--access-log", folder / "log", "--cors", "https://ui.example",
             "--allow-host", "box.example", "--threads", "1"],
            pass_fds=[listening.fileno()], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    url = f"https://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout.read()
        try:
            if ask(url + "/health", context=context)[0] == 200:
                break
        except OSError:
            pass
        time.sleep(0.05)
    yield lambda path, body=None, **headers: ask(
        url + path, body, [(k.replace("_", "-"), v)
                           for k, v in headers.items()], context), folder, url
    process.terminate()
    assert process.wait(20) == 0


def test_tls_and_keys(secure):
    get, folder, url = secure
    assert get("/v1/completions", BODY)[0] == 401
    for _ in range(4):
        status, _, text = get("/v1/completions", BODY, x_api_key="ann's")
        assert status == 200, text
    status, headers, _ = get("/v1/completions", BODY, x_api_key="ann's")
    assert status == 429 and 1 <= int(headers["retry-after"]) <= 60
    bob = {"authorization": "Bearer bob's"}
    status, _, text = get("/v1/responses", {
        "input": "Hi", "max_output_tokens": 2}, **bob)
    path = "/v1/responses/" + json.loads(text)["id"]
    assert get(path, **bob)[0] == 200
    with pytest.raises(OSError):  # plain text is no TLS
        ask(url.replace("https", "http") + "/health")
    lines = [json.loads(line) for line in
             (folder / "log").read_text().splitlines()]
    spent = [line["status"] for line in lines if line["key"] == "ann"]
    assert spent == [200] * 4
    assert {401, 429} <= {line["status"] for line in lines}
    assert all(line["id"] and line["ms"] >= 0 for line in lines)


def test_a_response_is_its_keys_own(secure):
    get, *_ = secure
    bob = {"authorization": "Bearer bob's"}
    _, _, text = get("/v1/responses", {
        "input": "Hi", "max_output_tokens": 2}, **bob)
    path = "/v1/responses/" + json.loads(text)["id"]
    other = hashlib.sha256(b"nobody").hexdigest()
    assert get(path, **bob)[0] == 200
    assert get(path, authorization="Bearer " + other)[0] == 401


def test_hosts_and_origins(secure):
    get, *_ = secure
    for host, status in [("localhost", 200), ("box.example:1", 200),
                         ("evil.example", 403)]:
        assert get("/health", host=host)[0] == status, host
    status, headers, _ = get("/health", origin="https://ui.example")
    assert status == 200
    assert headers["access-control-allow-origin"] == "https://ui.example"
    assert get("/health", origin="https://evil.example")[0] == 403


def test_a_stop_lets_answers_end(binary):
    server = conftest.Server("smollm2-135m", "--threads", "1")
    reply = {}

    def stream():
        reply["text"] = ask(server.url + "/v1/completions", {
            **BODY, "stream": True, "max_tokens": 60, "ignore_eos": True})[2]

    reader = threading.Thread(target=stream)
    reader.start()
    end = time.monotonic() + 60
    while server.get("/health")["running"] == 0 and time.monotonic() < end:
        time.sleep(0.005)
    server.process.send_signal(signal.SIGTERM)
    seen = set()
    while reader.is_alive():
        try:
            status, headers, _ = ask(server.url + "/v1/completions", BODY)
            seen.add(status)
            if status == 503:
                assert int(headers["retry-after"]) > 0
        except OSError:
            break  # it has gone
    reader.join()
    assert reply["text"].rstrip().endswith("[DONE]")
    assert server.process.wait(20) == 0
    assert seen <= {200, 503}


def test_wrong_files_are_told(binary, tmp_path):
    for flags, word in [
            (("--tls-cert", "/none.pem", "--tls-key", "/none.pem"), "/none.pem"),
            (("--api-keys-file", str(tmp_path)), "key"),
            (("--tls-cert", "/none.pem"), "--tls-key"),
            (("--access-log", "/none/log"), "/none/log")]:
        done = subprocess.run(
            [binary, "serve", "smollm2-135m", "--port", "0", *flags],
            capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2), flags
        assert word in done.stderr, done.stderr


def test_openapi_and_tokens(smollm):
    document = smollm.get("/openapi.json")
    assert "/v1/responses/{id}/cancel" in document["paths"]
    status, _, text = ask(smollm.url + "/tokenize", {"prompt": "Hello world"})
    tokens = json.loads(text)
    assert status == 200 and tokens["count"] == len(tokens["tokens"]) > 1
    back = ask(smollm.url + "/detokenize", {"tokens": tokens["tokens"]})[2]
    assert json.loads(back)["prompt"].endswith("Hello world")
    banner = ask(smollm.url + "/")
    assert banner[1]["content-type"].startswith("text/plain")
    assert "/v1/responses" in banner[2]


def test_this_machine_is_reached_without_a_proxy(smollm):
    nobody = f"http://127.0.0.1:{conftest.free_port()}"
    proxies = {"http_proxy": nobody, "https_proxy": nobody, "ALL_PROXY": nobody,
               "no_proxy": ""}
    for url in (smollm.url, smollm.url.replace("127.0.0.1", "localhost")):
        done = subprocess.run(
            [conftest.BIN, "ps", "--json", "--url", url], text=True,
            capture_output=True, timeout=60, env={**os.environ, **proxies})
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["id"] == "smollm2-135m"
