"""The fixtures of models with experts; run by make_model_fixtures.py.

Unlike the dense ones these go through transformers' own save_pretrained and
from_pretrained, so that names and configuration are what checkpoints have: the
tensors that it writes are rounded or quantised, and the reference reads the
result back.
"""

import json
import pathlib
import re
import tempfile

import gguf
import mlx.core as mx
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

VOCAB, TOKENS = 96, 40
BASE = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=16, max_position_embeddings=512, bos_token_id=1,
            eos_token_id=2, num_experts_per_tok=3, moe_intermediate_size=32)
SCHEMES = {
    "affine4_64": dict(bits=4, group_size=64, mode="affine"),
    "affine4_32": dict(bits=4, group_size=32, mode="affine"),
    "affine8_64": dict(bits=8, group_size=64, mode="affine"),
    "mxfp4": dict(bits=4, group_size=32, mode="mxfp4")}


def make(name, **changes):
    torch.manual_seed(11)
    config = getattr(transformers, name + "Config")(**{**BASE, **changes})
    model = getattr(transformers, name + "ForCausalLM")(config)
    for key, p in [*model.named_parameters(), *model.named_buffers()]:
        noise = torch.randn_like(p.float())
        if "inv_freq" in key:
            continue
        if "norm" in key:
            p.data = 1 + 0.2 * noise
        elif "correction" in key:
            p.data = 0.15 * noise
        elif key.endswith("bias") or "sinks" in key:
            p.data = 0.5 * noise
        elif "embed_tokens" in key:
            p.data = 0.5 * noise
        else:  # experts as [E, inputs, outputs] or [E, outputs, inputs]
            inputs = 1 if name == "GptOss" and p.ndim == 3 else -1
            # A router that is sure: int8 activations rarely change its mind.
            sure = 4 if re.search(r"(mlp|moe)\.(gate|router)\.", key) else 1.5
            p.data = noise * (sure / p.shape[inputs] ** 0.5)
    return model.eval().float()


