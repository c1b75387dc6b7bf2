"""A model's or vendor's name only in models formats agents data tests docs."""

import re
import unittest

import tree

NAMES = re.compile(
    r"\b(qwen|llama|gemma|mistral|mixtral|deepseek|smollm|phi[-_ ]?[34]|glm|"
    r"kimi|minimax|nemotron|granite|harmony|gpt[-_]oss|hermes|openai|anthropic|"
    r"ollama|claude|codex)[a-z0-9_.-]*", re.I)
FREE = {"models", "formats", "agents"}
# path -> names that are facts of a file format or of the wire, with a reason.
EXCEPTIONS = {
    # GGUF names its SentencePiece vocabulary "llama" and pre-tokenizers by model.
    "src/text/": {"llama", "pre"},
    "src/hub/gguf": {"llama"},
    # Headers that agents send to say which session a request belongs to.
    "src/api/lane.cpp": {"claude-code"},
    # A client of that dialect has its service's model names built in.
    "src/api/anthropic_common.cpp": {"claude-"},
    # The program that `bench --vs-llama-bench` measures us against.
    "src/bench/": {"llama-bench", "llama_bench", "llamabench", "llama.cpp"},
    "src/cli/bench.cpp": {"llama-bench", "llama.cpp"},
    "src/cli/side_by_side": {"llama-bench"},
}


class Names(unittest.TestCase):
    def test_vendor_names(self):
        wrong = []
        for path in tree.sources():
            layer = tree.layer_of(path)
            if layer in FREE:
                continue
            text = tree.without_comments(path.read_text())
            for match in NAMES.finditer(text):
                word = match.group(0).lower()
                if self.allowed(tree.name_of(path), layer, word):
                    continue
                wrong.append(f"{tree.name_of(path)}: {word}")
        self.assertEqual(sorted(set(wrong)), [])

    @staticmethod
    def allowed(name, layer, word):
        # api/ may name the dialects it speaks; cli/ the default model.
        if layer == "api" and re.match(r"(openai|anthropic|ollama)", word):
            return True
        return any(
            name.startswith(prefix) and
            any(word.startswith(w) for w in words)
            for prefix, words in EXCEPTIONS.items())


if __name__ == "__main__":
    unittest.main()
