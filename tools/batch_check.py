#!/usr/bin/env python3
"""What streams beside each other cost, measured over HTTP.

  tools/batch_check.py [MODEL] [--streams 8] [--tokens 64] [--long 8000]

Greedy streams alone and then together: the same token ids, and tokens per
second of one and of all. Then the gaps between tokens of a running stream
while a long prompt of somebody else is read ("stall"). Exit 1 unless

  all streams together are bit-equal to each alone
  aggregate decode is not below one stream's
  no gap is longer than --stall-ms (150)

--llama-server PROGRAM measures the same streams with llama.cpp's server on the
same file with as many slots and --threads, in turn --rounds times, and fails
where ours are not --ratio times as fast together.

A time is as good as the machine was idle: the load is printed beside it.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from serving import BINARY, Server, chunks, free_port, table


def stream(server, body, times, ready=None):
    """Appends the arrival time of every token; returns their ids."""
    ids = []
    for chunk in chunks(server, "/v1/completions", body):
        for choice in (chunk or {}).get("choices", []):
            scored = choice.get("logprobs")
            if scored:
                times.append(time.perf_counter())
                ids += scored["token_ids"]
                if ready and len(times) > 8:
                    ready.set()
    return ids


def peer_stream(server, body, times):
    """The same from llama.cpp's server, by its own route."""
    wanted = {
        "prompt": body["prompt"], "n_predict": body["max_tokens"],
        "temperature": 0, "ignore_eos": True, "cache_prompt": False,
        "return_tokens": True}
    ids = []
    for chunk in chunks(server, "/completion", wanted):
        for token in (chunk or {}).get("tokens", []):
            if len(ids) < body["max_tokens"]:
                times.append(time.perf_counter())
                ids.append(token)
    return ids


def words(rng, count, top):
    return [rng.randrange(200, top) for _ in range(count)]


def body_of(prompt, tokens):
    return {
        "model": "default",
        "prompt": prompt,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        # One token an event, whatever its text is.
        "logprobs": 0,
    }


def rate(times):
    return (len(times) - 1) / (times[-1] - times[0])


def together(server, bodies, read):
    """What each stream had, and tokens per second while all of them decode."""
    all_times = [[] for _ in bodies]
    got = [None] * len(bodies)

    def one(i):
        got[i] = read(server, bodies[i], all_times[i])

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begin = max(times[0] for times in all_times)
    end = min(times[-1] for times in all_times)
    inside = sum(begin <= t <= end for times in all_times for t in times)
    return got, round(inside / (end - begin), 1) if end > begin else 0


def file_of(model):
    """The GGUF file of a stored model."""
    known = json.loads(subprocess.run(
        [BINARY, "ls", "--json"], capture_output=True, check=True).stdout)
    for one in known:
        path = pathlib.Path(one["path"])
        files = [path] if path.is_file() else sorted(path.glob("*.gguf"))
        if one["name"] == model and len(files) == 1:
            return str(files[0])
    raise SystemExit(f"{model} is no stored GGUF file")


def versus(options, log):
    """The same streams here and there, in turn; medians."""
    count, threads = options.streams, str(options.threads)
    port = free_port()
    peer = [options.llama_server, "-m", file_of(options.model), "--port",
            str(port), "-np", str(count), "-t", threads, "-c",
            str(count * 1024)]
    speeds = {"ours": [], "llama_server": []}
    for turn in range(options.rounds):
        rng = random.Random(options.seed + turn)
        bodies = [body_of(words(rng, 40 + 10 * i, options.vocabulary), options.tokens)
                  for i in range(count)]
        for name, read, make in (
                ("ours", stream, lambda: Server(
                    options.model, "--disk-cache", "0", "--threads", threads,
                    log=log)),
                ("llama_server", peer_stream, lambda: Server(
                    options.model, command=peer, port=port, log=log))):
            server = make()
            try:
                # The first time is a warm-up.
                together(server, [{**b, "max_tokens": 8} for b in bodies], read)
                bodies = [{**b, "prompt": b["prompt"][::-1]} for b in bodies]
                speeds[name].append(together(server, bodies, read)[1])
            finally:
                server.stop()
    ours = statistics.median(speeds["ours"])
    theirs = statistics.median(speeds["llama_server"])
    return {"streams": count, "threads": options.threads, "runs": speeds,
            "ours_tps": ours, "llama_server_tps": theirs,
            "ratio": round(ours / theirs, 2)}


