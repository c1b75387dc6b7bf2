"""Tiny LFM2, dense and with experts."""

import gguf
import torch
import transformers

from hybrid_common import (
    BASE, affine, close_gguf, golden, halves, open_gguf, quantise, randomise,
    rounded, settings, values, write)

def lfm2(folder):
    config = transformers.Lfm2Config(
        **{k: v for k, v in BASE.items() if k not in (
            "rms_norm_eps", "head_dim")}, norm_eps=1e-4,
        intermediate_size=96, block_multiple_of=24, conv_bias=True,
        block_ffn_dim_multiplier=1.3, conv_L_cache=4, layer_types=["conv", "full_attention"], tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    model = rounded(randomise(
        transformers.Lfm2ForCausalLM(config), lambda name: False))
    keep = ["vocab_size", "hidden_size", "num_hidden_layers", "norm_eps",
            "num_attention_heads", "num_key_value_heads", "intermediate_size",
            "max_position_embeddings", "block_multiple_of", "conv_bias",
            "block_ffn_dim_multiplier", "conv_L_cache", "layer_types",
            "tie_word_embeddings", "rope_parameters", "eos_token_id"]
    write(folder, settings(model, keep) | {"model_type": "lfm2"},
          halves(values(model)))
    golden(folder, model)


LFM2_EXPERTS = dict(
    moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2,
    num_dense_layers=1, routed_scaling_factor=1.4, norm_topk_prob=True,
    use_expert_bias=True, intermediate_size=40, conv_L_cache=3)


def experts_model(experts):
    config = transformers.Lfm2MoeConfig(
        **{k: v for k, v in BASE.items() if k not in (
            "rms_norm_eps", "head_dim")}, **experts, norm_eps=1e-4,
        layer_types=["full_attention", "conv"], tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    model = randomise(
        transformers.Lfm2MoeForCausalLM(config), lambda name: False)
    for name, buffer in model.named_buffers():
        if name.endswith("expert_bias"):
            buffer.copy_(0.3 * torch.randn_like(buffer))
    return model


def lfm2_moe(folder):
    model = experts_model(LFM2_EXPERTS)
    model = rounded(model)
    tensors = {}
    for name, t in values(model).items():
        stem = name.rsplit(".", 1)[0]
        for e, w in enumerate(t if "experts." in name else ()):
            parts = {"w2": w} if "down" in name else dict(
                zip(("w1", "w3"), w.chunk(2)))
            tensors |= {f"{stem}.{e}.{n}.weight": p.contiguous()
                        for n, p in parts.items()}
        if "experts." not in name:
            tensors[name] = t
    keep = ["vocab_size", "hidden_size", "num_hidden_layers", "norm_eps",
            "num_attention_heads", "num_key_value_heads", "conv_bias",
            "max_position_embeddings", "layer_types", "tie_word_embeddings",
            "rope_parameters", "eos_token_id", *LFM2_EXPERTS]
    write(folder, settings(model, keep) | LFM2_EXPERTS | {
        "model_type": "lfm2_moe"}, halves(tensors))
    golden(folder, model)


LFM2_NAMES = {
    "conv.conv": "shortconv.conv", "conv.in_proj": "shortconv.in_proj",
    "conv.out_proj": "shortconv.out_proj", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output", "operator_norm": "attn_norm",
    "self_attn.q_layernorm": "attn_q_norm", "ffn_norm": "ffn_norm",
    "self_attn.k_layernorm": "attn_k_norm", "feed_forward.w1": "ffn_gate",
    "feed_forward.w3": "ffn_up", "feed_forward.w2": "ffn_down"}


EXPERT_NAMES = {
    "gate.weight": "ffn_gate_inp.weight",
    "expert_bias": "exp_probs_b.bias",
    "experts.gate_up_proj": "ffn_gate_exps.weight ffn_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight"}


def write_gguf(folder, arch, model, facts):
    """Leaves the model with the file's values."""
    c = model.config
    w = open_gguf(folder, arch, c)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count_kv([c.num_key_value_heads * (t == "full_attention")
                         for t in c.layer_types])
    w.add_layer_norm_rms_eps(c.norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    w.add_shortconv_l_cache(getattr(c, "conv_L_cache", 3))
    facts(w, c)
    back = {}
    for name, tensor in values(model).items():
        parts = name.split(".")
        expert = ".".join(parts[4:]) if "layers" in name else ""
        inner = ".".join(parts[3:]).removesuffix(".weight")
        if expert in EXPERT_NAMES:
            targets = [f"blk.{parts[2]}.{n}"
                       for n in EXPERT_NAMES[expert].split()]
        elif "layers" in name:
            targets = [f"blk.{parts[2]}.{LFM2_NAMES[inner]}.weight"]
        else:
            targets = [{"embed_tokens": "token_embd.weight",
                        "embedding_norm": "token_embd_norm.weight"}[parts[1]]]
        stored = tensor.squeeze(1) if "conv.conv" in name else tensor
        kind = gguf.GGMLQuantizationType.F32
        if stored.ndim >= 2 and not name.endswith(("conv.conv.weight",
                                                   ".gate.weight")):
            kind = gguf.GGMLQuantizationType.Q8_0
        parts = [gguf.quants.quantize(p.contiguous().numpy(), kind) for p in (
            stored.chunk(len(targets), dim=-2) if len(targets) > 1
            else [stored])]
        for target, packed in zip(targets, parts):
            w.add_tensor(target, packed, raw_dtype=kind)
        back[name] = torch.cat([torch.from_numpy(gguf.quants.dequantize(
            p, kind).copy()) for p in parts], -2 if len(parts) > 1 else 0
            ).reshape(tensor.shape)
    close_gguf(w)
    model.load_state_dict(back, strict=False)


def lfm2_gguf(folder):
    config = transformers.Lfm2Config(
        **{k: v for k, v in BASE.items() if k not in (
            "rms_norm_eps", "head_dim")}, norm_eps=1e-4,
        intermediate_size=96, block_auto_adjust_ff_dim=False,
        layer_types=["full_attention", "conv"], tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    model = randomise(transformers.Lfm2ForCausalLM(config), lambda name: False)
    write_gguf(folder, "lfm2", model, lambda w, c: None)
    golden(folder, model)


def lfm2moe_gguf(folder):
    def facts(w, c):
        w.add_expert_count(c.num_experts)
        w.add_expert_used_count(c.num_experts_per_tok)
        w.add_expert_feed_forward_length(c.moe_intermediate_size)
        w.add_leading_dense_block_count(c.num_dense_layers)
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)

    model = experts_model(
        {**LFM2_EXPERTS, "routed_scaling_factor": 1.0,
         "moe_intermediate_size": 32, "intermediate_size": 64,
         "num_experts": 5})
    write_gguf(folder, "lfm2moe", model, facts)
    golden(folder, model)


FIXTURES = {
    "lfm2_moe": lfm2_moe,
    "lfm2": lfm2,
    "lfm2_gguf": lfm2_gguf,
    "lfm2moe_gguf": lfm2moe_gguf,
}
