// What a grammar costs: decode speed of a real model free and under
// json_object, in turns. grammar_speed <model.gguf> [tokens] [rounds]
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/text_codec.h"

namespace rapid {
namespace {

struct Speed {
  double rate = 0;  // tokens a second
  int tokens = 0;
  std::string text;
};

Speed generate(
    Engine& engine, const Tokenizer& tokenizer, GenerateRequest request) {
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  Speed out;
  std::vector<int32_t> tokens;
  engine.submit(std::move(request), [&](const EngineEvent& event) {
    std::lock_guard lock(mutex);
    if (auto* token = std::get_if<EngineToken>(&event)) {
      tokens.push_back(token->token);
    } else if (auto* done = std::get_if<EngineDone>(&event)) {
      out.rate = (done->generated - 1) / done->decode_seconds;
      ended = true;
    } else if (auto* failed = std::get_if<EngineFailed>(&event)) {
      fmt::print(stderr, "error: {}\n", failed->error.what);
      ended = true;
    }
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ended; });
  out.tokens = static_cast<int>(tokens.size());
  out.text = tokenizer.decode(tokens);
  return out;
}

int run(const std::string& path, int count, int rounds) {
  auto files = ModelFiles::open(path);
  auto engine = make_engine({.model_path = path});
  if (!files || !engine) {
    fmt::print(stderr, "error: {} cannot be loaded\n", path);
    return 1;
  }
  auto tokenizer = open_tokenizer(**files);
  if (!tokenizer) {
    fmt::print(stderr, "error: {}\n", tokenizer.error().what);
    return 1;
  }
  GenerateRequest request;
  request.prompt = (*tokenizer)
                       ->encode(
                           "<|im_start|>user\nDescribe 40 European cities as "
                           "one JSON object: name, "
                           "country, population, famous "
                           "places.<|im_end|>\n<|im_start|>assistant\n");
  request.sampling.temperature = 0;
  request.max_tokens = count;
  request.use_cache = false;
  std::vector<double> free;
  std::vector<double> bound;
  for (int i = 0; i <= rounds; ++i) {
    request.grammar.reset();
    const Speed a = generate(**engine, **tokenizer, request);
    request.grammar = GrammarSource{};
    const Speed b = generate(**engine, **tokenizer, request);
    if (i == 0) {  // warm-up
      fmt::print("{}\n", b.text.substr(0, 200));
      continue;
    }
    free.push_back(a.rate);
    bound.push_back(b.rate);
    fmt::print(
        "free {:6.2f} tok/s ({}), json_object {:6.2f} tok/s ({})\n",
        a.rate,
        a.tokens,
        b.rate,
        b.tokens);
  }
  std::sort(free.begin(), free.end());
  std::sort(bound.begin(), bound.end());
  const double f = free[free.size() / 2];
  const double b = bound[bound.size() / 2];
  fmt::print(
      "median: free {:.2f}, json_object {:.2f}: {:+.1f} %; best: {:.2f}, "
      "{:.2f}: {:+.1f} %\n",
      f,
      b,
      100 * (b / f - 1),
      free.back(),
      bound.back(),
      100 * (bound.back() / free.back() - 1));
  return 0;
}

}  // namespace
}  // namespace rapid

int main(int argc, char** argv) {
  rapid::init_logging();
  if (argc < 2) {
    fmt::print(stderr, "usage: grammar_speed MODEL [TOKENS] [ROUNDS]\n");
    return 2;
  }
  return rapid::run(
      argv[1],
      argc > 2 ? std::stoi(argv[2]) : 128,
      argc > 3 ? std::stoi(argv[3]) : 5);
}
