#!/usr/bin/env python3
"""Compares the memory plan with what `serve` really takes, over many shapes.

Each shape starts a server, asks GET /v1/memory/plan?ctx=&batch= for its
numbers, then drives exactly that load: `batch` prompts of random tokens at
once, each with its answer as long as ctx. What is compared:

  measured   VmHWM of the worker and private pages of the front, less the
             pages of files that the worker mapped in after it was ready:
             those are the kernel's to take back, and how many are touched
             depends on the prompt's tokens
  planned    total_bytes, less the item `mapped_weights`, their upper bound

`within` says that the peak itself, file pages included, is not above what the
plan counts against a limit: total and reserve. Exit 1 when an error is above
--tolerance or a shape exceeds.

  tools/memory_check.py [--json] [--quick] [--models gemma3-270m,...]
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import sys
import urllib.request

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/blackbox"))
import conftest  # noqa: E402
from processes import memory, peak_of, worker_of  # noqa: E402

MODELS = ["smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"]
# Context, sequences at once, tokens of each that are generated.
SHAPES = [
    (64, 1, 8), (512, 1, 64), (2048, 1, 8), (6000, 1, 8),
    (256, 4, 32), (1024, 4, 8), (256, 12, 16), (1500, 2, 128),
]
ANSWER = {"temperature": 1.0, "seed": 1}


def post(server, body):
    request = urllib.request.Request(
        server.url + "/v1/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=1200) as reply:
        return json.loads(reply.read())["usage"]


def drive(server, vocabulary, context, batch, answer):
    draw = random.Random(context * 1000 + batch)

    def one(prompt):
        return post(server, {"model": "default", "prompt": prompt,
                             "max_tokens": answer, **ANSWER})

    prompts = [[draw.randrange(100, vocabulary - 1000)
                for _ in range(context - answer)] for _ in range(batch)]
    with concurrent.futures.ThreadPoolExecutor(batch) as pool:
        return list(pool.map(one, prompts))


def measure(model, shape, threads):
    context, batch, answer = shape
    server = conftest.Server(
        model, "--threads", str(threads), "--parallel", str(max(batch, 1)))
    try:
        worker = worker_of(server)
        plan = server.get(f"/v1/memory/plan?ctx={context}&batch={batch}")
        card = server.get("/v1/models")["data"][0]
        mapped = memory(worker, "RssFile")
        usage = drive(server, card["vocab_size"], context, batch, answer)
        mapped = max(memory(worker, "RssFile") - mapped, 0)
        peak = peak_of(server)
        kept = server.get("/v1/cache/stats")["bytes"]
    finally:
        server.stop()
    measured = peak - mapped
    planned = plan["total_bytes"] - plan["items"]["mapped_weights"]
    return {
        "model": model, "ctx": context, "batch": batch, "generated": answer,
        "planned": planned, "measured": measured,
        "error": planned / measured - 1,
        "peak_rss": peak, "plan_total": plan["total_bytes"],
        "within": peak <= plan["total_bytes"] + plan["reserve_bytes"],
        "items": plan["items"],
        "states_kept": kept,
        "tokens": sum(u["total_tokens"] for u in usage),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="two per model")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tolerance", type=float, default=0.05)
    args = parser.parse_args()
    shapes = SHAPES[1:6:3] if args.quick else SHAPES
    rows = []
    if not args.json:
        print(f"{'model':20} {'ctx':>6} {'batch':>5} {'planned':>9} "
              f"{'measured':>9} {'error':>7} {'peak':>9} within")
    for model in args.models.split(","):
        for shape in shapes:
            row = measure(model, shape, args.threads)
            rows.append(row)
            if not args.json:
                print(f"{model:20} {row['ctx']:6} {row['batch']:5} "
                      f"{row['planned'] / 2**20:8.1f}M "
                      f"{row['measured'] / 2**20:8.1f}M "
                      f"{row['error']:+7.1%} {row['peak_rss'] / 2**20:8.1f}M "
                      f"{'yes' if row['within'] else 'NO'}", flush=True)
    worst = max(abs(row["error"]) for row in rows)
    good = worst < args.tolerance and all(row["within"] for row in rows)
    if args.json:
        print(json.dumps({"worst_error": worst, "shapes": rows}, indent=1))
    else:
        print(f"{len(rows)} shapes, largest error {worst:.1%}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
