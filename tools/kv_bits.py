#!/usr/bin/env python3
"""What keys and values kept as codes of 8 or 4 bits do to the logits.

  .deps/test/bin/python tools/kv_bits.py MODEL.gguf... [--tokens 512]

Teacher-forced logits of the repository's own text: the fast path with --kv-bits
8 and 4 against the same path with float16. Mean and max KL in nats, top-1
agreement. Needs `make build` (parity_logits, text_lines).
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/parity"))
sys.dont_write_bytecode = True
from compare_llama import compare, tokens_of  # noqa: E402


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path,
                        default=ROOT / "build/release/bin")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.ids = None
    print(f"{'MODEL':20}{'KV BITS':>8}{'MEAN KL':>12}{'MAX KL':>12}"
          f"{'TOP-1':>9}")
    for model in args.models:
        ids = tokens_of(args, model)
        with tempfile.NamedTemporaryFile() as f:
            f.write(np.array([1, len(ids)], np.int32).tobytes() +
                    ids.tobytes())
            f.flush()
            fast = [args.bin / "parity_logits", model, f.name, "-", "--fast",
                    "--shape", "--threads", args.threads]
            found = compare(fast, {bits: [*fast, "--kv-bits", bits]
                                   for bits in (8, 4)})
        for bits, value in found.items():
            print(f"{model.stem[:19]:20}{bits:>8}{value['mean_kl']:>12.4f}"
                  f"{value['max_kl']:>12.4f}{value['top1']:>9.2%}", flush=True)


if __name__ == "__main__":
    main()
