"""The fixtures of models with several residual streams and compressed
attention; run by make_model_fixtures.py.

All kinds of layers, a window and index smaller than the prompt, numbers off
their defaults; saved as transformers does, as MLX checkpoints are named, and
as the weights are published (fp8 in blocks, experts packed to nibbles).
"""

import contextlib
import json
import pathlib
import tempfile

import mlx.core as mx
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.deepseek_v4 import modeling_deepseek_v4

VOCAB, TOKENS = 96, 150
HEAVY, SPARSE, SLIDING = (
    "heavily_compressed_attention", "compressed_sparse_attention",
    "sliding_attention")
BASE = dict(
    vocab_size=VOCAB, hidden_size=64, moe_intermediate_size=16,
    num_hidden_layers=4, num_attention_heads=4, head_dim=32, q_lora_rank=24,
    num_experts_per_tok=3, n_routed_experts=6, routed_scaling_factor=1.7,
    max_position_embeddings=512, rope_theta=7000.0,
    compress_rope_theta=90000.0, partial_rotary_factor=0.5,
    layer_types=[SLIDING, SPARSE, HEAVY, SPARSE],
    compress_rates={SPARSE: 4, HEAVY: 24}, hc_mult=3, hc_sinkhorn_iters=5,
    hc_eps=1e-4, mlp_layer_types=["hash_moe", "hash_moe", "moe", "moe"],
    swiglu_limit=0.9, sliding_window=11, o_groups=2, o_lora_rank=20,
    index_n_heads=10, index_head_dim=24, index_topk=5, rms_norm_eps=1e-5,
    bos_token_id=1, eos_token_id=2,
    rope_parameters={
        "rope_type": "yarn", "factor": 4.0, "beta_fast": 20.0,
        "beta_slow": 2.0, "original_max_position_embeddings": 64})


def make(**changes):
    torch.manual_seed(13)
    config = transformers.DeepseekV4Config(**{**BASE, **changes})
    model = transformers.DeepseekV4ForCausalLM(config)
    for key, p in [*model.named_parameters(), *model.named_buffers()]:
        if "inv_freq" in key:
            continue
        if key.endswith("tid2eid"):
            p.data = torch.randint(0, config.n_routed_experts, p.shape)
            continue
        noise = torch.randn_like(p.float())
        if "norm" in key:
            p.data = 1 + 0.2 * noise
        elif key.endswith("correction_bias"):
            p.data = 0.15 * noise
        elif key.endswith(("base", "sinks", "position_bias")):
            p.data = 0.5 * noise
        elif key.endswith("scale"):
            p.data = 1 + 0.3 * noise
        elif "embed_tokens" in key:
            p.data = 0.5 * noise
        else:
            # A router that is sure, gates of entries that differ.
            sure = 4 if ".gate.weight" in key else (
                3 if "gate_proj" in key and "compressor" in key else 1.5)
            p.data = noise * (sure / p.shape[-1] ** 0.5)
    return model.eval().float()


