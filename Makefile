# make serve   a fresh machine to a chatting model     make test   everything green
# MODEL= PORT= choose for serve; DEPS and build trees live in .deps and build/.
MODEL ?= smollm2-135m
PORT ?= 8000
TEST_MODELS = smollm2-135m qwen2.5-coder-0.5b gemma3-270m
# cpu (and Metal on a Mac) or cuda
DEVICE ?= cpu
PRESET = $(if $(filter cuda,$(DEVICE)),cuda,release)
BIN = build/$(PRESET)/bin/rapid-mlx
FUZZ_SECONDS ?= 600
SOAK_REQUESTS ?= 10000
LAW3_STEPS ?= 1000
MINUTES ?= 1
PYTHON_REF ?= python3
# A precompiled header is only cached when ccache may ignore time macros; with
# a base directory one clone finds what another compiled.
export CCACHE_SLOPPINESS = pch_defines,time_macros,include_file_mtime
export CCACHE_BASEDIR = $(CURDIR)
# One Rust library for all build trees.
export RAPID_MLX_CARGO_TARGET ?= $(CURDIR)/build/release/cargo

.PHONY: help setup setup-tests program build serve test lint unit blackbox models ui-test \
  asan tsan neon mac-check gpu-test gpu-bench fuzz fuzz-build parity exactness soak law3 \
  agent-check agents evals batch-check memory-check instructions security format tidy clean \
  portable wheel sdist deb formula package-test

help:
	@sed -n 's/^## //p' Makefile

## make serve        install, build, fetch MODEL and serve it on PORT
serve: build
	@$(BIN) serve $(MODEL) --port $(PORT)

## make build        build/release/bin/rapid-mlx; with DEVICE=cuda build/cuda/bin/rapid-mlx
build: program
	@cmake --build --preset $(PRESET)

# Without tests and tools.
program: setup
	@cmake --preset $(PRESET) $(CMAKE_ARGS) > build-configure.log 2>&1 \
	  || { cat build-configure.log; rm -f build-configure.log; exit 1; }; rm -f build-configure.log
	@cmake --build --preset $(PRESET) --target rapid-mlx

setup:
	@tools/setup $(if $(filter cuda,$(DEVICE)),--cuda)

setup-tests:
	@tools/setup --tests

## make test         all tests: lint, unit, cases, kernels, scenario, parity, blackbox
test: setup-tests build models
	@tools/test

models: program
	@for model in $(TEST_MODELS); do $(BIN) pull $$model --quiet || exit 1; done

## make ui-test      the browser UI in headless Chromium; writes the pictures of docs/ui
ui-test: build models
	@tools/setup --ui
	@tools/ui-test

## make lint         layout, size and layer rules
lint:
	@python3 -m unittest discover -s tests/lint -p 'test_*.py'

## make asan, tsan   the libraries without MLX and Rust under sanitizers (CI: the core of asan)
asan tsan: setup-tests
	@tools/sanitize $@

## make mac-check    all C++ compiled and linked for a Mac, with zig and MLX's macOS wheel
mac-check: setup
	@tools/mac-link-check

## make gpu-test    our GPU kernels against their definitions; says so where there is no NVIDIA GPU
## make gpu-bench   models of real shapes with random weights on an NVIDIA GPU: prefill, decode, streams
gpu-test gpu-bench:
	@tools/gpu-test $(subst gpu-,,$@)

## make neon         the ARM kernels, cross-built and tested under qemu
neon:
	@tools/setup --neon
	@tools/neon

## make fuzz         every fuzzer for FUZZ_SECONDS
fuzz: fuzz-build
	@tools/fuzz $(FUZZ_SECONDS)

fuzz-build: setup-tests
	@cmake --preset fuzz > /dev/null
	@cmake --build --preset fuzz --target fuzz_gguf fuzz_safetensors fuzz_formats fuzz_wire

## make parity       against transformers in float32 (PYTHON_REF= a python with torch)
parity: build models
	@tools/parity $(PYTHON_REF)

## make exactness    KL to float32, ours and llama.cpp's (LLAMA_CPP= its built sources)
exactness: setup-tests build models
	@tools/exactness "$(LLAMA_CPP)"

## make soak         SOAK_REQUESTS (10000) mixed requests under a memory limit: no death, no growth, no wrong answer
soak: build models
	@python3 tools/soak.py --requests $(SOAK_REQUESTS)

## make law3         the cache changes nothing: LAW3_STEPS (1000) random requests a model, with restarts and kills
law3: setup-tests build models
	@RAPID_MLX_LAW3_ROUNDS=$$(( $(LAW3_STEPS) / 4 )) build/release/bin/scenario_engine --gtest_filter='*Law3*'
	@python3 tools/law3.py --steps $(LAW3_STEPS)

## make agent-check  agents' turns: time to the first token, tokens prefilled twice (LLAMA_SERVER= to compare)
agent-check: build models
	@python3 tools/ttft_check.py $(if $(LLAMA_SERVER),--llama-server $(LLAMA_SERVER))
	@python3 tools/agent_trace.py

## make agents       real agents, installed and run headless: NAME= one of them, MODE= replay, live or both
agents: setup-tests program models
	@python3 tools/agents $(NAME) --mode $(or $(MODE),both)

## make evals        lm-eval, a part of each category of BFCL, and guidellm's load, with small models
evals: program models
	@python3 tools/lm_eval_check.py
	@python3 tools/bfcl_check.py
	@python3 tools/guidellm_check.py

## make instructions counts what steps of a model take, against bench/baseline.json
instructions: setup-tests build models
	@tools/instructions --check

## make batch-check  streams beside each other, and beside a long prompt
batch-check: build models
	@python3 tools/batch_check.py

## make memory-check the memory plan against what is taken, over 24 shapes
memory-check: setup-tests build models
	@.deps/test/bin/python tools/memory_check.py --threads 2

portable: setup
	@cmake --preset release > /dev/null
	@cmake --build --preset release --target rapid-mlx-portable

## make wheel        dist/*.whl, and with sdist, deb the others; what pip, install.sh and apt install
## make wheel PLATFORM=macosx_arm64 or manylinux_aarch64   the same for them, cross-built here
wheel: portable
	@$(if $(PLATFORM),tools/package-cross $(PLATFORM),tools/package wheel)

deb: portable
	@tools/package deb

sdist:
	@tools/package sdist

## make formula URL= dist/rapid-mlx.rb for Homebrew, of the sdist that lies at URL
formula: sdist
	@tools/package formula --url "$(URL)"

## make package-test wheel, install.sh and .deb each in a clean Debian root: installed, used, removed without a trace
package-test: models wheel deb
	@tools/package-test

## make security     schemathesis over /openapi.json, then MINUTES (1) of hostile load; ASAN=1: the server under ASan and UBSan
security: setup-tests program models
	@[ -x .deps/security/bin/schemathesis ] || { python3 -m venv .deps/security && .deps/security/bin/pip install -q 'schemathesis==4.*'; }
	@$(if $(ASAN),cmake --preset load > /dev/null && cmake --build --preset load --target replay_server)
	@.deps/test/bin/python tools/security --minutes $(MINUTES) --schemathesis .deps/security/bin/schemathesis $(if $(ASAN),--program build/load/bin/replay_server)

## make format       clang-format on our sources
format:
	@git ls-files 'src/*.cpp' 'src/*.h' 'tests/*.cpp' 'tests/*.h' | xargs clang-format-19 -i

## make tidy         clang-tidy on what changed since BASE (default HEAD)
tidy:
	@tools/tidy $(BASE)

clean:
	rm -rf build
