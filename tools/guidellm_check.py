#!/usr/bin/env python3
"""guidellm against a server: its own load of made-up prompts over
/v1/chat/completions, streamed, one after the other and then several at once.
Every request must come to its end, with as many tokens as were asked for. The
tokenizer is made of the model's file, so that nothing is fetched.

  tools/guidellm_check.py [--model NAME] [--requests N] [--json]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import own_python
import serving
from hf_tokenizer import file_of, same_ids, save_tokenizer

PACKAGES = ["guidellm==0.8.1", "transformers==5.24.0", "gguf==0.19.0"]
PROMPT, OUTPUT = 64, 16
PROFILES = {"synchronous": "kind=synchronous",
            "concurrent": "kind=concurrent,streams=4"}


def load(server, folder, profile, count):
    """What guidellm wrote of a run."""
    report = folder / f"{profile}.json"
    command = [
        str(pathlib.Path(sys.prefix) / "bin/guidellm"), "run",
        "--backend", f"kind=openai_http,target={server.url},model=default",
        "--profile", PROFILES[profile],
        "--constraint", f"kind=max_requests,count={count}",
        "--tokenizer",
        f"kind=huggingface_auto,model={folder / 'tokenizer'}",
        "--data", f"kind=synthetic_text,prompt_tokens={PROMPT},"
                  f"output_tokens={OUTPUT}",
        "--output", f"kind=json,path={report}",
        "--disable-console-interactive"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0 or not report.exists():
        raise SystemExit(f"error: guidellm ended with {done.returncode}\n"
                         f"{done.stdout[-1000:]}{done.stderr[-3000:]}")
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    return benchmark


def row_of(profile, benchmark):
    metrics = benchmark["metrics"]

    def median(name):
        return metrics[name]["successful"]["median"]

    totals = metrics["request_totals"]
    return {"profile": profile, "successful": totals["successful"],
            "errored": totals["errored"], "incomplete": totals["incomplete"],
            "output_tokens": median("output_token_count"),
            "ttft_ms": round(median("time_to_first_token_ms"), 1),
            "itl_ms": round(median("inter_token_latency_ms"), 1)}


def faults(row, count):
    out = []
    if (row["successful"], row["errored"]) != (count, 0):
        out.append(f"{row['profile']}: {row['successful']} of {count} requests "
                   f"were answered, {row['errored']} failed")
    if row["output_tokens"] != OUTPUT:
        out.append(f"{row['profile']}: {row['output_tokens']} tokens came of "
                   f"{OUTPUT}")
    return out


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--requests", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    own_python.run_in("guidellm", PACKAGES)
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = serving.Server(options.model, "--disk-cache", "0")
        try:
            tokenizer = save_tokenizer(
                file_of(options.model), folder / "tokenizer")
            same_ids(server, tokenizer, ["Name three colours.", "a  b\n1234"])
            rows = [row_of(profile, load(server, folder, profile,
                                         options.requests))
                    for profile in PROFILES]
        finally:
            server.stop()
    if options.json:
        print(json.dumps(rows))
    else:
        serving.table([list(row.values()) for row in rows], list(rows[0]))
    wrong = [fault for row in rows for fault in faults(row, options.requests)]
    if wrong:
        raise SystemExit("error: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
