#!/usr/bin/env python3
"""Compares token ids with Hugging Face's over the models' vocabularies.

  python tools/text_parity.py --models FOLDER --program build/release/bin/text_lines
"""
import argparse
import json
import os
import subprocess

from text_reference import MODELS, TEXTS, random_texts, reference


class Lines:
    """The test program of tests/parity/text_main.cpp."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **request):
        line = json.dumps(request, ensure_ascii=False) + "\n"
        self.process.stdin.write(line.encode("utf-8", "surrogatepass"))
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(lines, path, count):
    opened = lines.ask(open=path)
    print(os.path.basename(path), opened)
    theirs = reference(path)
    texts = TEXTS + random_texts(count)
    ids_equal = decodes_equal = 0
    for text in texts:
        expected = theirs.encode(text, add_special_tokens=False).ids
        got = lines.ask(encode=text)["ids"]
        ids_equal += got == expected
        if got != expected:
            print("  ids differ:", ascii(text)[:80], expected[:12], got[:12])
        decoded = lines.ask(decode=expected)["text"]
        wanted = theirs.decode(expected, skip_special_tokens=False)
        decodes_equal += decoded == wanted
        if decoded != wanted:
            print("  decode differs:", ascii(wanted)[:80], ascii(decoded)[:80])
    print(f"  {ids_equal}/{len(texts)} ids equal, "
          f"{decodes_equal}/{len(texts)} decodes equal")
    sample = ("The quick brown fox, def f(x): return 12 * x\n" * 100)[:4096]
    took = sum(lines.ask(encode=sample)["ms"] for _ in range(50))
    print(f"  {50 * len(sample) / 1e3 / took:.1f} MB/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    lines = Lines(args.program)
    for name in MODELS:
        compare(lines, os.path.join(args.models, name + ".gguf"), args.count)


if __name__ == "__main__":
    main()