def saved(model, changes=None):
    """What save_pretrained writes: tensors by name, and the configuration."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensors = load_file(folder + "/model.safetensors")
        config = json.loads(
            (pathlib.Path(folder) / "config.json").read_text())
    return tensors, config | (changes or {})


def write_golden(folder, tensors, config):
    """The reference's logits on these very tensors."""
    with tempfile.TemporaryDirectory() as place:
        save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()},
                  place + "/model.safetensors", {"format": "pt"})
        (pathlib.Path(place) / "config.json").write_text(json.dumps(config))
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, attn_implementation="eager",
            output_loading_info=True)
        assert not any(info[k] for k in (
            "missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = np.random.default_rng(3).integers(0, VOCAB, TOKENS)
    with torch.no_grad():
        logits = model.eval()(torch.tensor(ids[None])).logits[0]
    logits.float().numpy().tofile(folder / "golden.bin")
    (folder / "golden.json").write_text(
        json.dumps({"tokens": ids.tolist(), "vocabulary": VOCAB}) + "\n")


def write_folder(folder, tensors, config):
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text("{}\n")
    mx.save_safetensors(str(folder / "model.safetensors"), tensors,
                        {"format": "mlx"})


def plain(folder, model, dtype, changes=None):
    """As Hugging Face has it, in one float type."""
    tensors, config = saved(model, changes)
    tensors = {n: mx.array(t).astype(dtype) for n, t in tensors.items()}
    write_folder(folder, tensors, config)
    write_golden(folder, {
        n: np.array(t.astype(mx.float32)) for n, t in tensors.items()}, config)


PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
EXPERT = re.compile(r"(.*)\.experts\.(\d+)\.(\w+)\.weight")


def stacked(tensors, config):
    """As MLX checkpoints are: one tensor for all experts, for all heads."""
    out, experts = {}, {}
    for name, t in tensors.items():
        if match := EXPERT.fullmatch(name):
            part = PARTS.get(match[3], match[3])
            experts.setdefault((match[1], part), {})[int(match[2])] = t
        elif name.endswith("gate_up_proj"):
            base = name.removesuffix("gate_up_proj")
            out[base + "gate_proj.weight"] = t[..., ::2].swapaxes(1, 2)
            out[base + "up_proj.weight"] = t[..., 1::2].swapaxes(1, 2)
        elif name.endswith("gate_up_proj_bias"):
            base = name.removesuffix("gate_up_proj_bias")
            out[base + "gate_proj.bias"] = t[..., ::2]
            out[base + "up_proj.bias"] = t[..., 1::2]
        elif name.endswith("kv_b_proj.weight"):
            base = name.removesuffix("kv_b_proj.weight")
            heads, nope = config["num_attention_heads"], config[
                "qk_nope_head_dim"]
            t = t.reshape(heads, -1, t.shape[-1])
            out[base + "embed_q.weight"] = t[:, :nope].swapaxes(1, 2)
            out[base + "unembed_out.weight"] = t[:, nope:]
        elif name.endswith("experts.down_proj"):
            out[name + ".weight"] = t.swapaxes(1, 2)
        elif name.endswith("experts.down_proj_bias"):
            out[name.removesuffix("_bias") + ".bias"] = t
        else:
            out[name] = t
    for (base, part), parts in experts.items():
        out[f"{base}.switch_mlp.{part}.weight"] = np.stack(
            [parts[e] for e in range(len(parts))])
    return {n: np.ascontiguousarray(t) for n, t in out.items()}


def unstacked(tensors, original):
    """The inverse, with the original's names."""
    out = {}
    for name, t in original.items():
        if match := EXPERT.fullmatch(name):
            part = PARTS.get(match[3], match[3])
            out[name] = tensors[f"{match[1]}.switch_mlp.{part}.weight"][
                int(match[2])]
        elif name.endswith("gate_up_proj"):
            base = name.removesuffix("gate_up_proj")
            out[name] = np.stack(
                [tensors[base + "gate_proj.weight"],
                 tensors[base + "up_proj.weight"]], 2).reshape(
                     t.shape[0], t.shape[2], t.shape[1]).swapaxes(1, 2)
        elif name.endswith("gate_up_proj_bias"):
            base = name.removesuffix("gate_up_proj_bias")
            out[name] = np.stack(
                [tensors[base + "gate_proj.bias"],
                 tensors[base + "up_proj.bias"]], 2).reshape(t.shape)
        elif name.endswith("kv_b_proj.weight"):
            base = name.removesuffix("kv_b_proj.weight")
            out[name] = np.concatenate(
                [tensors[base + "embed_q.weight"].swapaxes(1, 2),
                 tensors[base + "unembed_out.weight"]], 1).reshape(t.shape)
        elif name.endswith("experts.down_proj"):
            out[name] = tensors[name + ".weight"].swapaxes(1, 2)
        elif name.endswith("experts.down_proj_bias"):
            out[name] = tensors[name.removesuffix("_bias") + ".bias"]
        else:
            out[name] = tensors[name]
    return out


def scheme_of(name, shape, scheme, overrides):
    module = name.removesuffix(".weight")
    for part, other in overrides.items():
        if part in module:
            scheme = other
    fits = scheme and shape[-1] % scheme["group_size"] == 0
    if not name.endswith(".weight") or "norm" in name or len(shape) < 2:
        return None
    return scheme if fits else None


def quantised(folder, model, scheme, overrides=None, changes=None):
    """As mlx-lm converts it. overrides: part of a name -> scheme or None."""
    original, config = saved(model, changes)
    tensors, values, schemes = {}, {}, {}
    for name, t in stacked(original, config).items():
        w = mx.array(t).astype(mx.bfloat16)
        use = scheme_of(name, t.shape, scheme, overrides or {})
        if "correction" in name:
            w = mx.array(t)  # stays float32
        elif use is None:
            if name.endswith(".weight") and "norm" not in name:
                schemes[name.removesuffix(".weight")] = False
        else:
            module = name.removesuffix(".weight")
            if use != scheme:
                schemes[module] = use
            packed, scales, *biases = mx.quantize(w, **use)
            tensors[module + ".scales"] = scales
            if biases:
                tensors[module + ".biases"] = biases[0]
                scales = scales.astype(mx.float32)
                biases = [biases[0].astype(mx.float32)]
            tensors[name] = packed
            w = mx.dequantize(packed, scales, *biases, **use)
        tensors.setdefault(name, w)
        values[name] = np.array(w.astype(mx.float32))
    write_folder(folder, tensors,
                 config | {"quantization": {**scheme, **schemes}})
    write_golden(folder, unstacked(values, original), config)


def published_gpt_oss(folder, model):
    """As OpenAI published it: mxfp4 blocks in Hugging Face's own form."""
    original, config = saved(model)
    tensors, values = {}, stacked(original, config)
    scheme = SCHEMES["mxfp4"]

    def packed(name):
        q, scales = mx.quantize(mx.array(values[name]), **scheme)
        values[name] = np.array(
            mx.dequantize(q, scales, **scheme).astype(mx.float32))
        blocks = np.array(q).view(np.uint8)
        return (blocks.reshape(*q.shape[:2], -1, 16), np.array(scales))

    for name, t in original.items():
        base = name.rsplit(".", 1)[0] + "."
        if name.endswith("gate_up_proj"):
            gate, up = (packed(base + p + "_proj.weight")
                        for p in ("gate", "up"))
            for part, a, b in zip(("_blocks", "_scales"), gate, up):
                both = np.stack([a, b], 2)
                tensors[name + part] = mx.array(both.reshape(
                    both.shape[0], -1, *both.shape[3:]))
        elif name.endswith("experts.down_proj"):
            for part, a in zip(("_blocks", "_scales"),
                               packed(name + ".weight")):
                tensors[name + part] = mx.array(a)
        else:
            tensors[name] = mx.array(t).astype(mx.bfloat16)
            if not name.endswith("_bias"):
                values[name] = np.array(tensors[name].astype(mx.float32))
    for name, t in values.items():
        if name.endswith("bias"):
            values[name] = np.array(
                mx.array(t).astype(mx.bfloat16).astype(mx.float32))
    write_folder(folder, tensors, config | {"quantization_config": {
        "quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}})
    write_golden(folder, unstacked(values, original), config)


def latent_facts(w, c):
    w.add_q_lora_rank(c.q_lora_rank)
    w.add_kv_lora_rank(c.kv_lora_rank)
    w.add_key_length(c.kv_lora_rank + c.qk_rope_head_dim)
    w.add_value_length(c.kv_lora_rank)
    w.add_key_length_mla(c.qk_nope_head_dim + c.qk_rope_head_dim)
    w.add_value_length_mla(c.v_head_dim)
    w.add_rope_dimension_count(c.qk_rope_head_dim)
    rope = c.rope_parameters
    if rope.get("mscale_all_dim"):
        w.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])


def grouped_facts(w, c):
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_leading_dense_block_count(c.first_k_dense_replace)
    w.add_expert_shared_count(c.n_shared_experts)
    w.add_expert_weights_scale(c.routed_scaling_factor)
    w.add_expert_weights_norm(c.norm_topk_prob)
    w.add_expert_group_count(c.n_group)
    w.add_expert_group_used_count(c.topk_group)


def gguf_facts(w, arch, config, rope):
    c = config
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_head_count(c.num_attention_heads)
    latent = arch == "deepseek2"
    w.add_head_count_kv(1 if latent else c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_eos_token_id(2)
    if latent:
        latent_facts(w, c)
    else:
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
        part = rope.get("partial_rotary_factor", 1.0)
        w.add_rope_dimension_count(int(c.head_dim * part))
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_feed_forward_length(c.intermediate_size)
    experts = getattr(c, "num_local_experts", 0)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(c.num_experts_per_tok)
        inner = (c.intermediate_size if arch in ("gpt-oss", "minimax-m2")
                 else c.moe_intermediate_size)
        w.add_expert_feed_forward_length(inner)
    if rope["rope_type"] == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(
            rope["original_max_position_embeddings"])
    if arch == "gpt-oss":
        w.add_sliding_window(c.sliding_window)
    if arch == "minimax-m2":
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if arch in ("glm4moe", "deepseek2"):
        grouped_facts(w, c)


def gguf_name(names, name):
    """llama.cpp's name of one of our stacked tensors."""
    if name.endswith("e_score_correction_bias"):
        layer = re.search(r"layers\.(\d+)", name)[1]
        return f"blk.{layer}.exp_probs_b.bias"
    if name.endswith("sinks"):
        layer = re.search(r"layers\.(\d+)", name)[1]
        return f"blk.{layer}.attn_sinks.weight"
    for ours, theirs in (("embed_q", "attn_k_b"), ("unembed_out", "attn_v_b")):
        if f".{ours}." in name:
            layer = re.search(r"layers\.(\d+)", name)[1]
            return f"blk.{layer}.{theirs}.weight"
    name = name.replace(".switch_mlp.", ".experts.").replace(
        ".block_sparse_moe.experts.", ".mlp.experts.")
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found, name
    return found


def as_gguf(folder, model, arch, type_of):
    """As llama.cpp converts it. type_of: tensor's name -> type."""
    original, config = saved(model)
    w = gguf.GGUFWriter(str(folder / "model.gguf"), arch)
    gguf_facts(w, arch, model.config, model.config.rope_parameters)
    kinds = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(
        kinds[arch], model.config.num_hidden_layers)
    values = {}
    for name, t in stacked(original, config).items():
        target = gguf_name(names, name)
        kind = gguf.GGMLQuantizationType.F32
        if t.ndim >= 2 and not name.endswith("bias"):
            kind = gguf.GGMLQuantizationType[type_of(target)]
        packed = gguf.quants.quantize(t, kind)
        values[name] = gguf.quants.dequantize(packed, kind).reshape(t.shape)
        w.add_tensor(target, packed, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    write_golden(folder, unstacked(values, original), config)


ROUTER8 = {".gate": SCHEMES["affine8_64"], ".router": SCHEMES["affine8_64"]}
QWEN3 = dict(num_experts=6, norm_topk_prob=True, num_hidden_layers=3,
             mlp_only_layers=[0], rope_parameters={
                 "rope_type": "default", "rope_theta": 5000.0})
YARN = {"rope_type": "yarn", "rope_theta": 20000.0, "factor": 8.0,
        "original_max_position_embeddings": 64, "beta_fast": 32.0,
        "beta_slow": 1.0}
GPT_OSS = dict(num_local_experts=4, sliding_window=8, swiglu_limit=1.2,
               swiglu_alpha=1.5, num_experts_per_tok=2,
               rope_parameters={**YARN, "truncate": False})
MINIMAX = dict(num_local_experts=6, intermediate_size=64, rope_parameters={
    "rope_type": "default", "rope_theta": 9000.0,
    "partial_rotary_factor": 0.5})
GLM = dict(n_routed_experts=8, first_k_dense_replace=1, n_group=2,
           topk_group=1, routed_scaling_factor=1.7, attention_bias=True,
           rope_parameters={"rope_type": "default", "rope_theta": 9000.0,
                            "partial_rotary_factor": 0.5})
DEEPSEEK = dict(n_routed_experts=8, first_k_dense_replace=1, n_group=4,
                topk_group=2, routed_scaling_factor=1.7, q_lora_rank=32,
                kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8,
                v_head_dim=16, head_dim=8, num_key_value_heads=4, rope_parameters={
                    **YARN, "mscale": 1.0, "mscale_all_dim": 0.7})
FIXTURES = {
    "qwen3_bf16": lambda d: plain(d, make(
        "Qwen3", attention_bias=True, use_sliding_window=True,
        sliding_window=8, max_window_layers=1, num_hidden_layers=2,
        head_dim=24), mx.bfloat16),
    "qwen3_affine4": lambda d: quantised(d, make(
        "Qwen3", tie_word_embeddings=True, intermediate_size=128),
        SCHEMES["affine4_64"]),
    "qwen3_gguf": lambda d: as_gguf(
        d, make("Qwen3"), "qwen3",
        lambda n: "Q8_0" if "embd" in n else "Q4_1"),
    "qwen3_moe_bf16": lambda d: plain(d, make(
        "Qwen3Moe", **{**QWEN3, "norm_topk_prob": False,
                       "attention_bias": True, "moe_intermediate_size": 24,
                       "use_sliding_window": True, "sliding_window": 8}),
        mx.bfloat16),
    "qwen3_moe_f16": lambda d: plain(d, make(
        "Qwen3Moe", num_experts=4, num_hidden_layers=1,
        tie_word_embeddings=True), mx.float16),
    "qwen3_moe_affine4": lambda d: quantised(
        d, make("Qwen3Moe", **{**QWEN3, "decoder_sparse_step": 2,
                               "mlp_only_layers": [],
                               "moe_intermediate_size": 64}),
        SCHEMES["affine4_64"], ROUTER8),
    "qwen3_moe_mxfp4": lambda d: quantised(
        d, make("Qwen3Moe", num_experts=8, num_experts_per_tok=2),
        SCHEMES["mxfp4"], {"embed_tokens": None, "lm_head": None,
                           ".mlp.gate": None}),
    "qwen3_moe_gguf": lambda d: as_gguf(
        d, make("Qwen3Moe", **{**QWEN3, "mlp_only_layers": []}), "qwen3moe",
        lambda n: "F32" if "inp" in n else "Q8_0" if "down" in n else "Q4_0"),
    "gpt_oss_bf16": lambda d: plain(
        d, make("GptOss", **{**GPT_OSS, "intermediate_size": 40}),
        mx.bfloat16),
    "gpt_oss_mxfp4": lambda d: quantised(
        d, make("GptOss", **GPT_OSS), SCHEMES["mxfp4"],
        {p: SCHEMES["affine8_64"] for p in (
            "self_attn", "router", "embed_tokens", "lm_head")}),
    "gpt_oss_published": lambda d: published_gpt_oss(
        d, make("GptOss", **{**GPT_OSS, "num_hidden_layers": 1})),
    "gpt_oss_gguf": lambda d: as_gguf(
        d, make("GptOss", **{**GPT_OSS, "swiglu_limit": 7.0,
                             "swiglu_alpha": 1.702}), "gpt-oss",
        lambda n: "F32" if "inp" in n or "sinks" in n else
        "MXFP4" if "exps" in n else "Q8_0"),
    "minimax_m2_bf16": lambda d: plain(
        d, make("MiniMaxM2", **{**MINIMAX, "intermediate_size": 40}),
        mx.bfloat16),
    "minimax_m2_affine4": lambda d: quantised(
        d, make("MiniMaxM2", **MINIMAX), SCHEMES["affine4_32"], ROUTER8),
    "minimax_m2_gguf": lambda d: as_gguf(
        d, make("MiniMaxM2", **MINIMAX), "minimax-m2",
        lambda n: "F32" if "inp" in n else "Q5_0"),
    "glm4_moe_bf16": lambda d: plain(
        d, make("Glm4Moe", **GLM, use_qk_norm=True), mx.bfloat16),
    "glm4_moe_affine4": lambda d: quantised(
        d, make("Glm4Moe", **{**GLM, "n_shared_experts": 2}),
        SCHEMES["affine4_32"], {".gate": None}),
    "glm4_moe_gguf": lambda d: as_gguf(
        d, make("Glm4Moe", **GLM, use_qk_norm=True), "glm4moe",
        lambda n: "F32" if "inp" in n else "Q8_0"),
    "deepseek_v3_bf16": lambda d: plain(
        d, make("DeepseekV3", **DEEPSEEK), mx.bfloat16),
    "deepseek_v3_direct": lambda d: plain(
        d, make("DeepseekV3", **{**DEEPSEEK, "q_lora_rank": None,
                                 "rope_interleave": False, "v_head_dim": 24,
                                 "attention_bias": True,
                                 "rope_parameters": {
                                     "rope_type": "default",
                                     "rope_theta": 3000.0}}), mx.bfloat16),
    "deepseek_v3_affine4": lambda d: quantised(
        d, make("DeepseekV3", **{**DEEPSEEK, "qk_nope_head_dim": 32}),
        SCHEMES["affine4_32"], {".mlp.gate": None}),
    "deepseek_v3_gguf": lambda d: as_gguf(
        d, make("DeepseekV3", **{**DEEPSEEK, "qk_nope_head_dim": 32}),
        "deepseek2", lambda n: "F32" if "inp" in n else "Q8_0"),
    "glm4_moe_lite_bf16": lambda d: plain(
        d, make("Glm4MoeLite", **{**DEEPSEEK, "mlp_layer_types": [
            "dense", "sparse"]}), mx.bfloat16),
    "ernie4_5_moe_bf16": lambda d: plain(
        d, make("Ernie4_5_Moe", moe_num_experts=6, moe_k=3, use_bias=True,
                moe_num_shared_experts=2, moe_layer_start_index=1,
                num_hidden_layers=3, moe_layer_interval=2,
                rope_parameters={"rope_type": "default",
                                 "rope_theta": 4000.0}), mx.bfloat16),
}
