#!/usr/bin/env python3
"""Makes the goldens of the text tests from Hugging Face's libraries.

  python tools/make_text_fixtures.py --models FOLDER   # tests/data/text_*.json
"""
import argparse
import json
import os

from text_reference import MODELS, TEXTS, random_texts, reference

OUT = os.path.join(os.path.dirname(__file__), "..", "tests", "data")

CHAT = [{"role": "system", "content": " Sei kurz. "},
        {"role": "user", "content": "Hi \"you\" <b>\n 你好"},
        {"role": "assistant", "content": "Hello", "score": 1e21}]
INPUT = {"messages": CHAT, "tools": [{"name": "f", "n": [1, 2.5, None, True]}],
         "documents": None, "add_generation_prompt": True, "extra": {"k": 3}}

TEMPLATES = {
    "loop": "{% for m in messages %}\n<{{ m.role }}>{{ m['content'] | trim }}"
            "\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}",
    "controls": "{% for m in messages %}{% if loop.first %}{% continue %}"
                "{% endif %}{{ loop.index }}{{ m.content }}"
                "{% if loop.index > 1 %}{% break %}{% endif %}{% endfor %}",
    "tojson": "{{ tools | tojson }}|{{ tools | tojson(indent=4) }}|"
              "{{ messages | tojson(ensure_ascii=True) }}|"
              "{{ tools | tojson(separators=(',', ':'), sort_keys=True) }}",
    "python str": "{{ messages }} {{ none }} {{ true }} {{ [1.0, 'a\\'b'] }} "
                  "{{ 1e-7 }} {{ 1e16 }} {{ 12345.678 }} {{ (1,) }} {{ {} }}",
    "filters": "{{ none | trim }}{{ 'a\nb\n' | indent(2) }}|"
               "{{ 'a\n\nb' | indent(width=3, first=True) }}|"
               "{{ 5 | string + 'x' }}{{ ' x' | upper }}"
               "{{ messages | map(attribute='role') | join(', ') }}",
    "tests": "{{ none is iterable }} {{ 'a' is iterable }} {{ k is defined }} "
             "{{ nothing is defined }} {{ documents is none }} "
             "{{ messages is sequence }} {{ messages[0] is mapping }}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}"
                 "{% set ns.n = ns.n + m.content | length %}{% endfor %}"
                 "{{ ns.n }}{% macro f(a, b='x') %}[{{ a }}{{ b }}]"
                 "{% endmacro %}{{ f(1) }}{{ f(2, b='y') }}",
    "methods": "{{ 'a,b'.split(',') }}{{ ' x '.strip() }}"
               "{{ 'abc'.startswith('ab') }}{{ 'xay'.replace('a', '') }}"
               "{{ messages[0].get('nope', 'no') }}{{ 'a b'.title() }}"
               "{% for k, v in messages[0].items() %}{{ k }}={{ v }};"
               "{% endfor %}{{ '</t>x'.split('</t>')[-1].lstrip('\n') }}",
    "blocks": "  {% if true %}\n  a\n  {%- endif %}  \n{# c #}\n b {{- 'c' -}} d"
              "\n{% generation %}g{% endgeneration %}\n",
    "slices": "{{ messages[1:] | length }}{{ messages[::-1][0].role }}"
              "{{ 'abcdef'[1:-1] }}{{ 'a' ~ 1 ~ none }}{{ 7 // 2 }}{{ -7 % 3 }}"
              "{{ 'x' if k == 3 else 'y' }}{{ bos_token }}",
}


def ids(models):
    texts = TEXTS + random_texts(60)
    out = {"texts": texts, "ids": {}, "decoded": {}}
    for name in MODELS:
        made = reference(os.path.join(models, name + ".gguf"))
        encoded = [made.encode(t, add_special_tokens=False).ids for t in texts]
        out["ids"][name] = encoded
        out["decoded"][name] = [
            made.decode(e, skip_special_tokens=False) for e in encoded]
    return out


def templates():
    from transformers.utils.chat_template_utils import _compile_jinja_template
    cases = []
    for name, source in TEMPLATES.items():
        rest = {k: v for k, v in INPUT.items() if k != "extra"}
        text = _compile_jinja_template(source).render(
            bos_token="<s>", **rest, **INPUT["extra"])
        cases.append({"name": name, "template": source, "text": text})
    return {"input": INPUT, "cases": cases}


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True)
    args = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    write("text_ids.json", ids(args.models))
    write("text_templates.json", templates())


if __name__ == "__main__":
    main()
