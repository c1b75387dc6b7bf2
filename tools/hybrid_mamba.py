"""Tiny Granite 4 and Nemotron-H."""

import gguf
import torch
import transformers

from hybrid_common import (
    BASE, affine, close_gguf, golden, halves, open_gguf, quantise, randomise,
    rounded, settings, values, write)

GRANITE = dict(
    shared_intermediate_size=64, num_local_experts=0, mamba_n_heads=4,
    mamba_n_groups=2, mamba_d_state=16, mamba_d_conv=3, mamba_expand=2,
    mamba_chunk_size=16, embedding_multiplier=3.0, logits_scaling=2.0,
    residual_multiplier=0.4, attention_multiplier=0.3)


def granite_model(**changes):
    config = transformers.GraniteMoeHybridConfig(**{
        **{k: v for k, v in BASE.items() if k != "head_dim"}, **GRANITE,
        "intermediate_size": 16,
        "layer_types": ["linear_attention", "full_attention"], **changes})
    return rounded(randomise(
        transformers.GraniteMoeHybridForCausalLM(config), lambda name: False))


def granite(folder, **changes):
    model = granite_model(**changes)
    tensors = {}
    for name, t in values(model).items():
        name = name.replace("moe.experts.gate_up_proj",
                            "moe.input_linear.weight")
        name = name.replace("moe.experts.down_proj",
                            "moe.output_linear.weight")
        name = name.replace("moe.router.weight", "moe.router.layer.weight")
        tensors[name] = t
    text = settings(model, [*BASE, *GRANITE, "intermediate_size",
                            "tie_word_embeddings", "position_embedding_type",
                            "num_experts_per_tok", "rope_parameters"])
    text.pop("head_dim", None)
    write(folder, text | {
        "model_type": "granitemoehybrid",
        "layer_types": ["mamba", "attention"]}, halves(tensors))
    golden(folder, model)


GRANITE_NAMES = {
    "mamba.in_proj.weight": "ssm_in.weight", "mamba.D": "ssm_d",
    "mamba.A_log": "ssm_a", "mamba.conv1d.weight": "ssm_conv1d.weight",
    "mamba.conv1d.bias": "ssm_conv1d.bias", "mamba.dt_bias": "ssm_dt.bias",
    "mamba.norm.weight": "ssm_norm.weight",
    "mamba.out_proj.weight": "ssm_out.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "block_sparse_moe.router.weight": "ffn_gate_inp.weight",
    "block_sparse_moe.experts.gate_up_proj":
        "ffn_gate_exps.weight ffn_up_exps.weight",
    "block_sparse_moe.experts.down_proj": "ffn_down_exps.weight",
    "shared_mlp.input_linear.weight": "ffn_gate.weight ffn_up.weight",
    "shared_mlp.output_linear.weight": "ffn_down.weight"}
TOP_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight"}


def permute(w, heads):
    """Rows as GGUF keeps them for rotations of neighbouring pairs."""
    return (w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1])
            .swapaxes(1, 2).reshape(w.shape))


def mamba_tensor(name, w, groups):
    """What llama.cpp's converter makes of a tensor of Mamba2."""
    if "conv1d.weight" in name:
        return w.squeeze(1)
    if name.endswith("A_log"):
        return -torch.exp(w)[:, None]
    if name.endswith(".D"):
        return w[:, None]
    if name.endswith(("mixer.norm.weight", "mamba.norm.weight")):
        return w.reshape(groups, -1)
    return w


def add(w, target, t):
    """In float16, but for what is small."""
    small = t.ndim == 1 or any(part in target for part in (
        "conv1d", "inp", "ssm_a", "ssm_d", "ssm_norm"))
    kind = gguf.GGMLQuantizationType[("F16", "F32")[small]]
    w.add_tensor(target, gguf.quants.quantize(
        t.contiguous().numpy(), kind), raw_dtype=kind)


def mamba_facts(w, kernel, state, groups, heads, inner):
    w.add_ssm_conv_kernel(kernel)
    w.add_ssm_state_size(state)
    w.add_ssm_group_count(groups)
    w.add_ssm_time_step_rank(heads)
    w.add_ssm_inner_size(inner)


