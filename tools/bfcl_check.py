#!/usr/bin/env python3
"""A part of each category of the Berkeley Function Calling Leaderboard, over
/v1/chat/completions with tools: the questions, the answers and the checker of
the package bfcl-eval. The share of right calls, and of requests that failed
(of those there must be none, whatever the model can).

  tools/bfcl_check.py [--model NAME] [--each N] [--json]
"""

import argparse
import concurrent.futures
import importlib.util
import json
import pathlib
import sys
import types

import own_python
import serving

PACKAGE = "bfcl-eval==2026.3.23"
CATEGORIES = [
    "simple_python", "multiple", "parallel", "parallel_multiple",
    "irrelevance", "live_simple", "live_multiple", "live_parallel",
    "live_parallel_multiple", "live_relevance", "live_irrelevance"]
TYPES = {"dict": "object", "float": "number", "tuple": "array",
         "any": "string"}


def data(name):
    spec = importlib.util.find_spec("bfcl_eval")
    path = (pathlib.Path(spec.submodule_search_locations[0]) / "data" / name)
    return [json.loads(line) for line in path.read_text().splitlines()]


def checker():
    """The package's own; of its table of models it only wants to know whether
    names have "_" for "."."""
    table = types.ModuleType("bfcl_eval.constants.model_config")
    table.MODEL_CONFIG_MAPPING = {
        "local": types.SimpleNamespace(underscore_to_dot=True)}
    sys.modules[table.__name__] = table
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return lambda functions, calls, answer, category: ast_checker(
        functions, calls, answer, Language.PYTHON, category, "local")["valid"]


def schema_of(schema):
    if isinstance(schema, list):
        return [schema_of(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            value = TYPES.get(value, value)
        out[key] = {name: schema_of(one) for name, one in value.items()} \
            if key == "properties" else schema_of(value)
    return out


def tools_of(functions):
    return [{"type": "function", "function": {
        "name": function["name"].replace(".", "_"),
        "description": function["description"],
        "parameters": schema_of(function["parameters"])}}
        for function in functions]


def ask(server, entry):
    """[{name: arguments}], or the text of an error."""
    status, reply = serving.ask(server, "POST", "/v1/chat/completions", {
        "model": "default", "messages": entry["question"][0],
        "tools": tools_of(entry["function"]), "temperature": 0, "seed": 1,
        "max_tokens": 300})
    if status != 200:
        return f"{status}: {json.dumps(reply)}"
    calls = reply["choices"][0]["message"].get("tool_calls") or []
    return [{call["function"]["name"]: json.loads(call["function"]["arguments"])}
            for call in calls]


def is_right(check, category, entry, calls, answers):
    if "irrelevance" in category:
        return not calls
    if "relevance" in category:
        return bool(calls)
    return check(entry["function"], calls, answers[entry["id"]], category)


def score(server, category, each, check):
    file = f"BFCL_v4_{category}.json"
    entries = data(file)[:each]
    answers = {} if "relevance" in category else {
        one["id"]: one["ground_truth"] for one in data("possible_answer/" + file)}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda entry: ask(server, entry), entries))
    errors = [calls for calls in said if isinstance(calls, str)]
    right = [calls for entry, calls in zip(entries, said)
             if not isinstance(calls, str)
             and is_right(check, category, entry, calls, answers)]
    return {"category": category, "questions": len(entries),
            "right": len(right), "errors": errors}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--each", type=int, default=10, metavar="N",
                        help="questions of a category (10)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Its other needs are for models of other hosts.
    own_python.run_in("bfcl", [PACKAGE], "--no-deps")
    check = checker()
    server = serving.Server(options.model, "--disk-cache", "0")
    try:
        rows = [score(server, category, options.each, check)
                for category in CATEGORIES]
    finally:
        server.stop()
    right, asked = (sum(row[key] for row in rows)
                    for key in ("right", "questions"))
    if options.json:
        print(json.dumps({"model": options.model, "categories": rows,
                          "right": right, "questions": asked}))
    else:
        serving.table(
            [[row["category"], row["right"], row["questions"],
              len(row["errors"])] for row in rows] +
            [["all", right, asked, ""]],
            ["CATEGORY", "RIGHT", "OF", "ERRORS"])
        for row in rows:
            print(*row["errors"], sep="\n", end="\n" * bool(row["errors"]))
    return 1 if any(row["errors"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
