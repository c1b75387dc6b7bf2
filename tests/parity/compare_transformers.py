#!/usr/bin/env python3
"""Our logits against transformers in float32, on real text.

    compare_transformers.py --logits build/release/bin/parity_logits \
        [--tokens 2048] [--window 512] MODEL.gguf...

The GGUF is dequantised by PyPI's gguf package into a transformers model: an
implementation that shares nothing with ours. Prints mean and max
KL(reference || ours) and top-1 agreement; exits 1 over 1e-5 or under 99.9 %.
--golden DIR also writes the small numbers that CI compares with.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLACES = ["README.md", "docs", "src", "/usr/share/common-licenses"]
MAX_KL, MIN_TOP1 = 1e-5, 0.999


def real_text():
    """Prose, code and licences, a piece of each in turn."""
    files = []
    for place in PLACES:
        path = ROOT / place
        files += sorted(p for p in path.rglob("*") if p.is_file()) \
            if path.is_dir() else [path]
    for i in range(0, 200):
        yield files[i * 7919 % len(files)].read_text(errors="replace")[:3000]


def field(reader, name, default=None):
    found = reader.fields.get(name)
    return default if found is None else found.contents()


def tokens_of(reader, path, count):
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        str(path.parent), gguf_file=path.name)
    ids = []
    for text in real_text():
        ids += tokenizer(text, add_special_tokens=False).input_ids
        if len(ids) >= count:
            return np.array(ids[:count], np.int32)
    raise SystemExit("not enough text")


def config_of(reader, arch):
    def get(key, default=None):
        return field(reader, f"{arch}.{key}", default)

    heads, hidden = get("attention.head_count"), get("embedding_length")
    names = {t.name for t in reader.tensors}
    vocab = next(t.shape[1] for t in reader.tensors
                 if t.name == "token_embd.weight")
    options = dict(
        vocab_size=int(vocab), hidden_size=hidden,
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv"),
        max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in names)
    theta = get("rope.freq_base", 10000.0)
    if arch == "gemma3":
        dim = get("attention.key_length")
        return transformers.Gemma3TextConfig(
            **options, head_dim=dim, query_pre_attn_scalar=dim,
            sliding_window=get("attention.sliding_window"),
            rope_parameters={
                "full_attention": {"rope_type": "default",
                                   "rope_theta": theta},
                "sliding_attention": {"rope_type": "default",
                                      "rope_theta": 10000.0}})
    rope = {"rope_type": "default", "rope_theta": theta}
    kind = {"llama": transformers.LlamaConfig,
            "qwen2": transformers.Qwen2Config}[arch]
    return kind(**options, rope_parameters=rope)


def reference(reader, arch):
    """The transformers model with the file's exact values, in float32."""
    config = config_of(reader, arch)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="eager")
    model = model.to_empty(device="cpu")
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[arch.upper()], config.num_hidden_layers)
    targets = {}
    for name, _ in model.named_parameters():
        key = names.get_name(name, try_suffixes=(".weight", ".bias"))
        targets[key] = name
    parameters = dict(model.named_parameters())
    left = set(parameters)
    for tensor in reader.tensors:
        name = targets[tensor.name]
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if arch == "llama" and ("attn_q." in tensor.name or
                                "attn_k." in tensor.name):
            heads = config.num_attention_heads if "attn_q." in tensor.name \
                else config.num_key_value_heads
            data = (data.reshape(heads, -1, 2, data.shape[-1])
                    .swapaxes(1, 2).reshape(data.shape))
        if arch == "gemma3" and name.endswith("norm.weight"):
            data = data - 1
        target = parameters[name]
        target.data = torch.from_numpy(
            np.array(data, np.float32, copy=True)).reshape(target.shape)
        left.discard(name)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
        left.discard("lm_head.weight")
    assert not left, left
    restore_buffers(model, config)
    return model.eval()


def restore_buffers(model, config):
    """to_empty() leaves rotary tables and scales undefined: copy real ones."""
    small = type(config)(**{**config.to_dict(), "vocab_size": 8,
                            "pad_token_id": 0, "num_hidden_layers": 1,
                            "intermediate_size": 8, "layer_types": None})
    if hasattr(config, "layer_types"):
        small.num_hidden_layers = config.num_hidden_layers
        small.layer_types = config.layer_types
    fresh = transformers.AutoModelForCausalLM.from_config(
        small, dtype=torch.float32)
    values = dict(fresh.named_buffers())
    for name, buffer in model.named_buffers():
        buffer.data.copy_(values[name].data)


def ours(program, path, ids, window, out):
    with tempfile.NamedTemporaryFile() as f:
        head = np.array([len(ids) // window, window], np.int32)
        f.write(head.tobytes() + ids.tobytes())
        f.flush()
        subprocess.run([program, str(path), f.name, out], check=True)


def compare(model, path, ids, window, vocab):
    """KL per position and top-1 agreement, one window at a time."""
    mine = np.memmap(path, np.float32, "r", shape=(len(ids), vocab))
    kl, same = [], 0
    for at in range(0, len(ids), window):
        with torch.no_grad():
            hidden = model.model(
                torch.tensor(ids[None, at:at + window].astype(np.int64))
            ).last_hidden_state[0]
            for row in range(0, window, 128):
                want = model.lm_head(hidden[row:row + 128])
                got = torch.from_numpy(np.array(
                    mine[at + row:at + row + want.shape[0]]))
                same += int((want.argmax(-1) == got.argmax(-1)).sum())
                p = want.double().log_softmax(-1)
                q = got.double().log_softmax(-1)
                kl.append((p.exp() * (p - q)).sum(-1))
    kl = torch.cat(kl)
    return kl.mean().item(), kl.max().item(), same / len(ids)


def golden(model, path, ids, folder):
    with torch.no_grad():
        logits = model(torch.tensor(ids[None, :64].astype(np.int64))).logits
    top = logits[0].double().log_softmax(-1).topk(5)
    rows = [[[i, round(v, 6)] for i, v in zip(a, b)] for a, b in
            zip(top.indices.tolist(), top.values.tolist())]
    text = json.dumps({"model": path.name, "tokens": ids[:64].tolist(),
                       "top": rows}, separators=(",", ":"))
    (folder / (path.stem + ".json")).write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--logits", required=True)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--golden", type=pathlib.Path)
    args = parser.parse_args()
    bad = False
    for path in args.models:
        reader = gguf.GGUFReader(str(path))
        arch = field(reader, "general.architecture")
        ids = tokens_of(reader, path, args.tokens)
        model = reference(reader, arch)
        if args.golden:
            golden(model, path, ids, args.golden)
        with tempfile.NamedTemporaryFile() as out:
            ours(args.logits, path, ids, args.window, out.name)
            mean, most, top1 = compare(
                model, out.name, ids, args.window, model.config.vocab_size)
        ok = mean <= MAX_KL and top1 >= MIN_TOP1
        bad |= not ok
        print(f"{path.name}: {len(ids)} tokens, mean KL {mean:.3e}, "
              f"max KL {most:.3e}, top-1 {top1:.4%} "
              f"{'ok' if ok else 'FAILED'}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
