"""Writes tests/data/hub/dequantise/<TYPE>.bin from PyPI's gguf package.

Each file: the block bytes of 64 blocks (random, with extreme scales, no NaN
and no infinity), then the sha256 of the float32 values that gguf makes of
them. Run from the repository root: python3 tools/make_hub_fixtures.py
"""

import hashlib
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

BLOCKS = 64
# Byte offsets of the float16 fields of a block.
HALVES = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
    "Q5_K": [0, 2], "Q6_K": [208], "BF16": [], "F32": [], "MXFP4": [],
}
# Largest, smallest normal, largest and smallest subnormal, both zeros.
EXTREMES = [0x7BFF, 0xFBFF, 0x0400, 0x03FF, 0x8001, 0x0000, 0x8000, 0x3C00]


def blocks_of(name, rng):
    size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    data = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for offset in HALVES[name]:
        halves = data[:, offset:offset + 2].copy().view(np.uint16)
        infinite = (halves & 0x7C00) == 0x7C00
        halves[infinite] &= 0xBFFF
        halves[:len(EXTREMES), 0] = np.roll(EXTREMES, offset)
        data[:, offset:offset + 2] = halves.view(np.uint8)
    if name == "BF16":
        data[(data[:, 1] & 0x7F) == 0x7F, 1] ^= 0x40
    if name == "F32":
        data[(data[:, 3] & 0x7F) == 0x7F, 3] ^= 0x40
    if name == "MXFP4":
        data[:4, 0] = [0, 1, 2, 254]
    return data


def main():
    folder = pathlib.Path("tests/data/hub/dequantise")
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(HALVES):
        data = blocks_of(name, np.random.default_rng(seed))
        with np.errstate(over="ignore"):
            values = dequantize(data, GGMLQuantizationType[name])
        assert not np.isnan(values).any(), name
        digest = hashlib.sha256(values.astype("<f4").tobytes()).digest()
        (folder / f"{name}.bin").write_bytes(data.tobytes() + digest)


if __name__ == "__main__":
    main()
