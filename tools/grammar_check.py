#!/usr/bin/env python3
"""Random JSON Schemas, random walks through their masks, and a validator.

usage: grammar_check.py GRAMMAR_WALK MODEL.gguf|- [SCHEMAS] [SEED]

GRAMMAR_WALK: build/release/bin/grammar_walk (ninja -C build/release
grammar_walk). MODEL: whose tokens to walk along. Needs a Python with
`pip install jsonschema[format-nongpl]`. Every document must be valid by
the schema that was compiled; how many are by the schema that was asked for is
printed, with what was relaxed and what could not be compiled.
"""
import collections
import decimal
import json
import random
import subprocess
import sys

import jsonschema

DRAFT7 = "http://json-schema.org/draft-07/schema#"
NAMES = ["a", "name", "é", "x y", "list", "kind", "n1", "$id", "a\"b\\",
         "properties"]
PATTERNS = ["^[a-z]{2,5}$", "[0-9]+", "^(foo|bar)", "^\\d{3}-\\d{2}$",
            "^#[0-9a-fA-F]{6}$", "^v?\\d+\\.\\d+\\.\\d+(-[\\w.]+)?$", "^\\S+$",
            "^.{1,20}$", "^[\\w.-]+@[\\w-]+\\.[a-z]{2,}$", "^$|^[a-z]+$",
            "^\\+?[1-9]\\d{1,14}$", "^https?://[^\\s/$.?#]+$", "^[^\"]*$",
            "^(?:[A-Z][a-z]*)(?: [A-Z][a-z]*){0,2}$", "\\.json$", "",
            "^(?!x)[a-z]+$", "(a)\\1", "\\bfoo\\b"]
FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6",
           "hostname", "uri", "duration", "no-such", "regex"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.old = False  # draft 7: items may be a list

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
        if self.some(0.3) and (len(out) == 1 or self.some(0.2)):
            out["pattern"] = self.random.choice(PATTERNS)
        elif self.some(0.3) and (len(out) == 1 or self.some(0.1)):
            out["format"] = self.random.choice(FORMATS)
        return out

    def number(self):
        out = {"type": self.random.choice(["number", "integer"])}
        low = self.random.choice(
            [self.random.randint(-50, 50), 0, 1, -0.5, 0.001, 1e3, -1e7])
        if self.some(0.5):
            out[self.random.choice(["minimum", "exclusiveMinimum"])] = low
        if self.some(0.5):
            out[self.random.choice(["maximum", "exclusiveMaximum"])] = (
                low + self.random.choice([2, 90, 1000.5]))
        if self.some(0.15):
            out["multipleOf"] = self.random.choice([2, 5, 10, 0.5, 0.01])
        return out

    def array(self, depth):
        out = {"type": "array", "items": self.schema(depth + 1)}
        if self.some(0.2):
            tuple_of = [self.schema(depth + 1) for _ in range(2)]
            if self.old:
                out["items"] = tuple_of
                out["additionalItems"] = self.some(0.5)
            else:
                out["prefixItems"] = tuple_of
                out["items"] = self.random.choice([out["items"], False])
        if self.some(0.3):
            out["minItems"] = self.random.randint(0, 2)
        if self.some(0.5):
            out["maxItems"] = self.random.randint(2, 4)
        if self.some(0.15):
            out["uniqueItems"] = True
        if self.some(0.08):
            out["contains"] = self.schema(depth + 1)
        return out

    def annotated(self, out):
        if self.some(0.3):
            out["description"] = "What \"it\" is."
        if self.some(0.1):
            out["default"] = self.value()
        if self.some(0.1):
            out.update(title="T", examples=[1], readOnly=True)
        return out

    def object(self, depth):
        names = self.random.sample(NAMES, self.random.randint(0, 6))
        out = {"type": "object",
               "properties": {n: self.schema(depth + 1) for n in names}}
        if self.some(0.7):
            out["required"] = self.random.sample(
                names, self.random.randint(0, len(names)))
            if self.some(0.05):
                out["required"].append("undeclared")
        if self.some(0.6):
            out["additionalProperties"] = self.random.choice(
                [False, False, self.schema(depth + 1)])
            if "undeclared" in out.get("required", []):
                out["additionalProperties"] = self.schema(depth + 1)
        if self.some(0.1):
            out["patternProperties"] = {"^p_[a-z]+$": self.schema(depth + 1)}
        if self.some(0.06):
            out["minProperties"] = 1
            out["maxProperties"] = 4
        if self.some(0.04):
            out["propertyNames"] = {"maxLength": 8}
        if self.some(0.06) and names:
            key = "dependencies" if self.old else "dependentRequired"
            out[key] = {names[0]: [names[-1]]}
        if self.some(0.06) and names:
            out["if"] = {"required": [names[0]]}
            out["then"] = {"required": [names[-1]]}
        if self.some(0.06) and names:
            out["anyOf"] = [{"required": [n]} for n in names[:2]]
        return self.annotated(out)

    def choice(self, depth):
        key = self.random.choice(["anyOf", "anyOf", "oneOf"])
        if self.some(0.3):  # told apart by a constant
            return {key: [
                {"type": "object", "required": ["kind"], "properties": {
                    "kind": {"const": kind}, "v": self.schema(depth + 2)}}
                for kind in ("one", "two")]}
        return {key: [self.schema(depth + 1) for _ in range(2)]}

    def schema(self, depth=0):
        kind = self.random.random()
        if depth == 0:
            return self.object(depth)
        if depth > 4 or kind < 0.3:
            return self.random.choice(
                [self.string(), self.annotated(self.string()), self.number(),
                 self.annotated(self.number()), self.string(), self.number(),
                 {"type": "boolean"}, {"type": "null"}, {},
                 {"enum": [self.value() for _ in range(3)]},
                 {"type": "string", "enum": ["one", "t\"w'o", "Ä", "3"]},
                 {"const": self.value()},
                 {"type": ["string", "null"], "maxLength": 3},
                 {"type": ["integer", "array", "object"], "minimum": 3}, True])
        if kind < 0.48:
            return self.array(depth)
        if kind < 0.7:
            return self.object(depth)
        if kind < 0.8:
            return self.choice(depth)
        if kind < 0.85:
            return {"allOf": [self.object(depth + 1), {"type": "object"}]}
        if kind < 0.88:
            return {"allOf": [self.number(), {"type": "integer"},
                              {"minimum": -7}]}
        if kind < 0.9:
            return {**self.string(), "not": {"const": "x"}}
        defs = "definitions" if self.old else "$defs"
        return {"$ref": f"#/{defs}/" + self.random.choice(
            ["node", "tree", "odd~1na~0me", "word"])}

    def document(self):
        self.old = self.some(0.3)
        out = self.schema()
        defs = "definitions" if self.old else "$defs"
        out = {"$schema": DRAFT7} | out if self.old else out
        out[defs] = {
            "node": {
                "type": "object", "additionalProperties": False,
                "properties": {"v": self.number(),
                               "next": {"$ref": f"#/{defs}/node"}}},
            "tree": {
                "type": "object", "required": ["name"],
                "properties": {
                    "name": self.string(),
                    "children": {"type": "array", "maxItems": 2,
                                 "items": {"$ref": f"#/{defs}/tree"}}}},
            "odd/na~me": self.number(),
            "word": {"type": "string", "minLength": 1}}
        return out


