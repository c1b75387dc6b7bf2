#!/usr/bin/env python3
"""How far fast arithmetic moves the logits: ours and llama.cpp's.

    compare_llama.py --bin build/release/bin --llama-logits PROGRAM \
        [--tokens 1024] [--flash auto off on] [--ids FILE] MODEL.gguf...

Teacher-forced logits of the same tokens from our exact path (float32), our
fast path and llama.cpp, streamed row by row. Prints mean and max
KL(exact || x) in nats and top-1 agreement with exact; "decode" rows are the
first tokens again, fed one by one. Exits 1 when our mean KL, fed in chunks, is
over the smallest of llama.cpp's. --ids: whitespace-separated token ids.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def text():
    """The README and the docs behind it, over and over."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(path.read_text() for path in files)


class Stream:
    """One program that writes [rows, columns] and then rows of logits."""

    def __init__(self, command):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        self.rows, self.columns = np.frombuffer(self.take(8), np.int32)

    def take(self, size):
        data = self.process.stdout.read(size)
        if len(data) != size:
            raise SystemExit(f"error: {self.command[0]} ended early "
                             f"(exit status {self.process.wait()})")
        return data

    def row(self):
        return np.frombuffer(self.take(int(self.columns) * 4), np.float32)

    def close(self):
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise SystemExit(f"error: {self.command[0]} failed "
                             f"(exit status {self.process.returncode})")


def log_softmax(row):
    row = row.astype(np.float64)
    row -= row.max()
    return row - np.log(np.exp(row).sum())


class Distance:
    """KL(exact || x) and top-1 agreement, summed over rows."""

    def __init__(self):
        self.kl, self.same = [], 0

    def add(self, exact, p, best, other):
        q = log_softmax(other)
        # A row of equal logits must not come out below zero by rounding.
        self.kl.append(max(0.0, float((p * (exact - q)).sum())))
        self.same += int(other.argmax()) == best

    def result(self):
        return {"tokens": len(self.kl), "mean_kl": float(np.mean(self.kl)),
                "max_kl": float(np.max(self.kl)),
                "top1": self.same / len(self.kl)}


def compare(exact_command, commands):
    """All programs at once, a row of each in turn: nothing is stored."""
    exact = Stream(exact_command)
    others = {name: Stream(command) for name, command in commands.items()}
    distances = {name: Distance() for name in commands}
    for name, stream in others.items():
        if (stream.rows, stream.columns) != (exact.rows, exact.columns):
            raise SystemExit(f"error: {name} writes {stream.columns} logits, "
                             f"the exact path {exact.columns}")
    for _ in range(exact.rows):
        row = exact.row()
        want = log_softmax(row)
        p, best = np.exp(want), int(row.argmax())
        for name, stream in others.items():
            distances[name].add(want, p, best, stream.row())
    for stream in [exact, *others.values()]:
        stream.close()
    return {name: distance.result() for name, distance in distances.items()}


def tokens_of(args, model):
    """Our tokenizer's ids, with its BOS where the model wants one."""
    if args.ids:
        ids = [int(word) for word in args.ids.read_text().split()]
    else:
        words = text()
        requests = [{"open": str(model)},
                    {"encode": words * (1 + args.tokens * 8 // len(words)),
                     "add_special": True}]
        done = subprocess.run(
            [args.bin / "text_lines"], text=True, capture_output=True,
            input="".join(json.dumps(r) + "\n" for r in requests))
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if len(answers) != 2 or "ids" not in answers[1]:
            raise SystemExit(f"error: no tokens: {done.stdout}{done.stderr}")
        ids = answers[1]["ids"]
    if len(ids) < args.tokens:
        raise SystemExit(f"error: only {len(ids)} tokens of {args.tokens}")
    return np.array(ids[:args.tokens], np.int32)


def measure(args, model, ids, chunk, flashes):
    ours = [args.bin / "parity_logits", model]
    rest = ["--chunk", chunk, "--threads", args.threads]
    with tempfile.NamedTemporaryFile() as f:
        f.write(np.array([1, len(ids)], np.int32).tobytes() + ids.tobytes())
        f.flush()
        commands = {"ours": [*ours, f.name, "-", "--fast", "--shape", *rest]}
        for flash in flashes:
            commands[f"llama.cpp -fa {flash}"] = [
                args.llama_logits, model, f.name, "-", "--flash", flash, *rest]
        return compare(
            [*ours, f.name, "-", "--exact", "--shape", "--chunk", args.chunk,
             "--threads", args.threads], commands)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--llama-logits", type=pathlib.Path, required=True)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--decode", type=int, default=64,
                        help="tokens fed one by one; 0 = none")
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--flash", nargs="+", default=["auto"],
                        choices=["auto", "on", "off"])
    parser.add_argument("--ids", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="also write this")
    return parser.parse_args()


def main():
    args = arguments()
    report, worse = [], []
    print(f"{'MODEL':20}{'WHAT':28}{'TOKENS':>7}{'MEAN KL':>12}"
          f"{'MAX KL':>12}{'TOP-1':>9}")
    for model in args.models:
        ids = tokens_of(args, model)
        found = measure(args, model, ids, args.chunk, args.flash)
        if args.decode:
            short = measure(args, model, ids[:args.decode], 1, args.flash[:1])
            found.update({f"{k}, decode": v for k, v in short.items()})
        for name, value in found.items():
            print(f"{model.stem:20}{name:28}{value['tokens']:>7}"
                  f"{value['mean_kl']:>12.3e}{value['max_kl']:>12.3e}"
                  f"{value['top1']:>9.2%}", flush=True)
        report.append({"model": model.stem, "results": found})
        theirs = min(found[f"llama.cpp -fa {flash}"]["mean_kl"]
                     for flash in args.flash)
        if found["ours"]["mean_kl"] > theirs:
            worse.append(model.stem)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    if worse:
        print(f"FAILED: less exact than llama.cpp: {', '.join(worse)}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
