#!/usr/bin/env python3
"""Frequencies and amplitudes of every kind of rotation, from transformers, for
tests/unit/models_rope_test.cpp: writes tests/data/rope_goldens.json.

Needs torch and transformers:  python tools/make_rope_goldens.py
`length`: of the sequence that the frequencies are for; ours is the context.
"""

import copy
import json
import pathlib

import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).parent.parent / "tests/data/rope_goldens.json"
SHAPE = dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=2,
             head_dim=16, max_position_embeddings=4096, vocab_size=8)
EIGHT = [1.0, 1.1, 1.5, 2.0, 3.5, 6.0, 9.0, 14.0]
NEW, OLD = "rope_parameters", "rope_scaling"
YARN = dict(rope_type="yarn", factor=8.0, rope_theta=5e4,
            original_max_position_embeddings=256)


def case(name, rope, form=NEW, length=None, **config):
    return name, form, rope, length, config


CASES = [
    case("linear", dict(rope_type="linear", factor=4.0, rope_theta=5e5)),
    case("linear_old", dict(type="linear", factor=4.0), OLD, rope_theta=2e4),
    case("llama3", dict(rope_type="llama3", factor=8.0, rope_theta=5e5,
                        low_freq_factor=1.0, high_freq_factor=4.0,
                        original_max_position_embeddings=256)),
    case("llama3_odd", dict(rope_type="llama3", factor=32.0, rope_theta=1e4,
                            low_freq_factor=2.0, high_freq_factor=3.0,
                            original_max_position_embeddings=64)),
    case("yarn", YARN),
    case("yarn_old", dict(type="yarn", factor=4.0,
                          original_max_position_embeddings=1024), OLD,
         rope_theta=1e6),
    case("yarn_mscale", dict(YARN, mscale=0.7, mscale_all_dim=1.3)),
    case("yarn_factor", dict(YARN, attention_factor=1.25, beta_fast=16,
                             beta_slow=2)),
    case("yarn_smooth", dict(YARN, truncate=False, factor=32.0)),
    case("yarn_partial", dict(YARN, partial_rotary_factor=0.5)),
    case("longrope_long", dict(
        rope_type="longrope", short_factor=EIGHT, long_factor=EIGHT[::-1],
        rope_theta=1e4, original_max_position_embeddings=1024), length=4096),
    case("longrope_short", dict(
        rope_type="longrope", short_factor=EIGHT, long_factor=EIGHT[::-1],
        rope_theta=1e4, original_max_position_embeddings=1024), length=1024),
    case("longrope_old", dict(
        type="longrope", short_factor=EIGHT[:6], long_factor=EIGHT[2:]), OLD,
        length=4096, rope_theta=3e4, partial_rotary_factor=0.75,
        original_max_position_embeddings=512),
    case("longrope_said", dict(
        rope_type="longrope", short_factor=EIGHT, long_factor=EIGHT,
        factor=3.0, attention_factor=1.19, rope_theta=1e4,
        original_max_position_embeddings=4096), length=4096),
    case("dynamic", dict(rope_type="dynamic", factor=2.0, rope_theta=1e4),
         length=4096),
    case("proportional", dict(rope_type="proportional", rope_theta=1e6,
                              partial_rotary_factor=0.25)),
    case("proportional_more", dict(rope_type="proportional", factor=8.0,
                                   rope_theta=1e4,
                                   partial_rotary_factor=0.75)),
]


def by_layer():
    rope = {"full_attention": dict(YARN),
            "sliding_attention": dict(rope_type="linear", factor=2.0,
                                      rope_theta=300.0)}
    config = dict(SHAPE, layer_types=list(rope))
    for kind in rope:
        yield (f"nested_{kind}", kind, config, NEW, rope, None)


def golden(name, kind, config, form, rope, length):
    made = transformers.LlamaConfig(**copy.deepcopy({**config, form: rope}))
    nested = {"layer_type": kind} if kind else {}
    parameters = made.rope_parameters[kind] if kind else made.rope_parameters
    frequencies, amplitude = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](
        made, None, seq_len=length, **nested)
    return dict(name=name, kind=kind or "", context=length or 0,
                head_dim=config["head_dim"], config={**config, form: rope},
                frequencies=[float(f) for f in frequencies],
                amplitude=float(amplitude))


def main():
    out = [golden(name, None, {**SHAPE, **config}, form, rope, length)
           for name, form, rope, length, config in CASES]
    out += [golden(*entry) for entry in by_layer()]
    OUT.write_text("[\n" + ",\n".join(map(json.dumps, out)) + "\n]\n")
    print(f"{OUT.name}: {len(out)} rotations")


if __name__ == "__main__":
    main()
