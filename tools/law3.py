#!/usr/bin/env python3
"""Law 3 over HTTP, at random: the cache, the batch, restarts and kills change
no answer.

  tools/law3.py [MODEL ...] [--steps 1000] [--seed 1] [--json FILE]

A server with little memory (kept prompts come and go), a small disk tier and
RAPID_MLX_SELF_CHECK=1 gets bursts of up to 8 requests at once: turns, branches
from the middle of a conversation, edits of it, retries, several choices,
schemas, and clients that hang up. In between its worker is killed (-9) in
mid-stream, it is stopped or killed (-9) and started again, and its cache is
cleared. Every token, every logprob and every end must be what a second server
without any cache says to the request alone. A step is a request. Exit 1 at
the first difference.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import sys
import tempfile
import threading
import time

from serving import MiB, Server, ask, chunks, table

MODELS = ["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"]
LONGEST = 700  # tokens of a prompt
SCHEMA = {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 12},
    "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]},
             "minItems": 2, "maxItems": 3}},
    "required": ["name", "tags"], "additionalProperties": False}


class Different(Exception):
    pass


def stream(server, body, on_token=None, stop_after=None):
    """{choice: [ids, logprobs, reason]}."""
    out = {}
    seen = 0
    events = chunks(server, "/v1/completions", body)
    for chunk in events:
        if chunk is None:
            break
        if "error" in chunk:
            raise Different("an error", chunk)
        for choice in chunk["choices"]:
            one = out.setdefault(str(choice["index"]), [[], [], None])
            scored = choice.get("logprobs")
            if scored:
                one[0] += scored["token_ids"]
                one[1] += scored["token_logprobs"]
                seen += len(scored["token_ids"])
                if on_token:
                    on_token(len(scored["token_ids"]))
            one[2] = choice["finish_reason"] or one[2]
        if stop_after is not None and seen >= stop_after:
            break
    events.close()
    return out


class Walk:
    def __init__(self, model, options):
        self.model, self.rng = model, random.Random(options.seed)
        self.folder = tempfile.TemporaryDirectory(prefix="rapid-law3-")
        self.reference = Server(
            model, "--in-process", "--disk-cache", "0",
            log=self.folder.name + "/reference.log")
        plan = ask(self.reference, "GET", "/v1/memory/plan?ctx=1000&batch=4")[1]
        limit = plan["total_bytes"] + plan["reserve_bytes"] + 40 * MiB
        # A few prompts beside the smallest index that the tier can have.
        disk = plan["items"]["states"] * 2 + 4 * MiB
        self.server = Server(
            model, "--memory-limit", f"{limit // MiB}MiB", "--parallel", "8",
            "--cache-dir", self.folder.name, "--disk-cache",
            str(disk / 2**30), env={"RAPID_MLX_SELF_CHECK": "1"},
            log=self.folder.name + "/server.log")
        self.vocabulary = ask(
            self.server, "GET", "/v1/models")[1]["data"][0]["vocab_size"]
        self.talks = []
        self.known = {}
        self.counts = collections.Counter()
        self.restarts_wanted = 0

    def prompt(self):
        rng = self.rng
        out = []
        if self.talks and rng.random() < 0.9:
            out = list(rng.choice(self.talks))
        change = rng.random()
        if change < 0.3:
            del out[rng.randrange(len(out) + 1):]
            self.counts["branches"] += 1
        elif change < 0.45 and out:
            out[rng.randrange(len(out))] = self.token()
            self.counts["edits"] += 1
        out += [self.token()
                for _ in range(rng.choice([1, 3, 20, 20, 60, 300]))]
        return out[:LONGEST] if len(out) <= LONGEST else out[:rng.randrange(
            1, LONGEST)]

    def token(self):
        return self.rng.randrange(100, min(self.vocabulary - 1000, 40000))

    def body(self):
        rng = self.rng
        out = {"model": "default", "prompt": self.prompt(), "logprobs": 0,
               "max_tokens": rng.randrange(1, 16), "temperature": 0}
        if rng.random() < 0.2:
            out |= {"temperature": 1.0, "seed": rng.randrange(1000)}
        if rng.random() < 0.1:
            out["n"] = 2
        if rng.random() < 0.1:
            out["max_tokens"] = 40
            out["response_format"] = {
                "type": "json_schema", "json_schema": {"schema": SCHEMA}}
        return out

    def alone(self, body):
        key = json.dumps(body)
        if key not in self.known:
            if len(self.known) > 500:
                self.known.clear()
            self.known[key] = stream(
                self.reference, {**body, "cache": False})
        return self.known[key]

    def burst(self):
        rng = self.rng
        bodies = []
        for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
            retry = bodies and rng.random() < 0.15
            bodies.append(bodies[-1] if retry else self.body())
        stops = [rng.randrange(0, 6) if rng.random() < 0.15 else None
                 for _ in bodies]
        tokens = 0
        kill_at = rng.randrange(1, 12) if rng.random() < 0.12 else None
        lock = threading.Lock()

        def on_token(count):
            nonlocal tokens, kill_at
            with lock:
                tokens += count
                if kill_at is not None and tokens >= kill_at:
                    kill_at = None
                    if self.server.kill_worker():
                        self.counts["worker kills"] += 1
                        self.restarts_wanted += 1

        with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
            got = list(pool.map(
                lambda pair: stream(self.server, pair[0], on_token, pair[1]),
                zip(bodies, stops)))
        self.counts["largest burst"] = max(
            self.counts["largest burst"], len(bodies))
        for body, stop, answer in zip(bodies, stops, got):
            self.compare(body, stop, answer)

    def compare(self, body, stop, answer):
        self.counts["steps"] += 1
        self.counts["hung up"] += stop is not None
        want = self.alone(body)
        for index, (ids, logprobs, reason) in want.items():
            got = answer.get(index, [[], [], None])
            if stop is not None:
                ids, logprobs = ids[:len(got[0])], logprobs[:len(got[0])]
                reason = got[2] and reason
            if got != [ids, logprobs, reason]:
                raise Different(body, "alone", want, "got", answer)
        self.counts["tokens compared"] += len(answer.get("0", [[]])[0])
        talk = body["prompt"] + want["0"][0]
        if len(self.talks) < 12:
            self.talks.append(talk)
        else:
            self.talks[self.rng.randrange(12)] = talk

    def between(self):
        what = self.rng.random()
        if what < 0.03:
            ask(self.server, "DELETE", "/v1/cache")
            self.counts["cache cleared"] += 1
        elif what < 0.09:
            self.check_restarts()
            self.count_cache()
            if what < 0.06:
                self.server.kill()
                self.counts["front kills"] += 1
            else:
                code = self.server.stop()
                if code != 0:
                    raise Different("serve stopped with", code)
                self.counts["restarts"] += 1
            self.server.start()

    def count_cache(self):
        now = self.server.metrics()
        for key in ("prompt_tokens", "cached_tokens", "evicted_prompts",
                    "parked"):
            self.counts[key] += int(now[key + "_total"])

    def check_restarts(self):
        """Workers die of nothing but our kills."""
        end = time.monotonic() + 10
        now = -1
        while now != self.restarts_wanted and time.monotonic() < end:
            now = ask(self.server, "GET", "/health")[1]["worker_restarts"]
            time.sleep(0.02)
        if now != self.restarts_wanted:
            raise Different("worker restarts", now, self.restarts_wanted)
        self.restarts_wanted = 0

    def run(self, steps):
        told = 0
        while self.counts["steps"] < steps:
            self.burst()
            self.between()
            if self.counts["steps"] // 100 > told:
                told = self.counts["steps"] // 100
                print(f"  {self.model}: {self.counts['steps']} steps",
                      file=sys.stderr, flush=True)
        self.check_restarts()
        self.count_cache()

    def close(self, good):
        for each in (self.server, self.reference):
            if each.process.poll() is None:
                each.stop()
        if not good:
            print(pathlib.Path(self.server.log).read_text()[-4000:])
        self.folder.cleanup()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--steps", type=int, default=1000, help="per model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="also write the counts to this file")
    options = parser.parse_args()
    counts = {}
    for model in options.models:
        walk = Walk(model, options)
        good = False
        try:
            walk.run(options.steps)
            good = True
        except Different as found:
            print(model, "step", walk.counts["steps"],
                  "seed", options.seed, "DIFFERS", *found.args)
            return 1
        finally:
            walk.close(good)
        counts[model] = dict(walk.counts)
    keys = list(dict.fromkeys(key for each in counts.values() for key in each))
    table([(key, *(counts[model].get(key, 0) for model in counts))
           for key in keys], ("no answer differed", *counts))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(counts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