def granite_gguf(folder, **changes):
    model = granite_model(**changes)
    c = model.config
    w = open_gguf(folder, "granitehybrid", c)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count_kv([0, c.num_key_value_heads])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)
    w.add_rope_scaling_finetuned(c.position_embedding_type == "rope")
    w.add_attention_scale(c.attention_multiplier)
    w.add_embedding_scale(c.embedding_multiplier)
    w.add_residual_scale(c.residual_multiplier)
    w.add_logit_scale(c.logits_scaling)
    w.add_expert_shared_feed_forward_length(c.shared_intermediate_size)
    if c.num_local_experts:
        w.add_expert_count(c.num_local_experts)
        w.add_expert_used_count(c.num_experts_per_tok)
    mamba_facts(w, c.mamba_d_conv, c.mamba_d_state, c.mamba_n_groups,
                c.mamba_n_heads, c.mamba_expand * c.hidden_size)
    for name, tensor in values(model).items():
        parts = name.split(".")
        inner = ".".join(parts[3:])
        if name in TOP_NAMES:
            add(w, TOP_NAMES[name], tensor)
            continue
        targets = GRANITE_NAMES[inner]
        if c.num_local_experts and inner.startswith("shared_mlp"):
            targets = targets.replace(".weight", "_shexp.weight")
        if inner.startswith(("self_attn.q", "self_attn.k")):
            tensor = permute(tensor, {
                "q": c.num_attention_heads, "k": c.num_key_value_heads}[
                    inner[10]])
        targets = targets.split()
        stored = mamba_tensor(name, tensor, c.mamba_n_groups)
        halves = stored.chunk(len(targets), -2) if stored.ndim > 1 else [
            stored]
        for target, half in zip(targets, halves):
            add(w, f"blk.{parts[2]}.{target}", half)
    close_gguf(w)
    golden(folder, model)


NEMOTRON = dict(
    mamba_num_heads=4, mamba_head_dim=12, n_groups=2, ssm_state_size=16,
    conv_kernel=3, chunk_size=16, time_step_min=0.4, intermediate_size=64,
    layer_norm_epsilon=1e-4, n_routed_experts=6, num_experts_per_tok=2,
    moe_intermediate_size=32, moe_shared_expert_intermediate_size=48,
    n_group=2, topk_group=1, routed_scaling_factor=1.7, norm_topk_prob=True,
    use_conv_bias=True, mlp_bias=True, use_bias=True,
    mlp_hidden_act="relu2")


def nemotron_model(config):
    model = randomise(
        transformers.NemotronHForCausalLM(config), lambda name: False)
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_(0.3 * torch.randn_like(buffer))
    return rounded(model)


def nemotron_h(folder, pattern="ME*-", **changes):
    """Said to be tied, which the reference does not heed."""
    kinds = {"M": "linear_attention", "E": "moe", "*": "full_attention",
             "-": "mlp"}
    config = transformers.NemotronHConfig(
        **{k: v for k, v in BASE.items() if k not in (
            "rms_norm_eps", "num_hidden_layers")}, **NEMOTRON, **changes,
        layers_block_type=[kinds[k] for k in pattern],
        tie_word_embeddings=True)
    model = nemotron_model(config)
    tensors = {}
    for name, t in model.state_dict().items():
        name = name.replace("model.", "backbone.", 1)
        name = name.replace("backbone.norm.", "backbone.norm_f.")
        name = name.replace("backbone.embed_tokens", "backbone.embeddings")
        if name.endswith(("experts.up_proj", "experts.down_proj")) and \
                t.ndim == 3:
            stem, part = name.rsplit(".", 1)
            tensors |= {f"{stem}.{e}.{part}.weight": w
                        for e, w in enumerate(t)}
        else:
            tensors[name] = t
    text = settings(model, [*BASE, *NEMOTRON, *changes,
                            "tie_word_embeddings"])
    text.pop("num_hidden_layers", None)
    write(folder, text | {"model_type": "nemotron_h",
                          "hybrid_override_pattern": pattern}, halves(tensors))
    golden(folder, model)


