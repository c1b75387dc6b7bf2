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
import tempfile
import time

import own_python
import serving
from hf_tokenizer import file_of, same_ids, save_tokenizer

PACKAGES = ["lm-eval[api]==0.4.13", "transformers==5.24.0", "gguf==0.19.0"]
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
