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

import hybrid_delta
import hybrid_lfm2
import hybrid_mamba
import make_moe_fixtures
import make_stream_fixtures

OUT = pathlib.Path(__file__).parent.parent / "tests/parity/fixtures"
VOCAB, TOKENS = 96, 40
BASE = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=16, max_position_embeddings=512, eos_token_id=[1, 2],
            rms_norm_eps=1e-5)
WIDE = dict(hidden_size=128, intermediate_size=128, head_dim=32,
            num_hidden_layers=1)


def write_border(folder, model):
    """Longrope on the short side of its border, and an answer across it:
    border.bin has the logits of `short` and of each token of `answer`."""
    ids = json.loads((folder / "golden.json").read_text())["tokens"]
    short = ids[:model.config.original_max_position_embeddings]
    prompt = short[:-11]
    with torch.no_grad():
        rows = [model(torch.tensor([short])).logits[0]]
        made = model.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False,
            eos_token_id=None, output_logits=True,
            return_dict_in_generate=True)
    answer = made.sequences[0].tolist()[len(prompt):]
    rows += made.logits
    torch.cat(rows).float().numpy().tofile(folder / "border.bin")
    (folder / "border.json").write_text(json.dumps(
        {"short": short, "prompt": prompt, "answer": answer}) + "\n")


# kind -> transformers' names of its configuration and model
FAMILIES = {
    "llama": ("Llama", "Llama"), "qwen2": ("Qwen2", "Qwen2"),
    "gemma2": ("Gemma2", "Gemma2"), "gemma3": ("Gemma3Text", "Gemma3"),
    "gemma4": ("Gemma4Text", "Gemma4"),
    "gemma3n": ("Gemma3nText", "Gemma3n"),
    "gemma4_unified": ("Gemma4UnifiedText", "Gemma4Unified"), "phi3": ("Phi3", "Phi3"),
    "mistral": ("Mistral", "Mistral"),
    "ministral3": ("Ministral3", "Ministral3"),
    "smollm3": ("SmolLM3", "SmolLM3"), "olmo2": ("Olmo2", "Olmo2"),
    "seed_oss": ("SeedOss", "SeedOss"),
    "hunyuan_v1_dense": ("HunYuanDenseV1", "HunYuanDenseV1"),
    "ernie4_5": ("Ernie4_5", "Ernie4_5"),
}
PLUS_ONE = ("gemma2", "gemma3")  # norms stored less one
# config.json as transformers saves it, not a selection of its keys
NEW_FORM = {"gemma2", "gemma3n_text", "gemma4_text", "gemma4_unified_text", "phi3", "mistral",
            "ministral3", "smollm3", "olmo2", "seed_oss", "hunyuan_v1_dense",
            "ernie4_5"}


def make(kind, **changes):
    options = {**BASE, **changes}
    torch.manual_seed(7)
    if kind in ("qwen2", "phi3"):
        options.pop("head_dim")
    config_name, model_name = FAMILIES[kind]
    config = getattr(transformers, config_name + "Config")(**options)
    config._attn_implementation = "eager"
    model = getattr(transformers, model_name + "ForCausalLM")(config)
    for name, p in model.named_parameters():
        noise = torch.randn_like(p)
        if name.endswith("norm.weight"):
            p.data = 0.2 * noise + (0.0 if kind in PLUS_ONE else 1.0)
            if kind.startswith(("gemma3n", "gemma4")) and ("q_norm" in name or "k_norm" in name):
                p.data *= 0.4  # scores are not scaled: no hard choices
        elif name.endswith("bias"):
            p.data = 0.3 * noise
        elif name.endswith("scale"):  # of a router, of its experts
            p.data = 1 + 0.3 * noise
        elif "router.proj" in name:  # sure of its choice
            p.data = 4 * noise
        elif "embed_tokens" in name:
            p.data = noise * (0.15 if "gemma" in kind else 0.5)
        else:
            p.data = noise * (1.5 / p.shape[-1] ** 0.5)
    for name, b in model.named_buffers():
        if name.endswith("layer_scalar"):
            b.copy_(0.6 + 0.4 * torch.rand_like(b))
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


