"""Tokenizers made in Python from a GGUF's vocabulary, apart from src/text.

Used by make_text_fixtures.py and text_parity.py. Byte-level models use the
transformers classes of the model family, the SentencePiece one transformers'
own generate_merges; needs the packages gguf, tokenizers and transformers.
"""
import random

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers import pre_tokenizers
from tokenizers.models import BPE

MODELS = ["smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"]
CONTROL, USER_DEFINED = 3, 4


def fields(path):
    reader = gguf.GGUFReader(path)

    def get(name, default=None):
        field = reader.fields.get("tokenizer." + name)
        return default if field is None else field.contents()

    return get


def reference(path):
    """The Hugging Face tokenizer of the file's vocabulary."""
    get = fields(path)
    tokens = get("ggml.tokens")
    kinds = get("ggml.token_type")
    vocab = {token: i for i, token in enumerate(tokens)}
    if get("ggml.model") == "llama":
        made = pieces(get, tokens, kinds, vocab)
    else:
        made = byte_level(get, vocab)
    for token, kind in zip(tokens, kinds):
        if kind in (CONTROL, USER_DEFINED):
            made.add_tokens([AddedToken(
                token, special=kind == CONTROL, normalized=False)])
    return made


def pieces(get, tokens, kinds, vocab):
    from transformers.tokenization_utils_base import generate_merges
    scores = get("ggml.scores")
    ranked = {}
    for token, kind, score in zip(tokens, kinds, scores):
        if kind not in (2, CONTROL):
            # SentencePiece's own score of a user-defined piece is 0.
            ranked[token] = 0.0 if kind == USER_DEFINED else score
    made = Tokenizer(BPE(
        vocab=vocab, merges=generate_merges(vocab, ranked), fuse_unk=True,
        unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(
        " ", behavior="merged_with_previous")
    made.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return made


def byte_level(get, vocab):
    from transformers.models.qwen2 import tokenization_qwen2
    merges = [tuple(m.split(" ")) for m in get("ggml.merges")]
    made = Tokenizer(BPE(vocab=vocab, merges=merges))
    made.decoder = decoders.ByteLevel()
    if get("ggml.pre") == "qwen2":
        from tokenizers import Regex
        made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(
                Regex(tokenization_qwen2.PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(
                add_prefix_space=False, use_regex=False)])
    else:
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return made


TEXTS = [
    "", " ", "Hello, world!", "The quick brown fox jumps over 13 lazy dogs.",
    "I'll say it's they'RE we've I'D don't CAN'T", "naïve café cafe\u0301 ﬁ",
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n",
    "Straße, Größe, Äpfel und Übermut: 3,14 €!", "你好，世界。今天天气很好！",
    "こんにちは世界、元気ですか？カタカナ", "👩‍👩‍👧‍👦 👍🏽 🇩🇪 😀😀", "مرحبا بالعالم، كيف حالك؟",
    "   three   spaces  ", "\n\n\n\n  \n\t\t x \r\n y\r", " " * 40 + "x" + "\n" * 70,
    "1234567890 12 345 6,789.01 ٣٤٥ Ⅳ²", "\x00\x01\x1f\x7f\x85\u200b\ufeff\u2028z",
    "<b>bold</b> <|not_a_token|> <<>> [INST] </s> <h1>", "a\u00a0b\u3000c\u2003d",
    "हिन्दी भाषा ไทยภาษา 한국어 עברית", "\ufffd\ufffd �", "𝕳𝖊𝖑𝖑𝖔 𐍈 \U0010ffff",
    "https://example.org/a?b=c&d=%20#e user@mail.com", "__init__ camelCase SNAKE_CASE",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n",
    "<tool_call>\n{\"name\": \"f\"}\n</tool_call><|endoftext|>", "▁▁ _ ▁x",
    "x<0x0A>y<unk>z", "..." * 20, "aaaa" * 30, "\t" * 33 + "end",
]


def random_texts(count, seed=7):
    chosen = random.Random(seed)
    alphabets = ["abc XYZ", "0123456789 ", " \n\t\r", "äöüßéñ ", "你好世界。",
                 "👩‍👦🏽 ", "مرحبا ", "{}[]()<>|'\"_-+*/=.,;:!?", "\x00\x07\x1b\u200d"]
    out = []
    for _ in range(count):
        text = ""
        for _ in range(chosen.randrange(1, 12)):
            alphabet = chosen.choice(alphabets)
            size = chosen.randrange(1, 9)
            text += "".join(chosen.choice(alphabet) for _ in range(size))
        out.append(text)
    return out
