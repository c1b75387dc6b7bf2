"""A prompt outlives the process, however that ends."""

import json
import time
import urllib.request

from conftest import Server

PROMPT = "Here is a list of colours: " + "red, green, blue, " * 100


def complete(server, prompt):
    request = urllib.request.Request(
        server.url + "/v1/completions",
        json.dumps({"prompt": prompt, "max_tokens": 12,
                    "temperature": 0}).encode(),
        {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        reply = json.loads(reply.read())
    usage = reply["usage"]
    return (reply["choices"][0]["text"],
            usage["prompt_tokens"] - usage["prompt_tokens_details"][
                "cached_tokens"])


def wait_until_written(folder):
    size = -1
    while True:
        now = sum(file.stat().st_size for file in folder.rglob("*")
                  if file.is_file())
        if now == size and now > 1 << 20:
            return
        size = now
        time.sleep(0.5)


def test_the_first_turn_after_a_restart_is_warm(tmp_path):
    flags = ("smollm2-135m", "--cache-dir", str(tmp_path))
    server = Server(*flags)
    text, news = complete(server, PROMPT)
    assert news > 300
    wait_until_written(tmp_path)
    server.kill()

    server = Server(*flags)
    again, news = complete(server, PROMPT)
    assert again == text
    assert news == 1
    _, news = complete(server, PROMPT + "and more of them")
    assert news < 10
    assert server.stop() == 0

    # Damaged bytes are noticed and computed anew.
    for file in tmp_path.rglob("*.safetensors"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    server = Server(*flags)
    again, news = complete(server, PROMPT)
    assert again == text
    assert news > 1
    assert server.stop() == 0
