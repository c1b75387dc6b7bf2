#!/usr/bin/env python3
"""What MLX-LM's converter makes of tests/parity/fixtures, for
tests/parity/engine_convert_test.cpp: writes tests/data/convert_goldens.json with
the SHA-256 of every tensor and the quantization object.

Needs mlx-lm in one Python:  python tools/make_convert_goldens.py
`--against PROGRAM` runs `rapid-mlx convert` on the same cases, too, and
compares every tensor's bytes.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import tempfile

from mlx_lm import utils
from mlx_lm.convert import mixed_quant_predicate_builder

ROOT = pathlib.Path(__file__).parent.parent
FIXTURES = ROOT / "tests/parity/fixtures"
OUT = ROOT / "tests/data/convert_goldens.json"
CASES = [
    ("qwen2_bf16", dict(mode="affine", bits=4, group_size=32)),
    ("llama_f32", dict(mode="affine", bits=8, group_size=64)),
    ("gemma3_f16", dict(mode="affine", bits=3, group_size=32)),
    ("phi3_longrope", dict(mode="affine", bits=6, group_size=32)),
    ("qwen2_bf16", dict(mode="mxfp4")),
    ("llama_f32", dict(mode="nvfp4")),
    ("gemma2_f16", dict(mode="mxfp8")),
    ("smollm3_bf16", dict(mode="affine", group_size=32,
                          predicate="mixed_3_6")),
    ("olmo2_bf16", dict(mode="affine", group_size=32,
                        predicate="mixed_2_6")),
    ("qwen3_moe_f16", dict(mode="affine", bits=4, group_size=32)),
    ("qwen3_moe_f16", dict(mode="mxfp4")),
    ("glm4_moe_bf16", dict(mode="affine", bits=4, group_size=32)),
    ("deepseek_v3_direct", dict(mode="affine", bits=8, group_size=32)),
    ("minimax_m2_bf16", dict(mode="affine", bits=4, group_size=32)),
    ("gemma4_experts_bf16", dict(mode="affine", bits=4, group_size=32)),
    ("gemma4_bf16", dict(mode="affine", bits=4, group_size=32)),
    ("nemotron_h", dict(mode="affine", bits=4, group_size=32)),
    ("qwen3_5", dict(mode="affine", bits=4, group_size=32)),
    ("lfm2", dict(mode="affine", bits=4, group_size=32)),
    # Too narrow for the 8 bits of their routers: names and forms alone.
    ("granitemoehybrid_experts", dict()),
    ("lfm2_moe", dict()),
    ("qwen3_next", dict()),
    ("qwen3_5_moe", dict()),
]
# Keys that MLX-LM wants and transformers' configurations leave out.
FACTS = {
    "qwen3_moe_f16": dict(num_experts=4, mlp_only_layers=[]),
    "minimax_m2_bf16": dict(shared_intermediate_size=0, rotary_dim=8),
    "gemma4_experts_bf16": dict(
        global_head_dim=32, num_global_key_value_heads=1),
    "gemma4_bf16": dict(global_head_dim=32),
    "nemotron_h": dict(attention_bias=False, mamba_proj_bias=True,
                       n_shared_experts=1),
    "qwen3_5": dict(full_attention_interval=2),
    "qwen3_5_moe": dict(full_attention_interval=2),
    "qwen3_next": dict(full_attention_interval=2, decoder_sparse_step=1),
    "lfm2": dict(block_dim=32, block_auto_adjust_ff_dim=True),
    "granitemoehybrid_experts": dict(
        attention_bias=False, mamba_d_head=16, mamba_proj_bias=False,
        mamba_conv_bias=True),
}


def older(config, facts):
    """The configuration in the form that MLX-LM reads."""
    config = {**config, **facts}
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": None}
        config.setdefault("partial_rotary_factor",
                          rope.get("partial_rotary_factor", 1.0))
    if "text_config" in config:
        config["text_config"] = older(config["text_config"], facts)
    return config


def read(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            yield name, {"dtype": entry["dtype"], "shape": entry["shape"],
                         "sha256": hashlib.sha256(
                             data[8 + size + begin:8 + size + end])
                         .hexdigest()}


def tensors_of(folder):
    return {name: entry for path in sorted(folder.glob("*.safetensors"))
            for name, entry in read(path)}


def by_mlx_lm(fixture, options, folder):
    known = json.loads((FIXTURES / fixture / "config.json").read_text())
    model, config = utils.load_model(
        FIXTURES / fixture, lazy=True,
        model_config=older(known, FACTS.get(fixture, {})))
    config = utils.load_config(FIXTURES / fixture)
    predicate = options.get("predicate")
    group = options.get("group_size")
    if predicate:
        predicate = mixed_quant_predicate_builder(predicate, model, group)
    if options:
        model, config = utils.quantize_model(
            model, config, group, options.get("bits"), mode=options["mode"],
            quant_predicate=predicate)
    utils.save_model(folder, model)
    utils.save_config(config, folder / "config.json")
    return json.loads((folder / "config.json").read_text())


def by_us(program, fixture, options, folder):
    names = {"bits": "--bits", "group_size": "--group", "mode": "--mode",
             "predicate": "--predicate"}
    flags = [part for key, value in options.items()
             for part in (names[key], str(value))] or ["--plain"]
    subprocess.run([program, "convert", str(FIXTURES / fixture), str(folder),
                    *flags], check=True)
    return json.loads((folder / "config.json").read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", metavar="PROGRAM")
    program = parser.parse_args().against
    out = []
    for fixture, options in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            theirs = pathlib.Path(scratch) / "theirs"
            config = by_mlx_lm(fixture, options, theirs)
            tensors = tensors_of(theirs)
            out.append(dict(
                fixture=fixture, quantization=config.get("quantization"),
                tensors={n: t["sha256"] for n, t in sorted(tensors.items())},
                **options))
            if program:
                ours = pathlib.Path(scratch) / "ours"
                mine = by_us(program, fixture, options, ours)
                assert mine == config, (fixture, options)
                assert tensors_of(ours) == tensors, (fixture, options)
            print(f"{fixture} {options}: {len(tensors)} tensors")
    OUT.write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