def batch(server, count, tokens, rng, top):
    bodies = [body_of(words(rng, 40 + 10 * i, top), tokens) for i in range(count)]
    alone, want = [], []
    for body in bodies:
        times = []
        want.append(stream(server, body | {"cache": False}, times))
        alone.append(rate(times))
    got, speed = together(server, bodies, stream)
    return {
        "alone_tps": round(statistics.median(alone), 1),
        "together_tps": speed,
        "equal": got == want,
    }


def stall(server, length, rng, top):
    times = []
    ready = threading.Event()
    body = body_of(words(rng, 60, top), 4000)
    runner = threading.Thread(target=stream, args=(server, body, times, ready))
    runner.daemon = True
    runner.start()
    ready.wait()
    begin = time.perf_counter()
    stream(server, body_of(words(rng, length, top), 1), [])
    end = time.perf_counter()
    inside = [t for t in times if begin <= t <= end]
    gaps = sorted(1e3 * (b - a) for a, b in zip(inside, inside[1:]))
    return {
        "prompt_tokens": length,
        "prefill_seconds": round(end - begin, 2),
        "tokens_beside": len(inside),
        "gap_ms_median": round(statistics.median(gaps), 1),
        "gap_ms_p99": round(gaps[int(0.99 * (len(gaps) - 1))], 1),
        "gap_ms_max": round(gaps[-1], 1),
    }


def report_versus(options, out):
    held = out["ratio"] >= options.ratio
    table([("tokens/s, all together", out["ours_tps"], out["llama_server_tps"],
            out["ratio"], f">= {options.ratio}", "yes" if held else "NO")],
          (f"{options.model}, {out['streams']} streams", "ours",
           "llama-server", "ratio", "wanted", "held"))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(out, indent=1))
    return 0 if held else 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-0.5b")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--long", type=int, default=8000)
    parser.add_argument("--vocabulary", type=int, default=40000)
    parser.add_argument("--stall-ms", type=float, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--llama-server", metavar="PROGRAM",
                        help="compare with it, nothing else")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=1)
    parser.add_argument("--json", help="also write the numbers to this file")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="rapid-batch-") as folder:
        if options.llama_server:
            return report_versus(options, versus(options, folder + "/log"))
        server = Server(options.model, "--disk-cache", "0",
                        log=folder + "/server.log")
        try:
            out = {"model": options.model, "load": os.getloadavg()[0]}
            out["batch"] = batch(server, options.streams, options.tokens, rng,
                                 options.vocabulary)
            if options.long:
                out["stall"] = stall(server, options.long, rng,
                                     options.vocabulary)
        finally:
            server.stop()
    both = out["batch"]
    rows = [("streams equal to alone", both["equal"], True, both["equal"]),
            ("tokens/s, all together", both["together_tps"],
             f">= {both['alone_tps']} (one alone)",
             both["together_tps"] >= both["alone_tps"])]
    if "stall" in out:
        beside = out["stall"]
        rows.append((f"longest gap beside {beside['prompt_tokens']} tokens, ms",
                     beside["gap_ms_max"], f"< {options.stall_ms:.0f}",
                     beside["gap_ms_max"] < options.stall_ms))
        rows.append(("median and p99 gap, ms", f"{beside['gap_ms_median']}, "
                     f"{beside['gap_ms_p99']}", "", True))
        rows.append(("seconds of that prefill", beside["prefill_seconds"], "",
                     True))
    rows.append(("load of the machine before", f"{out['load']:.1f}", "", True))
    table([(*row[:3], "yes" if row[3] else "NO") for row in rows],
          (options.model, "measured", "wanted", "held"))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(out, indent=1))
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
