// What a machine can run, how fast, and what it should run. Pure: a Machine
// and models in, advice out; nothing is measured or opened here.
//
//   const auto models = catalogue_models(runs_architecture);
//   const Advice advice = advise(machine, models, {.context = 32768});
//   advice.smart->model->alias
//
// A decode step reads the weights that a token multiplies with and the keys
// and values of the sequence, and pays a fixed cost per block:
//   seconds = bytes / (bandwidth * efficiency) + blocks * block_seconds
// and on a CPU attention, by its operations.
// A prompt is bound by arithmetic: 2 operations a parameter and token, and
// attention, which grows with the square of its length.
// How the constants were found: docs/decisions/0037 and 0052.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "advice/machine.h"
#include "advice/model_shape.h"
#include "base/json.h"
#include "hub/catalogue.h"

namespace rapid {

// A model that could be run: of the catalogue, or one with a configuration.
struct CandidateModel {
  std::string alias;
  int preference = 0;           // as CatalogueEntry's
  uint64_t download_bytes = 0;  // 0 = unknown
  uint64_t weight_bytes = 0;    // resident
  uint64_t active_bytes = 0;    // read for a token
  std::optional<ModelShape> shape;
};

struct Fit {
  bool fits = false;         // in the usable memory
  bool comfortable = false;  // with room for other programs
  int context = 0;           // what was asked for, at most the model's
  int longest = 0;           // context that the usable memory holds
  uint64_t weights = 0;
  uint64_t states = 0;     // of one sequence of `context` tokens
  uint64_t workspace = 0;  // a step's, and the program's
  uint64_t total() const { return weights + states + workspace; }
};

struct Speed {
  double decode_tps = 0;  // behind a prompt of kDecodeAfter, as `bench` has it
  double prefill_tps = 0;
  double ttft_seconds = 0;  // of a prompt of so many tokens, nothing cached
  std::string why;
};

inline constexpr int kPromptTokens = 2048;
inline constexpr int kDecodeAfter = 512;
inline constexpr int kUsualContext = 32768;

struct AdviceOptions {
  int context = 0;  // 0 = kUsualContext
  int kv_bits = 16;
};

struct Row {
  const CandidateModel* model = nullptr;
  Fit fit;
  Speed speed;
};

struct Advice {
  std::optional<Row> smart;  // the best that fits and is fast enough
  std::optional<Row> fast;   // hardly worse, much faster
  std::vector<Row> rows;     // of all that fit, the best first
  int context = 0;           // that it was found for: less than asked for only
                             // if nothing fits
};

// The entries with a preference that `runs` says this build runs.
std::vector<CandidateModel> catalogue_models(
    const std::function<bool(std::string_view architecture)>& runs);
CandidateModel candidate(const CatalogueEntry& entry);

Fit fit_model(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options);

// `tokens`: of the prompt.
Speed expect_speed(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options,
    int tokens = kPromptTokens);

// The result points into `models`.
Advice advise(
    const Machine& machine,
    const std::vector<CandidateModel>& models,
    const AdviceOptions& options);

// Of {"machine", "context", "smart", "fast", "models"}.
Json to_json(const Machine& machine, const Advice& advice);
Json to_json(const Machine& machine);
Json to_json(const Row& row);

}  // namespace rapid
