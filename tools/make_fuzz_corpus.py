"""Writes the seeds of tests/fuzz/corpus: small valid files of every type, and
broken ones named after what is wrong. Deterministic; run from the root."""

import json
import pathlib
import struct

ROOT = pathlib.Path("tests/fuzz/corpus")
# GGUF type number -> (elements of a block, bytes of a block)
TYPES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22),
         7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
         12: (256, 144), 13: (256, 176), 14: (256, 210), 24: (1, 1),
         25: (1, 2), 26: (1, 4), 27: (1, 8), 30: (1, 2), 39: (32, 17)}


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def value(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def array(key, kind, items):
    return value(key, 9, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def tensor(name, dims, kind, offset):
    return (text(name) + struct.pack("<I", len(dims))
            + struct.pack(f"<{len(dims)}Q", *dims)
            + struct.pack("<IQ", kind, offset))


def gguf(values, tensors, data=b"", version=3, counts=None):
    n, v = counts or (len(tensors), len(values))
    head = struct.pack("<IIQQ", 0x46554747, version, n, v)
    head += b"".join(values) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def all_values():
    ids = struct.pack("<I", 1)
    return [
        value("general.architecture", 8, text("toy")),
        value("general.alignment", 4, struct.pack("<I", 32)),
        value("u8", 0, b"\1"), value("i8", 1, b"\xff"),
        value("u16", 2, b"\1\0"), value("i16", 3, b"\1\0"),
        value("i32", 5, ids), value("f32", 6, struct.pack("<f", 1.5)),
        value("bool", 7, b"\1"), value("u64", 10, struct.pack("<Q", 7)),
        value("i64", 11, struct.pack("<q", -7)),
        value("f64", 12, struct.pack("<d", 0.25)),
        array("tokenizer.ggml.tokens", 8, [text("a"), text("</s>")]),
        array("tokenizer.ggml.scores", 6, [struct.pack("<f", -1)] * 2),
        array("tokenizer.ggml.token_type", 5, [ids, struct.pack("<I", 3)]),
        array("tokenizer.ggml.merges", 8, [text("a b")]),
        value("tokenizer.ggml.eos_token_id", 4, ids),
        value("tokenizer.ggml.model", 8, text("toy")),
        array("empty", 0, []),
    ]


def gguf_files():
    tensors, data = [], b""
    for kind, (elements, size) in TYPES.items():
        tensors.append(tensor(f"t{kind}", (elements, 2), kind, len(data)))
        data += bytes((kind * 7 + i) % 256 for i in range(2 * size))
        data += b"\0" * (-len(data) % 32)
    full = gguf(all_values(), tensors, data)
    one = lambda *a: gguf([], [tensor("t", *a)], b"\0" * 64)
    return {
        "valid": full, "valid_v2": gguf([], [], version=2),
        "valid_one": one((4, 2), 0, 0),
        "cut_in_data": full[:-40], "cut_in_infos": full[:900],
        "cut_in_values": full[:200], "cut_in_header": full[:20],
        "empty": b"", "magic": b"GGML" + full[4:],
        "version": gguf([], [], version=9),
        "many_values": gguf([], [], counts=(0, 2**63)),
        "many_tensors": gguf([], [], counts=(2**60, 0)),
        "string_length": gguf([struct.pack("<Q", 2**64 - 1)], []),
        "array_length": gguf(
            [value("k", 9, struct.pack("<IQ", 12, 2**61))], []),
        "string_array_length": gguf(
            [value("k", 9, struct.pack("<IQ", 8, 2**40))], []),
        "nested_array": gguf([array("k", 9, [struct.pack("<IQ", 9, 1)] * 9)],
                             []),
        "value_type": gguf([value("k", 77, b"\0" * 8)], []),
        "twin_keys": gguf([value("k", 0, b"\1")] * 2, []),
        "alignment_zero": gguf(
            [value("general.alignment", 4, b"\0\0\0\0")], []),
        "dims_overflow": one((2**32, 2**32, 2**32, 2**32), 0, 0),
        "dims_zero": one((0, 3), 0, 0), "dims_five": one((1,) * 5, 0, 0),
        "block": one((31,), 2, 0), "offset": one((4,), 0, 2**64 - 32),
        "offset_unaligned": one((4,), 0, 3), "type": one((256,), 23, 0),
        "overlap": gguf([], [tensor("a", (16,), 0, 0),
                             tensor("b", (16,), 0, 32)], b"\0" * 96),
        "twin_tensors": gguf([], [tensor("a", (1,), 0, 0)] * 2, b"\0" * 64),
    }


def safetensors(header, data=b""):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def safetensors_files():
    sizes = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1, "I16": 2, "I32": 4,
             "I64": 8, "U8": 1, "U16": 2, "U32": 4, "U64": 8, "BOOL": 1}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for dtype, size in sizes.items():
        header[dtype.lower()] = entry(dtype, (3, 1), (at, at + 3 * size))
        at += 3 * size
    full = safetensors(header, bytes(range(at)))
    four = b"\0" * 4
    return {
        "valid": full, "valid_one": safetensors({"t": entry()}, four),
        "valid_empty": safetensors({}),
        "empty": b"", "cut_in_size": full[:5], "cut_in_header": full[:99],
        "cut_in_data": full[:-7],
        "size": b"\xff" * 8 + full[8:], "size_zero": b"\0" * 8 + full[8:],
        "not_json": safetensors(b"{'t': 1}"), "array": safetensors([1]),
        "deep": safetensors(b"[" * 4000),
        "not_utf8": safetensors(b'{"\xff":1}'),
        "entry": safetensors({"t": 3}), "metadata": safetensors(
            {"__metadata__": {"a": [1]}}),
        "dtype": safetensors({"t": entry("F8_E5M2", (4,))}, four),
        "dtype_number": safetensors({"t": entry(5)}, four),
        "shape_negative": safetensors({"t": entry(shape=(-1,))}, four),
        "shape_float": safetensors({"t": entry(shape=(1.0,))}, four),
        "shape_overflow": safetensors({"t": entry(shape=(2**63, 2))}, four),
        "range_backwards": safetensors({"t": entry(offsets=(4, 0))}, four),
        "range_outside": safetensors({"t": entry(offsets=(4, 8))}, four),
        "range_short": safetensors({"t": entry(offsets=(0,))}, four),
        "overlap": safetensors({"a": entry(), "b": entry()}, four * 2),
        "hole": safetensors({"t": entry(offsets=(4, 8))}, four * 2),
        "tail": safetensors({"t": entry()}, four * 2),
    }


for name, files in ("gguf", gguf_files()), ("safetensors", safetensors_files()):
    (ROOT / name).mkdir(parents=True, exist_ok=True)
    for stem, data in files.items():
        (ROOT / name / stem).write_bytes(data)