@contextlib.contextmanager
def no_ties(config):
    """Which of two entries with one score is seen is nobody's rule: a fixture
    must not ask."""
    scorer = modeling_deepseek_v4.DeepseekV4IndexerScorer
    scores_of = scorer.forward

    def checked(self, *args):
        scores = scores_of(self, *args)
        rate, top = config.compress_rates[SPARSE], config.index_topk
        for row, all_scores in enumerate(scores[0]):
            made = all_scores[:(row + 1) // rate].sort(descending=True).values
            assert len(made) <= top or made[top - 1] - made[top] > 1e-4, row
        return scores

    scorer.forward = checked
    yield
    scorer.forward = scores_of


def golden(folder, model):
    ids = np.random.default_rng(3).integers(0, VOCAB, TOKENS)
    with torch.no_grad(), no_ties(model.config):
        logits = model(torch.tensor(ids[None])).logits[0]
    logits.float().numpy().tofile(folder / "golden.bin")
    (folder / "golden.json").write_text(
        json.dumps({"tokens": ids.tolist(), "vocabulary": VOCAB}) + "\n")


def rounded(model):
    """The model with weights that bfloat16 holds."""
    model.load_state_dict({
        n: t.to(torch.bfloat16).float() if t.is_floating_point() else t
        for n, t in model.state_dict().items()})
    return model


def write(folder, tensors, config):
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text("{}\n")
    save_file({n: t.contiguous() for n, t in tensors.items()},
              str(folder / "model.safetensors"), {"format": "pt"})


def config_of(model):
    with tempfile.TemporaryDirectory() as place:
        model.config.save_pretrained(place)
        return json.loads((pathlib.Path(place) / "config.json").read_text())


def halves(tensors):
    return {n: t.to(torch.bfloat16) if t.is_floating_point() else t
            for n, t in tensors.items()}


def as_saved(folder, model):
    """By save_pretrained, names and all."""
    rounded(model)
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        tensors = load_file(place + "/model.safetensors")
    write(folder, halves(tensors), config_of(model))
    golden(folder, model)


def as_held(folder, model):
    """As transformers has them in memory."""
    rounded(model)
    tensors = {n: t.clone() for n, t in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    write(folder, halves(tensors), config_of(model))
    golden(folder, model)


LEAVES = [
    ("self_attn.compressor.indexer.scorer.", "attn.indexer."),
    ("self_attn.compressor.indexer.q_b_proj", "attn.indexer.wq_b"),
    ("self_attn.compressor.indexer.", "attn.indexer.compressor."),
    ("compressor.kv_norm", "compressor.norm"), ("self_attn.", "attn."),
    ("position_bias", "ape"), ("q_a_proj", "wq_a"), ("q_b_proj", "wq_b"),
    ("attn.kv_proj", "attn.wkv"), ("compressor.kv_proj", "compressor.wkv"),
    ("compressor.gate_proj", "compressor.wgate"), ("o_a_proj", "wo_a"),
    ("o_b_proj", "wo_b"), ("q_a_norm", "q_norm"), ("sinks", "attn_sink"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"), ("mlp.", "ffn.")]


def leaf_names(model):
    """The names that the published and MLX's checkpoints share; experts
    apart."""
    out = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in LEAVES:
            name = name.replace(ours, theirs)
        if name.endswith("experts.gate_up_proj"):
            gate, up = tensor.chunk(2, dim=1)
            out[name.replace("gate_up_proj", "w1")] = gate
            out[name.replace("gate_up_proj", "w3")] = up
        elif name.endswith("experts.down_proj"):
            out[name.replace("down_proj", "w2")] = tensor
        else:
            out[name] = tensor.clone()
    return out


RATIOS = {SLIDING: 0, SPARSE: 4, HEAVY: 128}


def published_config(model):
    """As the files of the published weights have it."""
    config = config_of(model)
    rope = config.pop("rope_parameters")["compress"]
    return {k: v for k, v in config.items() if k not in (
        "layer_types", "compress_rates", "mlp_layer_types",
        "partial_rotary_factor")} | {
        "compress_ratios": [RATIOS[k] for k in config["layer_types"]] + [0],
        "num_hash_layers": config["mlp_layer_types"].count("hash_moe"),
        "rope_scaling": {
            "type": "yarn", **{k: rope[k] for k in (
                "factor", "beta_fast", "beta_slow",
                "original_max_position_embeddings")}}}


def put_back(model, name, values):
    """Sets a parameter by its name among leaf_names()."""
    state = model.state_dict()
    for ours in state:
        leaf = ours
        for mine, theirs in LEAVES:
            leaf = leaf.replace(mine, theirs)
        half = state[ours].shape[1] // 2 if state[ours].ndim == 3 else 0
        if leaf == name:
            state[ours].copy_(values)
        elif leaf.endswith("gate_up_proj") and name == leaf.replace(
                "gate_up_proj", "w1"):
            state[ours][:, :half] = values
        elif leaf.endswith("gate_up_proj") and name == leaf.replace(
                "gate_up_proj", "w3"):
            state[ours][:, half:] = values
        elif leaf.endswith("experts.down_proj") and name == leaf.replace(
                "down_proj", "w2"):
            state[ours].copy_(values)


BLOCK = 32  # of fp8; the published files have 128
NIBBLES = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def to_fp8(tensor):
    """Bytes and exponents of BLOCK x BLOCK, and what they hold."""
    rows, cols = tensor.shape
    scales = torch.empty(-(-rows // BLOCK), -(-cols // BLOCK))
    held = torch.empty_like(tensor)
    codes = torch.empty(tensor.shape, dtype=torch.float8_e4m3fn)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            at = (slice(i * BLOCK, (i + 1) * BLOCK),
                  slice(j * BLOCK, (j + 1) * BLOCK))
            scale = 2.0 ** np.ceil(np.log2(tensor[at].abs().max() / 448))
            codes[at] = (tensor[at] / scale).to(torch.float8_e4m3fn)
            held[at] = codes[at].float() * scale
            scales[i, j] = scale
    return codes, scales.to(torch.float8_e8m0fnu), held


def to_nibbles(tensor):
    """Two values a byte, an exponent for each 32, and what they hold."""
    groups = tensor.reshape(tensor.shape[0], -1, 32)
    top = groups.abs().amax(-1, keepdim=True)
    scale = 2.0 ** torch.ceil(torch.log2(top / 6))
    table = torch.tensor(NIBBLES)
    codes = (groups.abs() / scale)[..., None].sub(table).abs().argmin(-1)
    held = (table[codes] * scale).copysign(groups).reshape(tensor.shape)
    codes = (codes + 8 * (groups < 0)).reshape(tensor.shape).to(torch.uint8)
    packed = (codes[:, ::2] | codes[:, 1::2] << 4).view(torch.int8)
    return packed, scale[..., 0].to(torch.float8_e8m0fnu), held


FP8 = ("wq_a.weight", "wq_b.weight", "attn.wkv.weight", "wo_a.weight",
       "wo_b.weight", "w1.weight", "w2.weight", "w3.weight")


def as_published(folder, model):
    rounded(model)
    out = {}
    for name, tensor in leaf_names(model).items():
        bare = name.removeprefix("model.")
        for ours, theirs in (
                ("embed_tokens", "embed"), ("lm_head", "head"),
                ("hc_head.hc_", "hc_head_"), ("attn_hc.", "hc_attn_"),
                ("ffn_hc.", "hc_ffn_"), ("shared_experts.gate_proj",
                                         "shared_experts.w1"),
                ("shared_experts.down_proj", "shared_experts.w2"),
                ("shared_experts.up_proj", "shared_experts.w3"),
                ("gate.e_score_correction_bias", "gate.bias")):
            bare = bare.replace(ours, theirs)
        if bare[-2:] in ("w1", "w2", "w3"):
            held = []
            for e, one in enumerate(tensor):
                at = bare[:-2] + f"{e}." + bare[-2:]
                out[at + ".weight"], out[at + ".scale"], back = to_nibbles(one)
                held.append(back)
            put_back(model, name, torch.stack(held))
        elif bare.endswith(FP8):
            at = bare.removesuffix(".weight")
            out[bare], out[at + ".scale"], held = to_fp8(tensor)
            put_back(model, name, held)
        else:
            out[bare] = halves({"": tensor})[""]
    # The layer that guesses further tokens, which nobody reads.
    out["mtp.0.norm.weight"] = torch.ones(64)
    out["mtp.0.attn.wq_a.weight"] = torch.ones(4, 64)
    write(folder, out, published_config(model) | {
        "expert_dtype": "fp4", "quantization_config": {
            "quant_method": "fp8", "fmt": "e4m3", "scale_fmt": "ue8m0",
            "activation_scheme": "dynamic",
            "weight_block_size": [BLOCK, BLOCK]}})
    golden(folder, model)


def as_mlx(folder, model):
    """As MLX's checkpoints are: experts stacked, matrices of 4 bits."""
    rounded(model)
    out = {}
    for name, tensor in leaf_names(model).items():
        t = mx.array(tensor.numpy())
        if tensor.is_floating_point():
            t = t.astype(mx.bfloat16)
        at = name.replace("hc_head.hc_", "hc_head.")
        for ours, theirs in (("w1", "gate_proj"), ("w2", "down_proj"),
                             ("w3", "up_proj")):
            at = at.replace(
                f"experts.{ours}", f"switch_mlp.{theirs}.weight")
        if t.ndim < 2 or not at.endswith(".weight") or "gate.weight" in at:
            out[at] = t
            continue
        packed, scales, biases = mx.quantize(t, group_size=32, bits=4)
        module = at.removesuffix(".weight")
        out |= {at: packed, module + ".scales": scales,
                module + ".biases": biases}
        held = mx.dequantize(
            packed, scales.astype(mx.float32), biases.astype(mx.float32),
            group_size=32, bits=4)
        put_back(model, name, torch.from_numpy(np.array(held)))
    scheme = dict(group_size=32, bits=4, mode="affine")
    (folder / "config.json").write_text(json.dumps(
        published_config(model) | {"quantization": scheme}, indent=1) + "\n")
    (folder / "tokenizer.json").write_text("{}\n")
    mx.save_safetensors(
        str(folder / "model.safetensors"), out, {"format": "mlx"})
    golden(folder, model)


EVEN = dict(moe_intermediate_size=32, q_lora_rank=32, o_lora_rank=16,
            index_head_dim=32,
            num_hidden_layers=3, layer_types=[SPARSE, HEAVY, SLIDING],
            mlp_layer_types=["hash_moe", "moe", "moe"], index_topk=7,
            compress_rates={SPARSE: 4, HEAVY: 128})
FIXTURES = {
    "deepseek_v4_saved": lambda d: as_saved(d, make()),
    "deepseek_v4_held": lambda d: as_held(d, make(
        num_hidden_layers=3, layer_types=[HEAVY, SPARSE, SPARSE],
        mlp_layer_types=["moe", "hash_moe", "moe"], hc_mult=2,
        compress_rates={SPARSE: 3, HEAVY: 10}, scoring_func="sigmoid",
        sliding_window=70, tie_word_embeddings=True, index_topk=9,
        hc_sinkhorn_iters=1, o_groups=4, rope_parameters=None,
        swiglu_limit=2.0)),
    "deepseek_v4_published": lambda d: as_published(d, make(**EVEN)),
    "deepseek_v4_affine4": lambda d: as_mlx(d, make(**EVEN)),
}