def longrope(folder):
    model = make("phi3", **LONGROPE, num_hidden_layers=2)
    plain(folder, model, "bf16")
    write_border(folder, model)


def write_folder(folder, model, tensors, changes):
    config = json.loads(model.config.to_json_string(use_diff=False))
    keep = ("model_type", "architectures", "rope_parameters", "rope_theta",
            "rope_scaling", "tie_word_embeddings", "sliding_window",
            "layer_types", "attention_bias", "mlp_bias", "use_sliding_window",
            "max_window_layers", "query_pre_attn_scalar", "hidden_act",
            "hidden_activation", "final_logit_softcapping",
            "attn_logit_softcapping", *BASE)
    if model.config.model_type in NEW_FORM:  # as save_pretrained writes it
        config = json.loads(model.config.to_json_string())
    else:
        config = {k: v for k, v in config.items() if k in keep}
    config |= changes
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


def mlx_names(module, kind, data):
    """Experts have names of their own, and their gates lie apart."""
    base, dot, last = module.rpartition("experts.")
    if not dot:
        return {f"{module}.{kind}": data}
    halves = {last: data}
    if last == "gate_up_proj":
        halves = dict(zip(("gate_proj", "up_proj"), mx.split(data, 2, -2)))
    return {f"{base}experts.switch_glu.{n}.{kind}": mx.contiguous(half)
            for n, half in halves.items()}


def quantised(folder, model, scheme, overrides=None):
    """overrides: module -> scheme or False."""
    overrides = overrides or {}
    tensors, values = {}, {}
    for name, tensor in state(model).items():
        w = mx.array(tensor.numpy()).astype(mx.bfloat16)
        module = name.removesuffix(".weight")
        use = overrides.get(module, scheme)
        # As mlx-lm: rows that are no whole groups stay as they are.
        if tensor.ndim < 2 or not use or tensor.shape[-1] % use["group_size"]:
            tensors[name] = w
        else:
            packed, scales, *biases = mx.quantize(w, **use)
            parts = {"weight": packed, "scales": scales}
            if biases:
                parts["biases"] = biases[0]
            for kind, part in parts.items():
                tensors |= mlx_names(module, kind, part)
            if biases:
                scales = scales.astype(mx.float32)
                biases = [biases[0].astype(mx.float32)]
            w = mx.dequantize(packed, scales, *biases, **use)
        values[name] = torch.from_numpy(np.array(w.astype(mx.float32)))
    write_folder(folder, model, tensors,
                 {"quantization": {**scheme, **overrides}})
    write_golden(folder, model, values)


def fp8(folder, model, block=128):
    """e4m3 with a scale per 128 x 128 block, as fp8 checkpoints are."""
    tensors, values = {}, {}
    for name, tensor in state(model).items():
        values[name] = tensor.to(torch.bfloat16).float()
        tensors[name] = mx.array(values[name].numpy()).astype(mx.bfloat16)
        if tensor.ndim < 2 or "embed" in name or "lm_head" in name:
            continue
        rows, cols = (-(-s // block) for s in tensor.shape)
        scales = torch.empty(rows, cols)
        out = torch.empty_like(tensor)
        for r in range(rows):
            for c in range(cols):
                at = (slice(r * block, (r + 1) * block),
                      slice(c * block, (c + 1) * block))
                scales[r, c] = tensor[at].abs().max() / 448
                out[at] = tensor[at] / scales[r, c]
        codes = out.to(torch.float8_e4m3fn)
        wide = scales.repeat_interleave(block, 0).repeat_interleave(block, 1)
        values[name] = codes.float() * wide[:out.shape[0], :out.shape[1]]
        tensors[name] = mx.array(codes.view(torch.uint8).numpy())
        tensors[name + "_scale_inv"] = mx.array(scales.numpy())
    write_folder(folder, model, tensors, {"quantization_config": {
        "quant_method": "fp8", "fmt": "e4m3",
        "weight_block_size": [block, block]}})
    path = folder / "model.safetensors"  # MLX writes these bytes as U8
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8:8 + size].replace(b'"U8"', b'"F8_E4M3"')
    path.write_bytes(len(header).to_bytes(8, "little") + header +
                     data[8 + size:])
    write_golden(folder, model, values)


def permute(w, heads):
    """Rows as GGUF keeps them for rotations of neighbouring pairs."""
    return (w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:])
            .swapaxes(1, 2).reshape(w.shape))


