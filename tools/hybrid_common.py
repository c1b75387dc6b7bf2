"""What the tiny hybrids of recurrent layers and attention share; see
make_model_fixtures.py."""

import json

import gguf
import mlx.core as mx
import numpy as np
import torch

VOCAB = 96
TOKENS = 72  # over the reference's own chunks of 64
BASE = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            max_position_embeddings=512, eos_token_id=[1, 2], bos_token_id=3,
            pad_token_id=0, rms_norm_eps=1e-5)


def randomise(model, less_one):
    """less_one: whether a norm of this name is stored less one."""
    torch.manual_seed(11)
    for name, p in model.named_parameters():
        noise = torch.randn_like(p)
        if "norm" in name and name.endswith("weight"):
            p.data = 0.2 * noise + (0.0 if less_one(name) else 1.0)
        elif name.endswith("A_log"):
            p.data = torch.log(torch.rand_like(p) * 4 + 0.2)
        elif name.endswith(("bias", "dt_bias")) or name.endswith(".D"):
            p.data = 0.5 * noise
        elif "conv" in name:
            p.data = 0.6 * noise
        elif "embed" in name:
            p.data = 0.5 * noise
        else:
            p.data = noise * (1.5 / p.shape[-1] ** 0.5)
    return model.eval().float()


def golden(folder, model):
    ids = np.random.default_rng(5).integers(0, VOCAB, TOKENS)
    with torch.no_grad():
        logits = model(torch.tensor(ids[None])).logits[0].float().numpy()
    logits.tofile(folder / "golden.bin")
    (folder / "golden.json").write_text(
        json.dumps({"tokens": ids.tolist(), "vocabulary": VOCAB}) + "\n")


def write(folder, config, tensors):
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text("{}\n")
    mx.save_safetensors(
        str(folder / "model.safetensors"), tensors, {"format": "mlx"})


def values(model):
    tied = model.config.tie_word_embeddings
    return {n: t.detach().clone() for n, t in model.state_dict().items()
            if not (tied and n == "lm_head.weight")}


def rounded(model, dtype=torch.float16):
    """The model with weights that the dtype holds exactly."""
    model.load_state_dict(
        {n: t.to(dtype).float() for n, t in model.state_dict().items()})
    return model


def halves(tensors):
    return {n: mx.array(t.numpy()).astype(mx.float16)
            for n, t in tensors.items()}


def settings(model, keys):
    full = json.loads(model.config.to_json_string(use_diff=False))
    return {k: full[k] for k in keys if k in full}


def quantise(tensors, scheme, other, keep):
    """Packs matrices; `other` names modules of a second scheme. Returns the
    tensors and the values that they hold."""
    out, back = {}, {}
    for name, tensor in tensors.items():
        w = mx.array(tensor.numpy()).astype(mx.bfloat16)
        module = name.removesuffix(".weight")
        use = next((s for part, s in other.items() if part in module), scheme)
        if w.ndim != 2 or keep(name):
            out[name] = w
        else:
            packed, scales, biases = mx.quantize(w, **use)
            out |= {name: packed, module + ".scales": scales,
                    module + ".biases": biases}
            w = mx.dequantize(
                packed, scales.astype(mx.float32), biases.astype(mx.float32),
                **use)
        back[name] = torch.from_numpy(np.array(w.astype(mx.float32)))
    return out, back


def affine(bits, group=32):
    return dict(bits=bits, group_size=group, mode="affine")


def open_gguf(folder, arch, c):
    """A writer with what every architecture says."""
    w = gguf.GGUFWriter(str(folder / "model.gguf"), arch)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_head_count(c.num_attention_heads)
    w.add_eos_token_id(1)
    return w


def close_gguf(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
