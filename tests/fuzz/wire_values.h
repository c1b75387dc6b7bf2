// Random messages between front and worker, every field set.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/wire.h"

namespace rapid {

class RandomValues {
 public:
  explicit RandomValues(uint64_t seed) : random_(seed) {}

  int number() { return static_cast<int>(random_() % 100000) - 100; }
  uint64_t big() { return random_(); }
  float real() { return static_cast<float>(number()) / 7; }
  bool flag() { return random_() % 2 == 0; }
  std::string text() {
    std::string out(random_() % 20, '\0');
    for (char& c : out) {
      c = static_cast<char>(random_());
    }
    return out;
  }
  std::vector<int32_t> ids() {
    std::vector<int32_t> out(random_() % 30);
    for (int32_t& id : out) {
      id = number();
    }
    return out;
  }
  Error error() {
    return {
        static_cast<ErrorCode>(
            random_() % (static_cast<int>(ErrorCode::internal) + 1)),
        text(),
        text(),
        text()};
  }
  EngineLogprob logprob() {
    EngineLogprob out;
    if (flag()) {
      out.logprob = real();
    }
    for (int i = static_cast<int>(random_() % 4); i > 0; --i) {
      out.top.push_back({number(), real()});
    }
    return out;
  }
  GenerateRequest request() {
    GenerateRequest out;
    out.prompt = ids();
    out.adapter = text();
    out.sampling = {
        real(), real(), number(), real(), real(), real(), real(), {}, big()};
    out.sampling.logit_bias = {{number(), real()}, {number(), real()}};
    out.choices = number();
    out.max_tokens = number();
    out.may_shorten = flag();
    out.end_tokens = ids();
    if (flag()) {
      out.grammar = {static_cast<GrammarSource::Kind>(random_() % 4), text()};
    }
    out.grammar_after = ids();
    out.grammar_then_free = flag();
    out.logprobs = flag() ? std::optional(number()) : std::nullopt;
    out.prompt_logprobs = flag() ? std::optional(number()) : std::nullopt;
    out.embedding = flag() ? std::optional(Pooling::last) : std::nullopt;
    out.use_cache = flag();
    out.lane = text();
    out.borders = {number(), ids(), number()};
    out.origin = big();
    out.prediction = ids();
    if (flag()) {
      out.resume = {number(), number(), number()};
    }
    return out;
  }
  EngineEvent event() {
    switch (random_() % 6) {
      case 0:
        return EngineProgress{number(), number(), number()};
      case 1: {
        EnginePrefilled out{
            number(), real(), {logprob(), logprob()}, {}, {real(), real()}};
        out.grammar_relaxed = {text(), text()};
        return out;
      }
      case 2: {
        EngineToken out{number(), number(), {}};
        if (flag()) {
          out.logprob.emplace(logprob());
        }
        return out;
      }
      case 3:
        return EngineChoiceEnd{
            number(),
            static_cast<EngineChoiceEnd::Reason>(random_() % 3),
            number()};
      case 4:
        return EngineDone{real(), real(), number(), number(), number()};
      default:
        return EngineFailed{error()};
    }
  }
  EngineOptions options() {
    EngineOptions out;
    out.model_path = text();
    out.device = text();
    out.threads = number();
    out.context = number();
    out.exact = flag();
    out.kv_bits = number();
    out.adapters = {{text(), text()}, {text(), text()}};
    out.speculation = static_cast<Speculation>(random_() % 3);
    out.draft_path = text();
    out.memory_limit = big();
    out.front_bytes = big();
    out.disk_folder = text();
    out.disk_bytes = big();
    out.build = text();
    if (flag()) {
      out.memory = memory();
    }
    return out;
  }
  MemoryFacts memory() {
    MemoryFacts out;
    out.limit = big();
    out.mapped_bytes = big();
    out.layers = number();
    out.states.fixed_bytes = big();
    for (int i = static_cast<int>(random_() % 3); i > 0; --i) {
      out.states.layers.push_back({number(), big(), number(), number()});
    }
    return out;
  }
  EngineInfo info() {
    EngineInfo out;
    out.architecture = text();
    out.context_length = number();
    out.model_context_length = number();
    out.weight_bytes = big();
    out.load_seconds = real();
    out.memory = memory();
    out.adapters = {text(), text()};
    return out;
  }
  EngineStats stats() {
    EngineStats out;
    out.waiting = number();
    out.kv_bytes = big();
    out.resident_bytes = big();
    out.peak_bytes = big();
    out.last_progress_seconds = real();
    out.restarts = big();
    out.trouble = text();
    return out;
  }
  WireMessage message() {
    switch (random_() % 9) {
      case 0:
        return WireHello{kWireVersion, options()};
      case 1:
        return WireSubmit{big(), request()};
      case 2:
        return WireCancel{big(), number()};
      case 3:
        return WireClearCache{};
      case 4:
        return WirePing{big()};
      case 5:
        return WireReady{info()};
      case 6:
        return WireLoadFailed{error()};
      case 7:
        return WireEvent{big(), event()};
      default:
        return WirePulse{big(), stats()};
    }
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace rapid
