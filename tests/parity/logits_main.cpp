// parity_logits MODEL IDS OUT [DEVICE]: the logits of every position of a
// token list, for comparing with another implementation.
//
// IDS: int32, little endian. "n" windows of "w" tokens each, every window a
// sequence of its own, is written as the header [n, w] before the n*w ids.
// OUT: float32 [n*w, vocabulary]; "-" writes to stdout. Chunks of 256 tokens
// keep memory low. Float32 activations and KV. Rates go to stderr.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "models/registry.h"

namespace {

using namespace rapid;
using Clock = std::chrono::steady_clock;

struct Windows {
  std::vector<int32_t> ids;
  size_t count = 0;
  size_t width = 0;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

bool read_windows(const char* path, Windows& out) {
  const File file(std::fopen(path, "rb"), std::fclose);
  int32_t head[2] = {};
  if (!file || std::fread(head, sizeof(int32_t), 2, file.get()) != 2 ||
      head[0] < 1 || head[1] < 1) {
    return false;
  }
  out.count = static_cast<size_t>(head[0]);
  out.width = static_cast<size_t>(head[1]);
  out.ids.resize(out.count * out.width);
  return std::fread(
             out.ids.data(), sizeof(int32_t), out.ids.size(), file.get()) ==
         out.ids.size();
}

bool write_window(Model& model, std::span<const int32_t> ids, std::FILE* out) {
  constexpr size_t kChunk = 256;
  SequenceState states = model.make_states({});
  for (size_t at = 0; at < ids.size(); at += kChunk) {
    SequenceInput input;
    input.tokens = ids.subspan(at, std::min(kChunk, ids.size() - at));
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
double decode_rate(Model& model, std::span<const int32_t> ids, int count) {
  SequenceState states = model.make_states({});
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
  if (argc < 4) {
    std::fprintf(stderr, "usage: parity_logits MODEL IDS OUT [cpu|gpu]\n");
    return 2;
  }
  const bool gpu = argc > 4 && std::string(argv[4]) == "gpu";
  mx::set_default_device(gpu ? mx::Device::gpu : mx::Device::cpu);
  auto files = ModelFiles::open(argv[1]);
  if (!files) {
    return fail(files.error().what);
  }
  auto model = ModelRegistry::global().load(*files, {.exact = true});
  if (!model) {
    return fail(model.error().what);
  }
  Windows windows;
  if (!read_windows(argv[2], windows)) {
    return fail(std::string("cannot read token windows from ") + argv[2]);
  }
  const bool to_stdout = std::string(argv[3]) == "-";
  const File out(to_stdout ? stdout : std::fopen(argv[3], "wb"), std::fclose);
  if (!out) {
    return fail(std::string("cannot write ") + argv[3]);
  }
  const auto start = Clock::now();
  for (size_t i = 0; i < windows.count; ++i) {
    const auto ids =
        std::span(windows.ids).subspan(i * windows.width, windows.width);
    if (!write_window(**model, ids, out.get())) {
      return fail("writing the logits failed");
    }
  }
  const std::chrono::duration<double> took = Clock::now() - start;
  std::fprintf(
      stderr,
      "%.1f tokens/s with all logits, %.1f tokens/s decoding\n",
      static_cast<double>(windows.ids.size()) / took.count(),
      decode_rate(**model, windows.ids, 32));
  return 0;
}
