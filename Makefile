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
PYTHON_REF ?= python3
# A precompiled header is only cached when ccache may ignore time macros; with
# a base directory one clone finds what another compiled.
export CCACHE_SLOPPINESS = pch_defines,time_macros,include_file_mtime
export CCACHE_BASEDIR = $(CURDIR)
# One Rust library for all build trees.
export RAPID_MLX_CARGO_TARGET ?= $(CURDIR)/build/release/cargo

.PHONY: help setup setup-tests build serve test lint unit blackbox models \
  asan tsan neon mac-check fuzz fuzz-build parity exactness format tidy clean

help:
	@sed -n 's/^## //p' Makefile

## make serve        install, build, fetch MODEL and serve it on PORT
serve: build
	@$(BIN) serve $(MODEL) --port $(PORT)

## make build        build/release/bin/rapid-mlx; with DEVICE=cuda build/cuda/bin/rapid-mlx
build: setup
	@cmake --preset $(PRESET) $(CMAKE_ARGS) > build-configure.log 2>&1 \
	  || { cat build-configure.log; rm -f build-configure.log; exit 1; }; rm -f build-configure.log
	@cmake --build --preset $(PRESET)

setup:
	@tools/setup $(if $(filter cuda,$(DEVICE)),--cuda)

setup-tests:
	@tools/setup --tests

## make test         all tests: lint, unit, cases, kernels, scenario, parity, blackbox
test: setup-tests build models
	@tools/test

models: build
	@for model in $(TEST_MODELS); do $(BIN) pull $$model --quiet || exit 1; done

## make lint         layout, size and layer rules
lint:
	@python3 -m unittest discover -s tests/lint -p 'test_*.py'

## make asan, tsan   the libraries without MLX and Rust under sanitizers
asan tsan: setup-tests
	@tools/sanitize $@

## make mac-check    all C++ compiled and linked for a Mac, with zig and MLX's macOS wheel
mac-check: setup
	@tools/mac-link-check

## make neon         the ARM kernels, cross-built and tested under qemu
neon:
	@tools/setup --neon
	@tools/neon

## make fuzz         every fuzzer for FUZZ_SECONDS
fuzz: fuzz-build
	@tools/fuzz $(FUZZ_SECONDS)

fuzz-build: setup-tests
	@cmake --preset fuzz > /dev/null
	@cmake --build --preset fuzz --target fuzz_gguf fuzz_safetensors fuzz_formats

## make parity       against transformers in float32 (PYTHON_REF= a python with torch)
parity: build models
	@tools/parity $(PYTHON_REF)

## make exactness    KL to float32, ours and llama.cpp's (LLAMA_CPP= its built sources)
exactness: setup-tests build models
	@tools/exactness "$(LLAMA_CPP)"

## make format       clang-format on our sources
format:
	@git ls-files 'src/*.cpp' 'src/*.h' 'tests/*.cpp' 'tests/*.h' | xargs clang-format-19 -i

## make tidy         clang-tidy on what changed since BASE (default HEAD)
tidy:
	@tools/tidy $(BASE)

clean:
	rm -rf build
