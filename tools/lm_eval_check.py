#!/usr/bin/env python3
"""lm-eval against a server: multiple choice over /v1/completions with token
ids and echoed logprobs, from questions that its own wheel holds (57 subjects),
so that no data set is fetched. The tokenizer is made of the model's file, and
compared with the server's.

  tools/lm_eval_check.py [--model NAME] [--questions N] [--json]
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import own_python
import serving

PACKAGES = ["lm-eval[api]==0.4.13", "transformers==5.24.0", "gguf==0.19.0"]
# How a file names the cutting of text before its merges.
SPLITS = {
    "smollm": [("digits", True)],
    "qwen2": [("regex",
               r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")],
}
TASK = """task: wheel_questions
dataset_path: json
dataset_kwargs:
  data_files: {data}
output_type: multiple_choice
test_split: train
doc_to_text: "{{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""


def questions():
    """{"question", "choices", "answer"}, subjects in turn."""
    spec = importlib.util.find_spec("lm_eval")
    path = (pathlib.Path(spec.submodule_search_locations[0]) /
            "tasks/mmlu/flan_cot_fewshot/_cot_prompts.json")
    subjects = []
    for prompt in json.loads(path.read_text()).values():
        found = re.findall(
            r"Q: (.*?)\n\(A\) (.*?) \(B\) (.*?) \(C\) (.*?) \(D\) (.*?)\nA:"
            r".*?[Tt]he answer is \(([A-D])\)", prompt, re.S)
        subjects.append([{
            "question": one[0].strip(), "answer": "ABCD".index(one[5]),
            "choices": [" " + choice.strip() for choice in one[1:5]],
        } for one in found])
    return [subject[i] for i in range(5) for subject in subjects
            if i < len(subject)]


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


def evaluate(server, folder, count):
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1",
                      HF_HOME=str(folder / "hf"), TOKENIZERS_PARALLELISM="false",
                      OPENAI_API_KEY="none")
    import lm_eval
    from lm_eval.tasks import TaskManager

    data = folder / "questions.jsonl"
    data.write_text("".join(
        json.dumps(one) + "\n" for one in questions()[:count]))
    (folder / "task.yaml").write_text(TASK.format(data=data))
    done = lm_eval.simple_evaluate(
        model="local-completions", tasks=["wheel_questions"],
        model_args={"model": "default", "tokenizer": str(folder / "tokenizer"),
                    "base_url": server.url + "/v1/completions",
                    "tokenized_requests": True, "num_concurrent": 2,
                    "max_retries": 1},
        task_manager=TaskManager(include_path=str(folder)),
        bootstrap_iters=0, verbosity="ERROR")
    return done["results"]["wheel_questions"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    own_python.run_in("lm-eval", PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = serving.Server(options.model, "--disk-cache", "0")
        try:
            tokenizer = save_tokenizer(
                file_of(options.model), folder / "tokenizer")
            asked = questions()[:options.questions]
            same_ids(server, tokenizer, [
                text for one in asked
                for text in (one["question"], *one["choices"])])
            start = time.monotonic()
            result = evaluate(server, folder, options.questions)
            seconds = time.monotonic() - start
            counted = server.metrics()
        finally:
            server.stop()
    row = {"model": options.model, "questions": len(asked),
           "acc": result["acc,none"], "acc_norm": result["acc_norm,none"],
           "seconds": round(seconds, 1),
           "prompt_tokens": counted.get("prompt_tokens_total")}
    if options.json:
        print(json.dumps(row))
    else:
        serving.table([[row[key] for key in row]], list(row))


if __name__ == "__main__":
    main()