PERMUTED = ("llama", "smollm3", "mistral3")


def write_metadata(w, arch, c, changes):
    plain = {k: v for k, v in c.to_dict().items()}
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    if "feed_forward" not in changes:
        w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    if "head_count_kv" not in changes:
        w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_eos_token_id(1)
    if arch not in ("llama", "qwen2", "phi3", "gemma4"):
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
    if plain.get("sliding_window"):
        w.add_sliding_window(c.sliding_window)
    rope = plain.get("rope_parameters") or {}
    if arch not in ("phi3", "gemma3", "gemma4", "hunyuan-dense"):
        width = plain.get("head_dim") or c.hidden_size // c.num_attention_heads
        w.add_rope_dimension_count(width)
    if arch == "gemma3":
        w.add_rope_freq_base(1e6)
    elif "rope_theta" in rope and arch != "hunyuan-dense":
        w.add_rope_freq_base(rope["rope_theta"])
    for add in changes.values():
        add(w)


def gguf_phi3(model):
    c = model.config
    rope = c.rope_parameters
    head = c.hidden_size // c.num_attention_heads
    ratio = c.max_position_embeddings / c.original_max_position_embeddings
    factor = (1 + np.log(ratio) / np.log(c.original_max_position_embeddings))
    tensors = {f"rope_factors_{k}.weight": np.array(
        rope[k + "_factor"], np.float32) for k in ("long", "short")}

    def write(w):
        w.add_rope_dimension_count(int(head * rope["partial_rotary_factor"]))
        w.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
        w.add_rope_scaling_attn_factors(float(factor ** 0.5))
        for name, data in tensors.items():
            w.add_tensor(name, data)

    return {"rope": write}


