// parity_logits MODEL IDS OUT [cpu|gpu] [--exact|--fast] [--chunk N] [--shape]
// [--threads N] [--kv-bits N]: the logits of every position of token lists, for
// comparing with another implementation.
//
// IDS as token_windows.h says. OUT: float32 [n*w, vocabulary], after int32
// [n*w, vocabulary] with --shape; "-" writes to stdout. --exact (default):
// float32 activations and KV; --fast: what serve does, KV in float16 or, with
// --kv-bits 8 or 4, as codes. Chunks
// of N tokens (default 256) keep memory low; 1 is decoding. Without --shape,
// rates go to stderr.
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "models/registry.h"
#include "simd/thread_pool.h"
#include "token_windows.h"

namespace {

using namespace rapid;
using Clock = std::chrono::steady_clock;

struct Options {
  bool gpu = false;
  bool exact = true;
  bool shape = false;
  size_t chunk = 256;
  int threads = 0;  // all
  int kv_bits = 16;

  // Of a sequence of so many tokens.
  SequenceState states(const Model& model, size_t tokens) const {
    return model.make_states(
        {.kv_dtype = exact ? mx::float32 : mx::float16,
         .kv_bits = kv_bits < 16 ? kv_bits : 0,
         .form = model.info().forms.of(tokens)});
  }
};

bool parse(int argc, char** argv, Options& out) {
  for (int i = 4; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "cpu" || name == "gpu") {
      out.gpu = name == "gpu";
    } else if (name == "--exact" || name == "--fast") {
      out.exact = name == "--exact";
    } else if (name == "--shape") {
      out.shape = true;
    } else if (
        (name == "--chunk" || name == "--threads" || name == "--kv-bits") &&
        i + 1 < argc) {
      const int number = std::atoi(argv[++i]);
      if (number < 1) {
        return false;
      }
      if (name == "--chunk") {
        out.chunk = static_cast<size_t>(number);
      } else if (name == "--kv-bits") {
        out.kv_bits = number;
      } else {
        out.threads = number;
      }
    } else {
      return false;
    }
  }
  return argc >= 4;
}

bool write_window(
    Model& model,
    std::span<const int32_t> ids,
    const Options& options,
    std::FILE* out) {
  SequenceState states = options.states(model, ids.size());
  for (size_t at = 0; at < ids.size(); at += options.chunk) {
    SequenceInput input;
    input.tokens = ids.subspan(at, std::min(options.chunk, ids.size() - at));
    input.states = &states;
    input.logits = SequenceInput::Logits::all;
    const mx::array logits = mx::contiguous(model.forward({&input, 1}));
    std::vector<mx::array> all = {logits};
    for (const auto& state : states) {
      state->collect(all);
    }
    mx::eval(all);
    if (std::fwrite(logits.data<float>(), sizeof(float), logits.size(), out) !=
        logits.size()) {
      return false;
    }
  }
  return true;
}

// Tokens per second of decoding `count` tokens one by one.
double decode_rate(
    Model& model,
    std::span<const int32_t> ids,
    const Options& options,
    int count) {
  SequenceState states = options.states(model, static_cast<size_t>(count));
  Clock::time_point start;
  for (int i = 0; i <= count; ++i) {
    if (i == 1) {
      start = Clock::now();  // the first one pages the weights in
    }
    SequenceInput input;
    input.tokens = ids.subspan(static_cast<size_t>(i) % ids.size(), 1);
    input.states = &states;
    std::vector<mx::array> all = {model.forward({&input, 1})};
    for (const auto& state : states) {
      state->collect(all);
    }
    mx::eval(all);
  }
  return count / std::chrono::duration<double>(Clock::now() - start).count();
}

int fail(const std::string& what) {
  std::fprintf(stderr, "error: %s\n", what.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(
        stderr,
        "usage: parity_logits MODEL IDS OUT [cpu|gpu] [--exact|--fast] "
        "[--chunk N] [--shape] [--threads N] [--kv-bits N]\n");
    return 2;
  }
  mx::set_default_device(options.gpu ? mx::Device::gpu : mx::Device::cpu);
  rapid::ThreadPool::set_global_threads(options.threads);
  auto files = ModelFiles::open(argv[1]);
  if (!files) {
    return fail(files.error().what);
  }
  auto model = ModelRegistry::global().load(*files, {.exact = options.exact});
  if (!model) {
    return fail(model.error().what);
  }
  TokenWindows windows;
  if (!read_windows(argv[2], windows)) {
    return fail(std::string("cannot read token windows from ") + argv[2]);
  }
  const bool to_stdout = std::string(argv[3]) == "-";
  const File out(to_stdout ? stdout : std::fopen(argv[3], "wb"), std::fclose);
  const auto columns = static_cast<size_t>((*model)->info().vocabulary);
  if (!out ||
      (options.shape && !write_shape(out.get(), windows.ids.size(), columns))) {
    return fail(std::string("cannot write ") + argv[3]);
  }
  const auto start = Clock::now();
  for (size_t i = 0; i < windows.count; ++i) {
    const auto ids =
        std::span(windows.ids).subspan(i * windows.width, windows.width);
    if (!write_window(**model, ids, options, out.get())) {
      return fail("writing the logits failed");
    }
  }
  if (options.shape) {
    return 0;
  }
  const std::chrono::duration<double> took = Clock::now() - start;
  std::fprintf(
      stderr,
      "%.1f tokens/s with all logits, %.1f tokens/s decoding\n",
      static_cast<double>(windows.ids.size()) / took.count(),
      decode_rate(**model, windows.ids, options, 32));
  return 0;
}
