#!/usr/bin/env python3
"""Models of real shapes with random weights, in MLX's format, to measure with.

    python3 tools/gpu_models.py NAME FOLDER [--bits 4] [--layers N]
NAME is one of qwen3-8b, qwen3.5-9b, qwen3.5-35b-a3b. One block of random codes
serves all matrices, so writing takes as long as the disk does. No tokenizer:
`rapid-mlx bench` needs none. Needs numpy.
"""

import argparse
import json
import pathlib
import struct

import numpy as np

GROUP = 64
SHAPES = {
    "qwen3-8b": dict(
        model_type="qwen3", architectures=["Qwen3ForCausalLM"],
        hidden_size=4096, intermediate_size=12288, num_hidden_layers=36,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        vocab_size=151936, max_position_embeddings=40960,
        rope_theta=1000000, rms_norm_eps=1e-6, tie_word_embeddings=False),
    "qwen3.5-9b": dict(
        model_type="qwen3_5", architectures=["Qwen3_5ForCausalLM"],
        hidden_size=4096, intermediate_size=12288, num_hidden_layers=32,
        num_attention_heads=16, num_key_value_heads=4, head_dim=256,
        vocab_size=248320, max_position_embeddings=40960,
        linear_conv_kernel_dim=4, linear_key_head_dim=128,
        linear_value_head_dim=128, linear_num_key_heads=16,
        linear_num_value_heads=32, full_attention_interval=4,
        partial_rotary_factor=0.25, rope_theta=10000000,
        rms_norm_eps=1e-6, tie_word_embeddings=False),
    "qwen3.5-35b-a3b": dict(
        model_type="qwen3_5_moe", architectures=["Qwen3_5MoeForCausalLM"],
        hidden_size=2048, num_hidden_layers=40, intermediate_size=512,
        num_attention_heads=16, num_key_value_heads=2, head_dim=256,
        vocab_size=248320, max_position_embeddings=40960,
        linear_conv_kernel_dim=4, linear_key_head_dim=128,
        linear_value_head_dim=128, linear_num_key_heads=16,
        linear_num_value_heads=32, full_attention_interval=4,
        partial_rotary_factor=0.25, rope_theta=10000000,
        moe_intermediate_size=512, shared_expert_intermediate_size=512,
        num_experts=256, num_experts_per_tok=8,
        rms_norm_eps=1e-6, tie_word_embeddings=False),
}