def exact(text):
    """JSON with decimals as they are written: 2.24 is a multiple of 0.01."""
    return json.loads(text, parse_float=decimal.Decimal)


def valid(schema, document):
    """True, or the validator's words."""
    schema = exact(json.dumps(schema))
    kind = jsonschema.validators.validator_for(
        schema, jsonschema.Draft202012Validator)
    try:
        kind(schema, format_checker=kind.FORMAT_CHECKER).validate(document)
        return True
    except jsonschema.ValidationError as error:
        return f"{error.json_path}: {error.message[:200]}"


def judge(schema, out, totals):
    """One schema's walks: whether none of them is wrong."""
    good = True
    out["schema"].pop("x-guidance", None)
    for text in out["documents"]:
        if not text:
            totals["walks cut"] += 1
            continue
        totals["documents"] += 1
        try:
            document = exact(text)
            why = valid(out["schema"], document)
        except ValueError as error:
            why = f"no JSON: {error}"
        if why is not True:
            good = False
            totals["WRONG"] += 1
            print("WRONG:", why, "\n ", " ".join(text.split())[:300],
                  "\n ", json.dumps(out["schema"])[:600])
            continue
        totals["valid as asked"] += valid(schema, document) is True
    return good


def main():
    walk, model, count, seed = sys.argv[1], sys.argv[2], 500, 1
    if len(sys.argv) > 3:
        count = int(sys.argv[3])
    if len(sys.argv) > 4:
        seed = int(sys.argv[4])
    maker = Maker(seed)
    schemas = [maker.document() for _ in range(count)]
    lines = "".join(json.dumps(s) + "\n" for s in schemas)
    done = subprocess.run([walk, model, "10"], input=lines, text=True, check=True,
                          stdout=subprocess.PIPE).stdout.split("\n")[:-1]
    totals = collections.Counter()
    relaxed = collections.Counter()
    errors = collections.Counter()
    micros = []
    for schema, line in zip(schemas, done, strict=True):
        out = json.loads(line)
        if "error" in out:
            totals["not compiled"] += 1
            errors[out["error"].split(": ", 1)[-1][:100]] += 1
            continue
        totals["compiled"] += 1
        totals["relaxed"] += bool(out["relaxed"])
        relaxed.update(name.split(": ")[-1] for name in out["relaxed"])
        totals["all valid"] += judge(schema, out, totals)
        micros += out["micros"]
    micros.sort()
    print(dict(totals))
    print("relaxed:", dict(relaxed.most_common()))
    print("not compiled:", dict(errors))
    print("masks, us:", {f"p{q}": round(micros[int(q * (len(micros) - 1) / 100)])
                         for q in (50, 99, 99.9, 100)})
    return 1 if totals["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
