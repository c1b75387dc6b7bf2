#!/usr/bin/env python3
"""Tiny random checkpoints and their reference logits, for tests/unit/models_*.

Needs torch, transformers, safetensors, gguf, numpy and mlx in one Python:
    python tools/make_model_fixtures.py [--only NAME]
Each tests/parity/fixtures/<name>/ holds the model as users have it (config.json
and model.safetensors, or model.gguf), golden.json (the tokens) and golden.bin
(float32 logits [tokens, vocabulary] from transformers in float32, on the
weights exactly as the file's rounding or quantisation leaves them).
"""

import argparse
import json
import pathlib
import shutil

import gguf
import mlx.core as mx
import numpy as np
import torch
import transformers

OUT = pathlib.Path(__file__).parent.parent / "tests/parity/fixtures"
VOCAB, TOKENS = 96, 40
BASE = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=16, max_position_embeddings=512, eos_token_id=[1, 2],
            rms_norm_eps=1e-5)
WIDE = dict(hidden_size=128, intermediate_size=128, head_dim=32,
            num_hidden_layers=1)


def make(kind, **changes):
    options = {**BASE, **changes}
    torch.manual_seed(7)
    if kind == "llama":
        config = transformers.LlamaConfig(**options)
        model = transformers.LlamaForCausalLM(config)
    elif kind == "qwen2":
        options.pop("head_dim")
        config = transformers.Qwen2Config(**options)
        model = transformers.Qwen2ForCausalLM(config)
    else:
        config = transformers.Gemma3TextConfig(**options)
        model = transformers.Gemma3ForCausalLM(config)
    for name, p in model.named_parameters():
        noise = torch.randn_like(p)
        if name.endswith("norm.weight"):
            p.data = 0.2 * noise + (0.0 if kind == "gemma3" else 1.0)
        elif name.endswith("bias"):
            p.data = 0.3 * noise
        elif "embed_tokens" in name:
            p.data = noise * (0.15 if kind == "gemma3" else 0.5)
        else:
            p.data = noise * (1.5 / p.shape[-1] ** 0.5)
    return model.eval().float()


def state(model):
    tied = model.config.tie_word_embeddings
    return {n: t.detach().clone() for n, t in model.state_dict().items()
            if not (tied and n == "lm_head.weight")}


def write_golden(folder, model, values):
    missing, extra = model.load_state_dict(
        {n: t.float() for n, t in values.items()}, strict=False)
    assert not extra and set(missing) <= {"lm_head.weight"}, (missing, extra)
    ids = np.random.default_rng(3).integers(0, VOCAB, TOKENS)
    with torch.no_grad():
        logits = model(torch.tensor(ids[None])).logits[0].float().numpy()
    logits.tofile(folder / "golden.bin")
    (folder / "golden.json").write_text(
        json.dumps({"tokens": ids.tolist(), "vocabulary": VOCAB}) + "\n")


def write_folder(folder, model, tensors, changes):
    config = json.loads(model.config.to_json_string(use_diff=False))
    keep = ("model_type", "architectures", "rope_parameters", "rope_theta",
            "rope_scaling", "tie_word_embeddings", "sliding_window",
            "layer_types", "attention_bias", "mlp_bias", "use_sliding_window",
            "max_window_layers", "query_pre_attn_scalar", "hidden_act",
            "hidden_activation", "final_logit_softcapping",
            "attn_logit_softcapping", *BASE)
    config = {k: v for k, v in config.items() if k in keep} | changes
    config["model_type"] = model.config.model_type
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text("{}\n")
    mx.save_safetensors(str(folder / "model.safetensors"), tensors,
                        {"format": "mlx"})


def plain(folder, model, dtype, changes=None):
    torch_type, mlx_type = {
        "f32": (torch.float32, mx.float32), "f16": (torch.float16, mx.float16),
        "bf16": (torch.bfloat16, mx.bfloat16)}[dtype]
    values = {n: t.to(torch_type) for n, t in state(model).items()}
    write_folder(folder, model, {
        n: mx.array(t.float().numpy()).astype(mlx_type)
        for n, t in values.items()}, changes or {})
    write_golden(folder, model, values)


def quantised(folder, model, scheme, overrides=None):
    """overrides: module -> scheme or False."""
    overrides = overrides or {}
    tensors, values = {}, {}
    for name, tensor in state(model).items():
        w = mx.array(tensor.numpy()).astype(mx.bfloat16)
        module = name.removesuffix(".weight")
        use = overrides.get(module, scheme)
        if "norm" in name or name.endswith("bias") or not use:
            tensors[name] = w
        else:
            packed, scales, *biases = mx.quantize(w, **use)
            tensors[name] = packed
            tensors[module + ".scales"] = scales
            if biases:
                tensors[module + ".biases"] = biases[0]
                scales = scales.astype(mx.float32)
                biases = [biases[0].astype(mx.float32)]
            w = mx.dequantize(packed, scales, *biases, **use)
        values[name] = torch.from_numpy(np.array(w.astype(mx.float32)))
    write_folder(folder, model, tensors,
                 {"quantization": {**scheme, **overrides}})
    write_golden(folder, model, values)


