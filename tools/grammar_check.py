#!/usr/bin/env python3
"""Random JSON Schemas, random walks through their masks, and a validator.

usage: grammar_check.py GRAMMAR_WALK [SCHEMAS] [SEED]

GRAMMAR_WALK: build/release/bin/grammar_walk (ninja -C build/release
grammar_walk). Needs a Python with jsonschema. Every document must be valid by
the schema that was compiled; how many are by the schema that was asked for is
printed, with what was relaxed and what could not be compiled.
"""
import collections
import json
import random
import subprocess
import sys

import jsonschema

NAMES = ["a", "name", "é", "x y", "list", "kind", "n1"]
PATTERNS = ["^[a-z]{2,5}$", "[0-9]+", "^(foo|bar)", "^\\d{3}-\\d{2}$",
            "^(?!x)[a-z]+$", "(a)\\1"]
FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "hostname",
           "no-such", "regex"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def some(self, share):
        return self.random.random() < share

    def value(self):
        return self.random.choice(
            [None, True, False, 0, -3, 2.5, "x", "é\"\\", [], [1, "b"],
             {"a": 1}])

    def string(self):
        out = {"type": "string"}
        if self.some(0.3):
            out["minLength"] = self.random.randint(0, 4)
        if self.some(0.3):
            out["maxLength"] = self.random.randint(4, 12)
        if self.some(0.25) and len(out) == 1:
            out["pattern"] = self.random.choice(PATTERNS)
        elif self.some(0.25) and len(out) == 1:
            out["format"] = self.random.choice(FORMATS)
        return out

    def number(self):
        out = {"type": self.random.choice(["number", "integer"])}
        low = self.random.randint(-50, 50)
        if self.some(0.5):
            out[self.random.choice(["minimum", "exclusiveMinimum"])] = low
        if self.some(0.5):
            out[self.random.choice(["maximum", "exclusiveMaximum"])] = low + 90
        if self.some(0.15):
            out["multipleOf"] = self.random.choice([2, 5, 0.5])
        return out

    def array(self, depth):
        out = {"type": "array", "items": self.schema(depth + 1)}
        if self.some(0.2):
            out["prefixItems"] = [self.schema(depth + 1) for _ in range(2)]
        if self.some(0.3):
            out["minItems"] = self.random.randint(0, 2)
        if self.some(0.5):
            out["maxItems"] = self.random.randint(2, 4)
        if self.some(0.15):
            out["uniqueItems"] = True
        if self.some(0.08):
            out["contains"] = self.schema(depth + 1)
        return out

    def object(self, depth):
        names = self.random.sample(NAMES, self.random.randint(1, 4))
        out = {"type": "object",
               "properties": {n: self.schema(depth + 1) for n in names}}
        if self.some(0.7):
            out["required"] = self.random.sample(
                names, self.random.randint(0, len(names)))
        if self.some(0.6):
            out["additionalProperties"] = self.random.choice(
                [False, False, self.schema(depth + 1)])
        if self.some(0.1):
            out["patternProperties"] = {"^p_[a-z]+$": self.schema(depth + 1)}
        if self.some(0.06):
            out["minProperties"] = 1
        if self.some(0.06):
            out["propertyNames"] = {"maxLength": 8}
        if self.some(0.06):
            out["dependentRequired"] = {names[0]: [names[-1]]}
        if self.some(0.06):
            out["if"] = {"required": [names[0]]}
            out["then"] = {"required": [names[-1]]}
        return out

    def schema(self, depth=0):
        kind = self.random.random()
        if depth == 0:
            return self.object(depth)
        if depth > 3 or kind < 0.3:
            return self.random.choice(
                [self.string(), self.string(), self.number(), self.number(),
                 {"type": "boolean"}, {"type": "null"},
                 {"enum": [self.value() for _ in range(3)]},
                 {"const": self.value()},
                 {"type": ["string", "null"]}, True])
        if kind < 0.5:
            return self.array(depth)
        if kind < 0.75:
            return self.object(depth)
        if kind < 0.85:
            key = self.random.choice(["anyOf", "anyOf", "oneOf"])
            return {key: [self.schema(depth + 1) for _ in range(2)]}
        if kind < 0.9:
            return {"allOf": [self.object(depth + 1), {"type": "object"}]}
        if kind < 0.93:
            return {**self.string(), "not": {"const": "x"}}
        return {"$ref": "#/$defs/node"}

    def document(self):
        out = self.schema()
        out["$defs"] = {"node": {
            "type": "object", "additionalProperties": False,
            "properties": {"v": self.number(),
                           "next": {"$ref": "#/$defs/node"}}}}
        return out


def valid(schema, document):
    check = jsonschema.Draft202012Validator.FORMAT_CHECKER
    try:
        jsonschema.Draft202012Validator(
            schema, format_checker=check).validate(document)
        return True, ""
    except jsonschema.ValidationError as error:
        return False, error.message[:200]


def main():
    walk, count, seed = sys.argv[1], 500, 1
    if len(sys.argv) > 2:
        count = int(sys.argv[2])
    if len(sys.argv) > 3:
        seed = int(sys.argv[3])
    maker = Maker(seed)
    schemas = [maker.document() for _ in range(count)]
    lines = "".join(json.dumps(s) + "\n" for s in schemas)
    done = subprocess.run([walk, "10"], input=lines, text=True, check=True,
                          stdout=subprocess.PIPE).stdout.split("\n")[:-1]
    totals = collections.Counter()
    relaxed = collections.Counter()
    errors = collections.Counter()
    for schema, line in zip(schemas, done, strict=True):
        out = json.loads(line)
        if "error" in out:
            totals["not compiled"] += 1
            errors[out["error"].split(": ", 1)[-1][:70]] += 1
            continue
        totals["compiled"] += 1
        totals["relaxed"] += bool(out["relaxed"])
        relaxed.update(name.split(": ")[-1] for name in out["relaxed"])
        out["schema"].pop("x-guidance", None)
        for text in out["documents"]:
            if not text:
                totals["walks cut"] += 1
                continue
            totals["documents"] += 1
            try:
                document = json.loads(text)
            except ValueError as error:
                totals["WRONG"] += 1
                print("no JSON:", error, text[:200])
                continue
            good, why = valid(out["schema"], document)
            if not good:
                totals["WRONG"] += 1
                print("WRONG:", why, "\n ", text[:200],
                      "\n ", json.dumps(out["schema"])[:600])
            totals["valid as asked"] += valid(schema, document)[0]
    print(dict(totals))
    print("relaxed:", dict(relaxed))
    print("not compiled:", dict(errors))
    return 1 if totals["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
