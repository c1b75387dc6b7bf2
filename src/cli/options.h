// Option groups that several commands share. Each is a plain struct with the
// defaults, add() puts its options on a command; ranges are checked in parsing
// (a wrong value is wrong use, exit 2).
//
//   auto o = std::make_shared<ServeOptions>();
//   o->engine.add(app);
//   return [o] { return run(*o); };
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/request.h"
#include "engine/engine.h"
#include "engine/front.h"

namespace CLI {
class App;
}

namespace rapid {

struct ModelOption {
  std::string model;  // "" = the default model, where that is allowed
  enum class Need { required, default_allowed };
  void add(CLI::App& app, Need need);
};

struct EngineFlags {
  std::string device = "auto";
  int threads = 0;  // 0 = all cores
  int context = 0;  // 0 = the model's
  bool exact = false;
  int kv_bits = EngineOptions().kv_bits;

  std::vector<AdapterSource> adapters;
  Speculation speculation = Speculation::off;
  std::string draft;  // a MODEL; who makes the engine fetches it

  void add(CLI::App& app, const char* threads_flag = "--threads");
  // --adapter NAME=FOLDER, any number of them
  void add_adapters(CLI::App& app, const char* what);
  // --speculate auto|off|ngram, which is auto then; --draft MODEL
  void add_speculation(CLI::App& app);
  EngineOptions engine_options(const std::string& model_path) const;
};

struct SamplingFlags {
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<uint64_t> seed;

  void add(CLI::App& app);
  chat::Sampling sampling() const;
};

// --loop-guard off|report|break, --no-redecode
void add_front_flags(CLI::App& app, FrontOptions& front);

// "" when `device` is auto, cpu, metal, cuda or cuda:N; else what is wrong.
std::string check_device(const std::string& device);

// --json; prints one JSON text and a line end to stdout.
void add_json_flag(CLI::App& app, bool& json);
void print_json(const Json& value);

}  // namespace rapid
