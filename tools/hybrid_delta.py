"""Tiny Qwen3.5 and Qwen3-Next."""

import gguf
import torch
import transformers

from hybrid_common import (
    BASE, affine, close_gguf, golden, halves, open_gguf, quantise, randomise,
    rounded, settings, values, write)

DELTA = dict(linear_conv_kernel_dim=3, linear_key_head_dim=16,
             linear_value_head_dim=20, linear_num_key_heads=2,
             linear_num_value_heads=4)


def qwen3_5(**changes):
    config = transformers.Qwen3_5TextConfig(**{
        **BASE, **DELTA, "intermediate_size": 48,
        "layer_types": ["linear_attention", "full_attention"],
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5000.0,
            "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            "mrope_interleaved": True}, **changes})
    return randomise(
        transformers.Qwen3_5ForCausalLM(config),
        lambda name: "linear_attn.norm" not in name)


QWEN_KEYS = [*BASE, *DELTA, "intermediate_size", "layer_types", "hidden_act",
             "rope_parameters", "attention_bias", "tie_word_embeddings"]


def qwen3_5_published(folder):
    """With images and the head of several tokens beside the text part."""
    model = rounded(qwen3_5(attention_bias=True))
    tensors = {n.replace("model.", "model.language_model.", 1)
               if n.startswith("model.") else n: t
               for n, t in values(model).items()}
    tensors["model.visual.patch_embed.proj.weight"] = torch.ones(4, 3, 2)
    tensors["mtp.fc.weight"] = torch.ones(32, 64)
    text = settings(model, QWEN_KEYS) | {"model_type": "qwen3_5_text"}
    tied = text.pop("tie_word_embeddings")
    write(folder, {"model_type": "qwen3_5", "text_config": text,
                   "tie_word_embeddings": tied}, halves(tensors))
    golden(folder, model)


def qwen3_5_converted(folder):
    """As mlx-lm converts: prefix, convolution and norms its own way."""
    model = qwen3_5(tie_word_embeddings=True, intermediate_size=64,
                    full_attention_interval=2, linear_value_head_dim=16,
                    layer_types=None)
    other = {"embed_tokens": affine(8), "in_proj_a": affine(8)}
    packed, back = quantise(
        values(model), affine(4), other, lambda n: "conv1d" in n)
    model.load_state_dict(back, strict=False)
    tensors = {}
    for name, w in packed.items():
        if "conv1d" in name:
            w = mx.moveaxis(w, 2, 1)
        if "norm.weight" in name or "layernorm.weight" in name:
            if "linear_attn" not in name:
                w = w.astype(mx.float32) + 1.0
        tensors["language_model." + name] = w
    modules = {n.removesuffix(".scales"): n for n in tensors
               if n.endswith(".scales")}
    text = settings(model, [k for k in QWEN_KEYS if k != "layer_types"])
    text |= {"model_type": "qwen3_5_text", "full_attention_interval": 2}
    write(folder, {
        "model_type": "qwen3_5", "text_config": text,
        "quantization": affine(4) | {
            m: s for m in modules for part, s in other.items() if part in m},
    }, tensors)
    golden(folder, model)


EXPERTS = dict(moe_intermediate_size=16, shared_expert_intermediate_size=24,
               num_experts=4, num_experts_per_tok=2)


def qwen3_5_moe(folder):
    config = transformers.Qwen3_5MoeTextConfig(
        **BASE, **DELTA, **EXPERTS,
        layer_types=["linear_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0,
                         "partial_rotary_factor": 0.25})
    model = rounded(randomise(
        transformers.Qwen3_5MoeForCausalLM(config),
        lambda name: "linear_attn.norm" not in name))
    tensors = {n.replace("model.", "model.language_model.", 1)
               if n.startswith("model.") else n: t
               for n, t in values(model).items()}
    text = settings(model, [*QWEN_KEYS, *EXPERTS])
    write(folder, {"model_type": "qwen3_5_moe", "text_config": text | {
        "model_type": "qwen3_5_moe_text", **EXPERTS}}, halves(tensors))
    golden(folder, model)


def qwen3_next(folder):
    """A dense layer, too, and experts apart."""
    config = transformers.Qwen3NextConfig(
        **BASE, **DELTA, **EXPERTS, intermediate_size=48,
        mlp_only_layers=[1], norm_topk_prob=True,
        layer_types=["linear_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0,
                         "partial_rotary_factor": 0.5})
    model = rounded(randomise(
        transformers.Qwen3NextForCausalLM(config),
        lambda name: "linear_attn.norm" not in name))
    tensors = {}
    for name, t in values(model).items():
        stem = name.rsplit(".", 1)[0]
        if name.endswith("experts.gate_up_proj"):
            for e, w in enumerate(t):
                gate, up = w.chunk(2)
                tensors[f"{stem}.{e}.gate_proj.weight"] = gate.contiguous()
                tensors[f"{stem}.{e}.up_proj.weight"] = up.contiguous()
        elif name.endswith("experts.down_proj"):
            tensors |= {f"{stem}.{e}.down_proj.weight": w
                        for e, w in enumerate(t)}
        else:
            tensors[name] = t
    text = settings(model, [*QWEN_KEYS, *EXPERTS, "mlp_only_layers",
                            "norm_topk_prob"])
    write(folder, text | {"model_type": "qwen3_next", **EXPERTS},
          halves(tensors))
    golden(folder, model)


def tiled(w, keys, unit, first=0):
    """Value heads of `unit` rows, from row `first` on, from neighbours that
    share a key head to turns of the key heads."""
    head, values = w[:first], w[first:]
    values = values.reshape(keys, -1, unit, *w.shape[1:]).swapaxes(0, 1)
    return torch.cat([head, values.reshape(-1, *w.shape[1:])])


QWEN35_NAMES = {
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.A_log": "ssm_a",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
    "mlp.experts.gate_up_proj": "ffn_gate_exps.weight ffn_up_exps.weight",
    "mlp.experts.down_proj": "ffn_down_exps.weight"}


def as_converter_stores(name, w, c):
    """What llama.cpp's converter makes of a tensor of Qwen3.5."""
    keys, unit = c.linear_num_key_heads, c.linear_value_head_dim
    before = 2 * keys * c.linear_key_head_dim
    if "conv1d" in name:
        return tiled(w.squeeze(1), keys, unit, before)
    if "in_proj_qkv" in name:
        return tiled(w, keys, unit, before)
    if "in_proj_z" in name:
        return tiled(w, keys, unit)
    if name.endswith(("in_proj_b.weight", "in_proj_a.weight", "dt_bias")):
        return tiled(w, keys, 1)
    if name.endswith("A_log"):
        return tiled(-torch.exp(w), keys, 1)
    if "out_proj" in name:
        return tiled(w.T, keys, unit).T
    if "norm" in name and "linear_attn" not in name:
        return w + 1
    return w


def open_delta(folder, arch, c):
    w = open_gguf(folder, arch, c)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(
        int(c.head_dim * c.rope_parameters["partial_rotary_factor"]))
    w.add_ssm_conv_kernel(c.linear_conv_kernel_dim)
    w.add_ssm_state_size(c.linear_key_head_dim)
    w.add_ssm_group_count(c.linear_num_key_heads)
    w.add_ssm_time_step_rank(c.linear_num_value_heads)
    w.add_ssm_inner_size(c.linear_value_head_dim * c.linear_num_value_heads)
    w.add_full_attention_interval(2)
    return w


def expert_facts(w, c):
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_shared_feed_forward_length(c.shared_expert_intermediate_size)


def as_q8(model):
    """The model as Q8_0 leaves it."""
    kind = gguf.GGMLQuantizationType.Q8_0
    back = {}
    for name, w in values(model).items():
        if w.ndim >= 2 and "conv1d" not in name:
            w = torch.from_numpy(gguf.quants.dequantize(
                gguf.quants.quantize(w.numpy(), kind), kind).copy())
        back[name] = w
    model.load_state_dict(back, strict=False)
    return back


def write_qwen35(w, model, c):
    for name, tensor in as_q8(model).items():
        parts = name.split(".")
        if "layers" in parts:
            at = parts.index("layers")
            inner = QWEN35_NAMES[".".join(parts[at + 2:])]
            targets = [f"blk.{parts[at + 1]}.{n}" for n in inner.split()]
        else:
            targets = {"model.embed_tokens.weight": ["token_embd.weight"],
                       "lm_head.weight": ["output.weight"],
                       "model.norm.weight": ["output_norm.weight"]}[name]
        whole = as_converter_stores(name, tensor, c)
        halves = whole.chunk(len(targets), dim=-2) if whole.ndim > 2 else [
            whole]
        for target, stored in zip(targets, halves):
            kind = gguf.GGMLQuantizationType.F32
            if stored.ndim >= 2 and "conv1d" not in name:
                kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(target, gguf.quants.quantize(
                stored.contiguous().numpy(), kind), raw_dtype=kind)
    close_gguf(w)


def qwen35_gguf(folder):
    # Heads of a block's width: moving them leaves the blocks as they are.
    model = qwen3_5(intermediate_size=64, linear_value_head_dim=32,
                    tie_word_embeddings=True)
    c = model.config
    w = open_delta(folder, "qwen35", c)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_rope_dimension_sections([2, 1, 1, 0])
    write_qwen35(w, model, c)
    golden(folder, model)


def qwen35moe_gguf(folder):
    config = transformers.Qwen3_5MoeTextConfig(
        **BASE, **{**DELTA, "linear_value_head_dim": 32}, **{
            **EXPERTS, "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32, "num_experts": 5},
        layer_types=["linear_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0,
                         "partial_rotary_factor": 0.5})
    model = randomise(transformers.Qwen3_5MoeForCausalLM(config),
                      lambda name: "linear_attn.norm" not in name)
    w = open_delta(folder, "qwen35moe", config)
    expert_facts(w, config)
    write_qwen35(w, model, config)
    golden(folder, model)


NEXT_NAMES = {**QWEN35_NAMES, "linear_attn.in_proj_ba.weight": "ssm_ba.weight"}


def next_tensors(name, w, c):
    """What llama.cpp's converter makes of a tensor of Qwen3-Next."""
    keys, group = c.linear_num_key_heads, (
        c.linear_num_value_heads // c.linear_num_key_heads)
    dk, dv = c.linear_key_head_dim, c.linear_value_head_dim
    if name.endswith("in_proj_qkvz.weight"):
        q, k, v, z = w.reshape(keys, -1, w.shape[1]).split(
            [dk, dk, group * dv, group * dv], dim=1)
        return {"attn_qkv.weight": torch.cat(
            [p.reshape(-1, w.shape[1]) for p in (q, k, v)]),
            "attn_gate.weight": z.reshape(-1, w.shape[1])}
    if name.endswith("experts.gate_up_proj"):
        gate, up = w.chunk(2, dim=1)
        return {"ffn_gate_exps.weight": gate, "ffn_up_exps.weight": up}
    if "conv1d" in name:
        w = w.squeeze(1)
    elif name.endswith("A_log"):
        w = -torch.exp(w)
    elif "norm" in name and "linear_attn" not in name:
        w = w + 1
    return {NEXT_NAMES[name]: w}


def qwen3next_gguf(folder):
    config = transformers.Qwen3NextConfig(
        **BASE, **DELTA, **EXPERTS, intermediate_size=48,
        norm_topk_prob=True, full_attention_interval=2,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0,
                         "partial_rotary_factor": 0.5})
    model = rounded(randomise(
        transformers.Qwen3NextForCausalLM(config),
        lambda name: "linear_attn.norm" not in name))
    c = config
    w = open_delta(folder, "qwen3next", c)
    w.add_feed_forward_length(c.intermediate_size)
    expert_facts(w, c)
    for name, tensor in values(model).items():
        target = {"model.embed_tokens.weight": "token_embd.weight",
                  "model.norm.weight": "output_norm.weight",
                  "lm_head.weight": "output.weight"}.get(name)
        if target is None:
            parts = name.split(".")
            stored = {f"blk.{parts[2]}.{n}": t for n, t in next_tensors(
                ".".join(parts[3:]), tensor, c).items()}
        else:
            stored = {target: tensor + (target == "output_norm.weight")}
        for target, t in stored.items():
            small = t.ndim == 1 or "conv1d" in target or "inp" in target
            kind = gguf.GGMLQuantizationType[("F16", "F32")[small]]
            w.add_tensor(target, gguf.quants.quantize(
                t.contiguous().numpy(), kind), raw_dtype=kind)
    close_gguf(w)
    golden(folder, model)


FIXTURES = {
    "qwen3next_gguf": qwen3next_gguf,
    "qwen3_5_moe": qwen3_5_moe,
    "qwen3_next": qwen3_next,
    "qwen3_5": qwen3_5_published,
    "qwen3_5_converted": qwen3_5_converted,
    "qwen35_gguf": qwen35_gguf,
    "qwen35moe_gguf": qwen35moe_gguf,
}
