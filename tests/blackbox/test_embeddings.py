"""/v1/embeddings, /api/embed and /v1/rerank of a chat model."""

import concurrent.futures
import json
import math
import urllib.request

import ollama
import openai
import pytest

TEXTS = ["A cat sleeps on the sofa.",
         "The kitten is taking a nap on the couch.",
         "Interest rates rose again in the third quarter.",
         "word " * 700]  # in several chunks


@pytest.fixture(scope="module")
def api(smollm):
    return openai.OpenAI(base_url=smollm.url + "/v1", api_key="none",
                         max_retries=0, timeout=120)


def embed(api, text, **more):
    reply = api.embeddings.create(
        model="default", input=text, encoding_format="float", **more)
    return [one.embedding for one in reply.data]


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right))


def test_alone_and_beside_others_is_bit_equal(api, smollm):
    together = embed(api, TEXTS)
    assert all(abs(math.hypot(*v) - 1) < 1e-5 for v in together)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        chats = [pool.submit(
            api.chat.completions.create, model="default", max_tokens=40,
            messages=[{"role": "user", "content": f"Tell me about {n}."}])
            for n in range(2)]
        alone = list(pool.map(lambda text: embed(api, text)[0], TEXTS))
    assert alone == together
    assert all(c.result().choices[0].message.content for c in chats)
    for pooling in ("last", "cls"):
        one = embed(api, TEXTS[3], extra_body={"pooling": pooling})
        assert one == embed(api, TEXTS[3], extra_body={"pooling": pooling})
        assert one[0] != together[3]


def test_near_texts_are_near(api):
    cat, kitten, rates, _ = embed(api, TEXTS)
    assert cosine(cat, kitten) > cosine(cat, rates)


def test_forms(api, smollm):
    floats = embed(api, TEXTS[0])[0]
    packed = api.embeddings.create(model="default", input=TEXTS[0])
    assert packed.data[0].embedding == pytest.approx(floats, abs=1e-7)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0
    short = embed(api, TEXTS[0], dimensions=16)[0]
    assert len(short) == 16 and abs(math.hypot(*short) - 1) < 1e-5
    assert short[0] / short[1] == pytest.approx(floats[0] / floats[1], 1e-4)
    ids = embed(api, [[1, 2, 3], [4]])
    assert len(ids) == 2
    client = ollama.Client(host=smollm.url)
    assert client.embed("default", TEXTS[0]).embeddings[0] \
        == pytest.approx(floats)
    assert client.embeddings("default", TEXTS[0]).embedding \
        == pytest.approx(floats)


def test_too_long_is_cut_or_refused(api, smollm):
    text = "word " * 20000
    with pytest.raises(openai.BadRequestError) as long:
        embed(api, text)
    assert long.value.code == "context_length_exceeded"
    client = ollama.Client(host=smollm.url)
    with pytest.raises(ollama.ResponseError):
        client.embed("default", text, truncate=False)


def test_rerank(smollm):
    body = {"query": TEXTS[0], "documents": TEXTS[1:3], "top_n": 2}
    request = urllib.request.Request(
        smollm.url + "/v1/rerank", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        results = json.loads(reply.read())["results"]
    assert [r["index"] for r in results] == [0, 1]
    assert results[0]["relevance_score"] > results[1]["relevance_score"]
