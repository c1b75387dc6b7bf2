"""A tokenizer of transformers made of a model's GGUF file, for programs that
want one and may not fetch it. Needs the packages gguf and transformers."""

import json
import pathlib
import subprocess

import serving

# How a file names the cutting of text before its merges.
SPLITS = {
    "smollm": [("digits", True)],
    "qwen2": [("regex",
               r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")],
}


def save_tokenizer(file, folder):
    """A tokenizer of transformers from a model's file with byte-level BPE."""
    import gguf
    from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                            pre_tokenizers)
    from transformers import PreTrainedTokenizerFast

    fields = gguf.GGUFReader(file).fields

    def value(name):
        return fields["tokenizer.ggml." + name].contents()

    kind = value("pre")
    if kind not in SPLITS:
        raise SystemExit(f"error: no way to cut text as {kind} does is known "
                         f"here\nhint: --model {' or '.join(SPLITS)}")
    tokens, types = value("tokens"), value("token_type")
    out = Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[tuple(pair.split(" ", 1)) for pair in value("merges")]))
    cuts = [pre_tokenizers.Digits(what) if how == "digits" else
            pre_tokenizers.Split(Regex(what), "isolated")
            for how, what in SPLITS[kind]]
    out.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=kind == "smollm")])
    out.decoder = decoders.ByteLevel()
    out.add_special_tokens([
        AddedToken(token, special=True, normalized=False)
        for token, type_ in zip(tokens, types) if type_ == 3])
    end = tokens[value("eos_token_id")]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=out, eos_token=end, pad_token=end)
    fast.save_pretrained(folder)
    return fast


def file_of(model):
    listed = json.loads(subprocess.run(
        [serving.BINARY, "ls", "--json"], check=True, capture_output=True,
        text=True).stdout)
    (path,) = [pathlib.Path(m["path"]) for m in listed if m["name"] == model]
    return path if path.is_file() else next(path.glob("*.gguf"))


def same_ids(server, tokenizer, texts):
    for text in texts:
        ids = serving.ask(server, "POST", "/tokenize", {
            "prompt": text, "add_special_tokens": False})[1]["tokens"]
        own = tokenizer.encode(text, add_special_tokens=False)
        if ids != own:
            raise SystemExit(f"error: the server has other ids for {text!r}: "
                             f"{ids} and {own}")