def permute(w, heads):
    """Rows as GGUF keeps them for rotations of neighbouring pairs."""
    return (w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:])
            .swapaxes(1, 2).reshape(w.shape))


def as_gguf(folder, model, arch, type_of):
    c = model.config
    w = gguf.GGUFWriter(str(folder / "model.gguf"), arch)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_eos_token_id(1)
    if arch == "gemma3":
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
        w.add_sliding_window(c.sliding_window)
        w.add_rope_freq_base(1e6)
    else:
        w.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
        w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[arch.upper()], c.num_hidden_layers)
    values = {}
    for name, tensor in state(model).items():
        data = tensor.numpy()
        heads = {"q_proj": c.num_attention_heads,
                 "k_proj": c.num_key_value_heads}
        heads = heads.get(name.split(".")[-2]) if arch == "llama" else None
        norm = name.endswith("norm.weight")
        stored = permute(data, heads) if heads else data
        stored = stored + 1 if norm and arch == "gemma3" else stored
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        kind = gguf.GGMLQuantizationType.F32
        if stored.ndim == 2:
            kind = gguf.GGMLQuantizationType[type_of(target)]
        packed = gguf.quants.quantize(np.ascontiguousarray(stored), kind)
        back = gguf.quants.dequantize(packed, kind).reshape(stored.shape)
        w.add_tensor(target, packed, raw_dtype=kind)
        if heads:
            back = (back.reshape(heads, -1, 2, back.shape[-1])
                    .swapaxes(1, 2).reshape(back.shape))
        back = back - 1 if norm and arch == "gemma3" else back
        values[name] = torch.from_numpy(np.ascontiguousarray(back))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    write_golden(folder, model, values)


LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
GEMMA = dict(sliding_window=8, query_pre_attn_scalar=24,
             layer_types=["sliding_attention", "full_attention"])


def affine(bits, group):
    return dict(bits=bits, group_size=group, mode="affine")


MIXED = {"model.embed_tokens": affine(8, 32), "lm_head": False,
         "model.layers.0.mlp.down_proj": affine(6, 32)}
FIXTURES = {
    "llama_f32": lambda d: plain(
        d, make("llama", rope_parameters=LLAMA3, attention_bias=True,
                num_hidden_layers=1, intermediate_size=64), "f32"),
    "qwen2_bf16": lambda d: plain(
        d, make("qwen2", tie_word_embeddings=True, num_hidden_layers=1),
        "bf16"),
    "gemma3_f16": lambda d: plain(
        d, make("gemma3", final_logit_softcapping=9.0, **GEMMA), "f16"),
    "llama_affine2": lambda d: quantised(d, make("llama"), affine(2, 32)),
    "llama_affine3": lambda d: quantised(d, make("llama"), affine(3, 32)),
    "llama_affine4": lambda d: quantised(
        d, make("llama", **WIDE), affine(4, 128)),
    "llama_affine5": lambda d: quantised(d, make("llama"), affine(5, 32)),
    "qwen2_affine6": lambda d: quantised(
        d, make("qwen2", **{**WIDE, "intermediate_size": 64}),
        affine(6, 64)),
    "gemma3_affine8": lambda d: quantised(
        d, make("gemma3", **{**GEMMA, "intermediate_size": 64}),
        affine(8, 64)),
    "llama_mixed": lambda d: quantised(d, make("llama"), affine(4, 32), MIXED),
    "llama_mxfp4": lambda d: quantised(
        d, make("llama"), dict(bits=4, group_size=32, mode="mxfp4")),
    "qwen2_mxfp8": lambda d: quantised(
        d, make("qwen2"), dict(bits=8, group_size=32, mode="mxfp8")),
    "llama_nvfp4": lambda d: quantised(
        d, make("llama"), dict(bits=4, group_size=16, mode="nvfp4")),
    "llama_gguf": lambda d: as_gguf(
        d, make("llama"), "llama", lambda n: "Q8_0" if "embd" in n else
        "F16" if "ffn" in n else "Q4_0"),
    "qwen2_gguf": lambda d: as_gguf(
        d, make("qwen2", tie_word_embeddings=True), "qwen2",
        lambda n: "Q5_1" if "ffn" in n else "Q5_0"),
    "gemma3_gguf": lambda d: as_gguf(
        d, make("gemma3", num_hidden_layers=7, sliding_window=8,
                query_pre_attn_scalar=16, intermediate_size=32),
        "gemma3", lambda n: "Q8_0" if "ffn_down" in n else "Q4_1"),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    for name, write in FIXTURES.items():
        if parser.parse_args().only not in name:
            continue
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(folder)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(f"{name}: {size} bytes")


if __name__ == "__main__":
    main()