NEMOTRON_NAMES = {
    "mixer.in_proj.weight": "ssm_in.weight", "mixer.D": "ssm_d",
    "mixer.in_proj.bias": "ssm_in.bias", "mixer.A_log": "ssm_a",
    "mixer.conv1d.weight": "ssm_conv1d.weight",
    "mixer.conv1d.bias": "ssm_conv1d.bias", "mixer.dt_bias": "ssm_dt.bias",
    "mixer.norm.weight": "ssm_norm.weight", "norm.weight": "attn_norm.weight",
    "mixer.out_proj.weight": "ssm_out.weight",
    "mixer.out_proj.bias": "ssm_out.bias",
    "mixer.q_proj.weight": "attn_q.weight",
    "mixer.k_proj.weight": "attn_k.weight",
    "mixer.v_proj.weight": "attn_v.weight",
    "mixer.o_proj.weight": "attn_output.weight",
    "mixer.up_proj.weight": "ffn_up.weight",
    "mixer.down_proj.weight": "ffn_down.weight",
    "mixer.gate.weight": "ffn_gate_inp.weight",
    "mixer.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mixer.fc1_latent_proj.weight": "ffn_latent_down.weight",
    "mixer.fc2_latent_proj.weight": "ffn_latent_up.weight",
    "mixer.experts.up_proj": "ffn_up_exps.weight",
    "mixer.experts.down_proj": "ffn_down_exps.weight",
    "mixer.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
    "mixer.shared_experts.down_proj.weight": "ffn_down_shexp.weight"}


def nemotron_gguf(folder, arch, kinds, **changes):
    config = transformers.NemotronHConfig(**{
        **{k: v for k, v in BASE.items() if k not in (
            "rms_norm_eps", "num_hidden_layers")}, **NEMOTRON,
        "time_step_min": 1e-9, "mamba_head_dim": 16, "use_bias": False,
        "mlp_bias": False, "layers_block_type": kinds, **changes})
    model = nemotron_model(config)
    c = config
    w = open_gguf(folder, arch, c)
    experts = "moe" in kinds
    w.add_feed_forward_length([
        c.moe_intermediate_size if kind == "moe" else
        c.intermediate_size if kind == "mlp" else 0 for kind in kinds])
    w.add_head_count_kv([c.num_key_value_heads * (kind == "full_attention")
                         for kind in kinds])
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.layer_norm_epsilon)
    mamba_facts(w, c.conv_kernel, c.ssm_state_size, c.n_groups,
                c.mamba_num_heads, c.mamba_num_heads * c.mamba_head_dim)
    if experts:
        w.add_expert_count(c.n_routed_experts)
        w.add_expert_used_count(c.num_experts_per_tok)
        w.add_expert_feed_forward_length(c.moe_intermediate_size)
        w.add_expert_shared_feed_forward_length(
            c.moe_shared_expert_intermediate_size)
        w.add_expert_shared_count(c.n_shared_experts)
        w.add_expert_weights_norm(c.norm_topk_prob)
        w.add_expert_weights_scale(c.routed_scaling_factor)
        if c.moe_latent_size:
            w.add_moe_latent_size(c.moe_latent_size)
        w.add_expert_group_count(c.n_group)
        w.add_expert_group_used_count(c.topk_group)
    for name, tensor in values(model).items():
        parts = name.split(".")
        target = {**TOP_NAMES, "model.embeddings.weight": "token_embd.weight",
                  "model.norm_f.weight": "output_norm.weight"}.get(name)
        if target is None:
            inner = NEMOTRON_NAMES[".".join(parts[3:])]
            target = f"blk.{parts[2]}.{inner}"
        add(w, target, mamba_tensor(name, tensor, c.n_groups))
    close_gguf(w)
    golden(folder, model)


FIXTURES = {
    "nemotron_h_gguf": lambda folder: nemotron_gguf(
        folder, "nemotron_h", ["linear_attention", "full_attention", "mlp"]),
    "nemotron_h_moe_gguf": lambda folder: nemotron_gguf(
        folder, "nemotron_h_moe", ["moe", "full_attention", "linear_attention"]),
    "granitehybrid_gguf": lambda folder: granite_gguf(
        folder, num_local_experts=4, num_experts_per_tok=2,
        position_embedding_type="rope"),
    "granitehybrid_dense_gguf": lambda folder: granite_gguf(
        folder, position_embedding_type="nope"),
    "granitemoehybrid": granite,
    "granitemoehybrid_experts": lambda folder: granite(
        folder, num_local_experts=4, num_experts_per_tok=2,
        position_embedding_type="rope"),
    "nemotron_h": nemotron_h,
    "nemotron_h_latent": lambda folder: nemotron_h(
        folder, "EM*", moe_latent_size=24),
}