class Writer:
    """Tensors of one safetensors file, laid out first and written then."""

    def __init__(self, bits):
        self.bits = bits
        self.parts = []
        rng = np.random.default_rng(7)
        self.codes = rng.integers(0, 256, 64 << 20, dtype=np.uint8).tobytes()

    def add(self, name, dtype, shape, data):
        self.parts.append((name, dtype, list(shape), data))

    def floats(self, name, shape, low, high):
        rng = np.random.default_rng(len(self.parts))
        values = rng.uniform(low, high, shape).astype(np.float32)
        self.add(name, "F32", shape, values.tobytes())

    def matrix(self, name, *shape):
        *rows, cols = shape
        self.add(name + ".weight", "U32", [*rows, cols * self.bits // 32], None)
        groups = int(np.prod(rows)) * cols // GROUP
        top = (1 << self.bits) - 1
        scale = np.float32(3.0 / (cols ** 0.5) / top)
        bias = -scale * top / 2
        for what, value in [("scales", scale), ("biases", bias)]:
            brain = (np.float32(value).view(np.uint32) >> 16).astype(np.uint16)
            data = np.full(groups, brain).tobytes()
            self.add(f"{name}.{what}", "BF16", [*rows, cols // GROUP], data)

    def write(self, path):
        sizes = {"F32": 4, "U32": 4, "BF16": 2}
        header, at = {}, 0
        for name, dtype, shape, _ in self.parts:
            end = at + int(np.prod(shape)) * sizes[dtype]
            header[name] = dict(dtype=dtype, shape=shape, data_offsets=[at, end])
            at = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name, dtype, shape, data in self.parts:
                left = int(np.prod(shape)) * sizes[dtype]
                while data is None and left > 0:
                    left -= out.write(self.codes[:left])
                if data is not None:
                    out.write(data)


def attention(w, at, c, gated):
    hidden, dim = c["hidden_size"], c["head_dim"]
    q = c["num_attention_heads"] * dim
    kv = c["num_key_value_heads"] * dim
    w.matrix(f"{at}.q_proj", 2 * q if gated else q, hidden)
    w.matrix(f"{at}.k_proj", kv, hidden)
    w.matrix(f"{at}.v_proj", kv, hidden)
    w.matrix(f"{at}.o_proj", hidden, q)
    w.floats(f"{at}.q_norm.weight", [dim], 0.9, 1.1)
    w.floats(f"{at}.k_norm.weight", [dim], 0.9, 1.1)


def gated_delta(w, at, c):
    hidden = c["hidden_size"]
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    heads = c["linear_num_value_heads"]
    values = heads * c["linear_value_head_dim"]
    w.matrix(f"{at}.in_proj_qkv", 2 * keys + values, hidden)
    w.matrix(f"{at}.in_proj_z", values, hidden)
    w.matrix(f"{at}.in_proj_b", heads, hidden)
    w.matrix(f"{at}.in_proj_a", heads, hidden)
    w.matrix(f"{at}.out_proj", hidden, values)
    taps = c["linear_conv_kernel_dim"]
    w.floats(f"{at}.conv1d.weight", [2 * keys + values, taps, 1], -0.5, 0.5)
    w.floats(f"{at}.A_log", [heads], -1, 1)
    w.floats(f"{at}.dt_bias", [heads], -2, 0)
    w.floats(f"{at}.norm.weight", [c["linear_value_head_dim"]], 0.9, 1.1)


def mlp(w, at, hidden, inner):
    w.matrix(f"{at}.gate_proj", inner, hidden)
    w.matrix(f"{at}.up_proj", inner, hidden)
    w.matrix(f"{at}.down_proj", hidden, inner)


def experts(w, at, c):
    hidden, inner = c["hidden_size"], c["moe_intermediate_size"]
    count = c["num_experts"]
    w.matrix(f"{at}.gate", count, hidden)
    w.matrix(f"{at}.switch_mlp.gate_proj", count, inner, hidden)
    w.matrix(f"{at}.switch_mlp.up_proj", count, inner, hidden)
    w.matrix(f"{at}.switch_mlp.down_proj", count, hidden, inner)
    mlp(w, f"{at}.shared_expert", hidden, c["shared_expert_intermediate_size"])
    w.matrix(f"{at}.shared_expert_gate", 1, hidden)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--layers", type=int)
    args = parser.parse_args()
    config = dict(SHAPES[args.name], eos_token_id=1,
                  quantization=dict(group_size=GROUP, bits=args.bits))
    config["num_hidden_layers"] = args.layers or config["num_hidden_layers"]
    interval = config.get("full_attention_interval", 1)
    hidden = config["hidden_size"]
    w = Writer(args.bits)
    w.matrix("model.embed_tokens", config["vocab_size"], hidden)
    w.matrix("lm_head", config["vocab_size"], hidden)
    w.floats("model.norm.weight", [hidden], 0.9, 1.1)
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}"
        w.floats(f"{at}.input_layernorm.weight", [hidden], 0.9, 1.1)
        w.floats(f"{at}.post_attention_layernorm.weight", [hidden], 0.9, 1.1)
        if (i + 1) % interval == 0:
            attention(w, f"{at}.self_attn", config, interval > 1)
        else:
            gated_delta(w, f"{at}.linear_attn", config)
        if "num_experts" in config:
            experts(w, f"{at}.mlp", config)
        else:
            mlp(w, f"{at}.mlp", hidden, config["intermediate_size"])
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "config.json").write_text(json.dumps(config, indent=1))
    (args.folder / "tokenizer.json").write_text("{}\n")
    w.write(args.folder / "model.safetensors")


if __name__ == "__main__":
    main()