def gguf_gemma4(model):
    c = model.config
    full = [t == "full_attention" for t in c.layer_types]
    layers = list(c.per_layer_config)
    wide = next(x.head_dim for x, f in zip(layers, full) if f)
    thin = next(x.head_dim for x, f in zip(layers, full) if not f)
    own = c.num_hidden_layers - c.num_kv_shared_layers
    inner = [c.intermediate_size *
             (2 if c.use_double_wide_mlp and i >= own else 1)
             for i in range(c.num_hidden_layers)]
    rope = c.rope_parameters["full_attention"]
    turned = int(wide * rope["partial_rotary_factor"] / 2)

    def write(w):
        w.add_feed_forward_length(inner)
        w.add_head_count_kv([x.num_key_value_heads for x in layers])
        w.add_shared_kv_layers(c.num_kv_shared_layers)
        w.add_embedding_length_per_layer_input(c.hidden_size_per_layer_input)
        w.add_sliding_window_pattern([not f for f in full])
        w.add_key_length(wide)
        w.add_value_length(wide)
        w.add_key_length_swa(thin)
        w.add_value_length_swa(thin)
        w.add_rope_dimension_count(wide)
        w.add_rope_freq_base(rope["rope_theta"])
        w.add_rope_freq_base_swa(
            c.rope_parameters["sliding_attention"]["rope_theta"])
        if c.final_logit_softcapping:
            w.add_final_logit_softcapping(c.final_logit_softcapping)
        if c.enable_moe_block:
            w.add_expert_count(c.num_experts)
            w.add_expert_used_count(c.top_k_experts)
            w.add_expert_feed_forward_length(c.moe_intermediate_size)
        w.add_tensor("rope_freqs.weight", np.array(
            [1.0] * turned + [1e30] * (wide // 2 - turned), np.float32))

    return {"feed_forward": write, "head_count_kv": lambda w: None}


def gguf_gemma2(model):
    c = model.config
    return {"caps": lambda w: (
        w.add_attn_logit_softcapping(c.attn_logit_softcapping),
        w.add_final_logit_softcapping(c.final_logit_softcapping))}


def gguf_mistral3(model):
    rope = model.config.rope_parameters

    def write(w):
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(
            rope["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
        w.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        w.add_attn_temperature_scale(rope["llama_4_scaling_beta"])

    return {"yarn": write}


def gguf_hunyuan(model):
    c = model.config
    rope = c.rope_parameters
    base = rope["rope_theta"] * rope["alpha"] ** (
        c.head_dim / (c.head_dim - 2))
    return {"base": lambda w: w.add_rope_freq_base(base)}


def gguf_name(names, name):
    for end, place in (("router.scale", "ffn_gate_inp"),
                       ("router.per_expert_scale", "ffn_down_exps")):
        if name.endswith(end):
            return f"blk.{name.split('.')[2]}.{place}.scale"
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    return found + ".weight" if "experts." in name else found


def as_gguf(folder, model, arch, type_of, more=lambda model: {}):
    c = model.config
    w = gguf.GGUFWriter(str(folder / "model.gguf"), arch)
    write_metadata(w, arch, c, more(model))
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[arch.upper().replace("-", "_")], c.num_hidden_layers)
    plus_one = c.model_type.split("_")[0] in PLUS_ONE
    values = {}
    for name, tensor in state(model).items():
        data = tensor.numpy()
        heads = {"q_proj": c.num_attention_heads,
                 "k_proj": getattr(c, "num_key_value_heads", 0)
                 if arch in PERMUTED else 0}
        heads = heads.get(name.split(".")[-2]) if arch in PERMUTED else None
        norm = name.endswith("norm.weight")
        stored = permute(data, heads) if heads else data
        stored = stored + 1 if norm and plus_one else stored
        dotted = name + ".weight" if name.endswith("layer_scalar") else name
        target = gguf_name(names, dotted)
        kind = gguf.GGMLQuantizationType.F32
        if stored.ndim >= 2:
            kind = gguf.GGMLQuantizationType[type_of(target)]
        packed = gguf.quants.quantize(np.ascontiguousarray(stored), kind)
        back = gguf.quants.dequantize(packed, kind).reshape(stored.shape)
        w.add_tensor(target, packed, raw_dtype=kind)
        if heads:
            back = (back.reshape(heads, -1, 2, *back.shape[1:])
                    .swapaxes(1, 2).reshape(back.shape))
        back = back - 1 if norm and plus_one else back
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
FACTORS = [1.0, 1.1, 1.5, 2.0, 3.5, 6.0]
LONGROPE = dict(
    rope_parameters={"rope_type": "longrope", "rope_theta": 1e4,
                     "partial_rotary_factor": 0.75, "short_factor": FACTORS,
                     "long_factor": [2 * f for f in FACTORS]},
    original_max_position_embeddings=32, sliding_window=11,
    tie_word_embeddings=True, pad_token_id=0, bos_token_id=0)
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]
GEMMA4_ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
    "full_attention": {"rope_type": "proportional", "rope_theta": 5000.0,
                       "partial_rotary_factor": 0.5}}
GEMMA4 = dict(
    num_hidden_layers=5, layer_types=KINDS + KINDS[1:],
    num_kv_shared_layers=2,
    global_head_dim=32, hidden_size_per_layer_input=32,
    vocab_size_per_layer_input=VOCAB, use_double_wide_mlp=True,
    intermediate_size=64, num_key_value_heads=1, sliding_window=7,
    final_logit_softcapping=9.0, rope_parameters=GEMMA4_ROPE)
GEMMA3N = dict(
    num_hidden_layers=5, layer_types=KINDS + KINDS[1:], num_kv_shared_layers=2,
    hidden_size_per_layer_input=32, vocab_size_per_layer_input=90,
    laurel_rank=32, altup_num_inputs=3, altup_active_idx=1,
    activation_sparsity_pattern=[0.9, 0.0, 0.5, 0.0, 0.8],
    intermediate_size=[96, 96, 64, 96, 128], sliding_window=7,
    final_logit_softcapping=9.0, rope_parameters={
        "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
        "full_attention": {"rope_type": "default", "rope_theta": 5000.0}})
GEMMA4_KEYS = dict(
    num_hidden_layers=3, layer_types=KINDS, attention_k_eq_v=True,
    num_global_key_value_heads=1, global_head_dim=32, attention_bias=True,
    hidden_size_per_layer_input=0, sliding_window=7,
    rope_parameters=GEMMA4_ROPE)
GEMMA4_EXPERTS = dict(
    num_hidden_layers=2, layer_types=KINDS[1:], attention_k_eq_v=True,
    num_global_key_value_heads=1, global_head_dim=32,
    hidden_size_per_layer_input=0, sliding_window=7, intermediate_size=32,
    rope_parameters=GEMMA4_ROPE, enable_moe_block=True, num_experts=5,
    top_k_experts=2, moe_intermediate_size=32)
GEMMA2 = dict(sliding_window=8, query_pre_attn_scalar=16,
              attn_logit_softcapping=5.0, final_logit_softcapping=7.0,
              intermediate_size=64, num_hidden_layers=2)
MINISTRAL3 = dict(
    num_hidden_layers=1, intermediate_size=64, rope_parameters={
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 16.0,
        "original_max_position_embeddings": 16, "beta_fast": 8.0,
        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.3, "max_position_embeddings": 256})
SMOLLM3 = dict(num_hidden_layers=3, intermediate_size=64,
               no_rope_layers=[1, 0, 1], pad_token_id=0)
HUNYUAN = dict(num_hidden_layers=1, rope_parameters={
    "rope_type": "dynamic", "rope_theta": 1e4, "alpha": 50.0, "factor": 1.0})
SEED = dict(num_hidden_layers=1, intermediate_size=64)
FIXTURES = {
    "llama_f32": lambda d: plain(
        d, make("llama", rope_parameters=LLAMA3, attention_bias=True,
                num_hidden_layers=1, intermediate_size=64), "f32"),
    "qwen2_bf16": lambda d: plain(
        d, make("qwen2", tie_word_embeddings=True, num_hidden_layers=1),
        "bf16"),
    "qwen2_windows": lambda d: plain(
        d, make("qwen2", num_hidden_layers=2, intermediate_size=40,
                tie_word_embeddings=True, use_sliding_window=True,
                sliding_window=7,
                layer_types=["sliding_attention", "full_attention"]), "f16"),
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
    "llama_fp8": lambda d: fp8(
        d, make("llama", num_hidden_layers=1, intermediate_size=160)),
    "phi3_longrope": longrope,
    "phi3_affine4": lambda d: quantised(
        d, make("phi3", num_hidden_layers=1, pad_token_id=0), affine(4, 32)),
    "phi3_gguf": lambda d: as_gguf(
        d, make("phi3", **LONGROPE), "phi3", lambda n: "Q8_0", gguf_phi3),
    "gemma3n_bf16": lambda d: plain(d, make("gemma3n", **GEMMA3N), "bf16"),
    "gemma3n_affine4": lambda d: quantised(
        d, make("gemma3n", **{**GEMMA3N, "altup_num_inputs": 4,
                              "altup_active_idx": 0}), affine(4, 32)),
    "gemma4_bf16": lambda d: plain(d, make("gemma4", **GEMMA4), "bf16"),
    "gemma4_keys": lambda d: plain(d, make("gemma4", **GEMMA4_KEYS), "bf16"),
    "gemma4_unified_bf16": lambda d: plain(
        d, make("gemma4_unified", num_hidden_layers=3,
                layer_types=[KINDS[0], KINDS[2], KINDS[2]],
                num_kv_shared_layers=1, global_head_dim=32, sliding_window=7,
                attention_k_eq_v=True, num_global_key_value_heads=1,
                use_double_wide_mlp=True, intermediate_size=48,
                final_logit_softcapping=9.0, rope_parameters=GEMMA4_ROPE),
        "bf16"),
    "gemma4_experts_bf16": lambda d: plain(
        d, make("gemma4", **GEMMA4_EXPERTS), "bf16"),
    "gemma4_experts_affine4": lambda d: quantised(
        d, make("gemma4", **GEMMA4_EXPERTS), affine(4, 32)),
    "gemma4_experts_gguf": lambda d: as_gguf(
        d, make("gemma4", **GEMMA4_EXPERTS), "gemma4", lambda n: "F16"
        if "gate_inp" in n else "Q8_0", gguf_gemma4),
    "gemma4_affine4": lambda d: quantised(
        d, make("gemma4", **GEMMA4), affine(4, 32)),
    "gemma4_gguf": lambda d: as_gguf(
        d, make("gemma4", **GEMMA4), "gemma4", lambda n: "Q8_0", gguf_gemma4),
    "gemma2_f16": lambda d: plain(d, make("gemma2", **GEMMA2), "f16"),
    "gemma2_gguf": lambda d: as_gguf(
        d, make("gemma2", **GEMMA2), "gemma2", lambda n: "Q8_0", gguf_gemma2),
    "mistral_bf16": lambda d: plain(
        d, make("mistral", sliding_window=9, num_hidden_layers=2,
                intermediate_size=64), "bf16"),
    "ministral3_bf16": lambda d: plain(
        d, make("ministral3", **MINISTRAL3), "bf16"),
    "mistral3_gguf": lambda d: as_gguf(
        d, make("ministral3", **MINISTRAL3), "mistral3", lambda n: "Q8_0",
        gguf_mistral3),
    "smollm3_bf16": lambda d: plain(
        d, make("smollm3", **SMOLLM3, use_sliding_window=True,
                sliding_window=9, attention_bias=True, mlp_bias=True),
        "bf16"),
    "smollm3_gguf": lambda d: as_gguf(
        d, make("smollm3", **{**SMOLLM3, "num_hidden_layers": 4,
                              "no_rope_layers": None}),
        "smollm3", lambda n: "Q8_0"),
    "olmo2_bf16": lambda d: plain(
        d, make("olmo2", num_hidden_layers=2, intermediate_size=64), "bf16"),
    "olmo2_gguf": lambda d: as_gguf(
        d, make("olmo2", num_hidden_layers=1), "olmo2", lambda n: "Q8_0"),
    "seed_oss_bf16": lambda d: plain(
        d, make("seed_oss", **SEED, attention_out_bias=True, mlp_bias=True),
        "bf16"),
    "seed_oss_gguf": lambda d: as_gguf(
        d, make("seed_oss", **SEED), "seed_oss", lambda n: "Q8_0"),
    "hunyuan_bf16": lambda d: plain(
        d, make("hunyuan_v1_dense", **HUNYUAN), "bf16"),
    "hunyuan_gguf": lambda d: as_gguf(
        d, make("hunyuan_v1_dense", **HUNYUAN), "hunyuan-dense",
        lambda n: "Q8_0", gguf_hunyuan),
    "ernie4_5_bf16": lambda d: plain(
        d, make("ernie4_5", use_bias=True, num_hidden_layers=1), "bf16"),
    "ernie4_5_gguf": lambda d: as_gguf(
        d, make("ernie4_5", num_hidden_layers=1), "ernie4_5",
        lambda n: "Q8_0"),
} | hybrid_delta.FIXTURES | hybrid_lfm2.FIXTURES | hybrid_mamba.FIXTURES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    for name, write in (FIXTURES | make_moe_fixtures.FIXTURES |
                        make_stream_fixtures.FIXTURES).items():
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
