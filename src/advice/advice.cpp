#include "advice/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "advice/quant_bits.h"

namespace rapid {
namespace {

// The program with its text, tokenizer and grammars.
constexpr uint64_t kProcessBytes = uint64_t{300} << 20;
constexpr int kChunk = 512;  // prompt tokens of a step
// Below it nobody waits for an answer, unless nothing faster fits.
constexpr double kLeastTps = 10;
// The fast one may be so much worse by preference.
constexpr int kHardlyWorse = 5;
constexpr int kLeastFast = 40;
constexpr int kLeastContext = 2048;
// Where the configuration is not known: keys and values of a token.
constexpr uint64_t kUnknownTokenBytes = 100 << 10;

MemoryFacts facts_of(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options) {
  MemoryFacts facts;
  facts.limit = machine.usable;
  facts.weight_bytes = model.weight_bytes;
  facts.process_bytes = kProcessBytes;
  facts.prefill_chunk = kChunk;
  facts.most_choices = 1;
  if (!model.shape) {
    facts.model_context = 1 << 20;
    facts.states.add({1, kUnknownTokenBytes, 1, 0});
    return facts;
  }
  const ModelShape& shape = *model.shape;
  facts.layers = shape.layers;
  facts.row_bytes = sizeof(float) *
                    static_cast<uint64_t>(2 * shape.hidden + 2 * shape.widest);
  facts.logits_bytes = sizeof(float) * static_cast<uint64_t>(shape.vocabulary);
  facts.model_context = std::max(shape.context, 1);
  facts.states = shape.states(options.kv_bits);
  return facts;
}

// What a token passes through; guessed where the configuration is not known.
struct Path {
  int blocks = 64;
  int routings = 0;
};

Path path_of(const CandidateModel& model) {
  if (model.shape) {
    return {model.shape->blocks, model.shape->expert_layers};
  }
  Path out;
  if (model.active_bytes < model.weight_bytes) {
    out = {96, 48};
  }
  return out;
}

// Of a token behind a prompt of kDecodeAfter.
struct Step {
  double bytes = 0;
  double reading = 0;  // seconds
  double attending = 0;
  double blocks = 0;

  double seconds() const { return reading + attending + blocks; }
};

Step step_of(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options,
    const Path& path) {
  Step out;
  out.bytes = static_cast<double>(model.active_bytes);
  const double rate = machine.bandwidth * machine.efficiency;
  out.reading = out.bytes / rate;
  if (model.shape) {
    const ModelShape& shape = *model.shape;
    const auto states =
        static_cast<double>(shape.states(options.kv_bits).bytes(kDecodeAfter));
    out.bytes += states;
    out.reading += states / rate;
    if (machine.decode_attend_flops > 0) {
      out.attending = (shape.attention_flops(kDecodeAfter + 1) -
                       shape.attention_flops(kDecodeAfter)) /
                      machine.decode_attend_flops;
    }
  }
  out.blocks = path.blocks * machine.block_seconds +
               path.routings * machine.routing_seconds;
  return out;
}

std::string reason(const Machine& machine, const Path& path, const Step& step) {
  return fmt::format(
      "a token reads {:.2f} GB at {}{:.0f} GB/s ({}) in {:.1f} ms; {}{} "
      "blocks{} make it {:.1f} ms",
      step.bytes / 1e9,
      machine.efficiency < 1
          ? fmt::format("{:.0f} % of ", machine.efficiency * 100)
          : "",
      machine.bandwidth / 1e9,
      machine.measured ? "measured" : "by its chip",
      step.reading * 1e3,
      step.attending > 0 ? "attention and " : "",
      path.blocks,
      path.routings > 0 ? fmt::format(", {} with experts,", path.routings) : "",
      step.seconds() * 1e3);
}

void find_picks(Advice& advice) {
  const auto quick = [](const Row& row) {
    return row.fit.comfortable && row.speed.decode_tps >= kLeastTps;
  };
  for (const Row& row : advice.rows) {
    if (quick(row)) {
      advice.smart = row;
      break;
    }
  }
  if (!advice.smart) {  // the fastest there is
    const auto best = std::ranges::max_element(
        advice.rows, {}, [](const Row& row) { return row.speed.decode_tps; });
    if (best != advice.rows.end()) {
      advice.smart = *best;
    }
    return;
  }
  const auto faster_from = [&](int least) {
    for (const Row& row : advice.rows) {
      const bool better =
          row.model->preference >= least && quick(row) &&
          row.speed.decode_tps > 1.2 * advice.smart->speed.decode_tps &&
          (!advice.fast ||
           row.speed.decode_tps > advice.fast->speed.decode_tps);
      if (better) {
        advice.fast = row;
      }
    }
  };
  faster_from(advice.smart->model->preference - kHardlyWorse);
  if (!advice.fast) {
    faster_from(std::min(kLeastFast, advice.smart->model->preference));
  }
}

double gigabytes(uint64_t bytes) {
  return std::round(static_cast<double>(bytes) / 1e7) / 100;
}

double tenths(double value) {
  return std::round(value * 10) / 10;
}

}  // namespace

CandidateModel candidate(const CatalogueEntry& entry) {
  CandidateModel out;
  out.alias = entry.alias;
  out.preference = entry.preference;
  out.download_bytes = entry.bytes;
  out.weight_bytes = entry.bytes;
  // Of experts whose number is not known about a twentieth works.
  out.active_bytes = entry.moe ? entry.bytes / 20 : entry.bytes;
  const Json* config = model_config(entry.config);
  auto shape = config != nullptr
                   ? model_shape(*config)
                   : Result<ModelShape>(Error{ErrorCode::not_found, ""});
  if (!shape) {
    return out;
  }
  out.shape = *std::move(shape);
  const auto bits = quant_bits(entry.quantisation);
  if (bits && entry.file.empty()) {
    out.weight_bytes = weight_bytes(*out.shape, *bits);
    out.active_bytes = active_bytes(*out.shape, *bits);
  } else {
    // Of a file whose size is known, what a token needs not read.
    const double all = static_cast<double>(out.shape->params());
    const double used = static_cast<double>(
        out.shape->active_expert_params + out.shape->active_matrix_params +
        out.shape->plain_params);
    out.active_bytes = static_cast<uint64_t>(
        static_cast<double>(out.weight_bytes) * std::min(1.0, used / all));
  }
  if (entry.read_bytes > 0) {
    out.active_bytes = entry.read_bytes;
  }
  return out;
}

std::vector<CandidateModel> catalogue_models(
    const std::function<bool(std::string_view)>& runs) {
  std::vector<CandidateModel> out;
  for (const CatalogueEntry& entry : catalogue()) {
    if (entry.preference > 0 && runs(entry.architecture)) {
      out.push_back(candidate(entry));
    }
  }
  return out;
}

Fit fit_model(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options) {
  const MemoryFacts facts = facts_of(machine, model, options);
  Fit fit;
  fit.context = std::min(
      options.context > 0 ? options.context : kUsualContext,
      facts.model_context);
  const MemoryPlan plan = plan_memory(facts, fit.context, 1);
  fit.weights = plan.weights;
  fit.states = plan.states;
  fit.workspace = plan.workspace + plan.process;
  fit.longest = plan.effective_context;
  fit.fits = plan.fits && fit.total() <= machine.usable;
  fit.comfortable = fit.fits && fit.total() <= machine.comfortable;
  return fit;
}

Speed expect_speed(
    const Machine& machine,
    const CandidateModel& model,
    const AdviceOptions& options,
    int tokens) {
  const Path path = path_of(model);
  double params = static_cast<double>(model.active_bytes) * 8 / 4.5;
  if (model.shape) {
    // Only the last token of a prompt meets the head.
    const ModelShape& shape = *model.shape;
    params = static_cast<double>(
        shape.active_expert_params + shape.active_matrix_params -
        shape.head_params());
  }
  const Step step = step_of(machine, model, options, path);
  const double n = std::max(tokens, 1);
  const double attend =
      machine.attend_flops > 0 ? machine.attend_flops : machine.flops;
  const double prompt =
      2 * n * std::max(params, 1.0) / machine.flops +
      (model.shape ? model.shape->attention_flops(tokens) / attend : 0);
  Speed out;
  out.decode_tps = step.seconds() > 0 ? 1 / step.seconds() : 0;
  out.prefill_tps = n / prompt;
  out.ttft_seconds = prompt + step.seconds();
  out.why = reason(machine, path, step);
  return out;
}

Advice advise(
    const Machine& machine,
    const std::vector<CandidateModel>& models,
    const AdviceOptions& options) {
  Advice out;
  AdviceOptions asked = options;
  asked.context = options.context > 0 ? options.context : kUsualContext;
  // A shorter context, before nothing at all.
  for (; out.rows.empty() && asked.context >= kLeastContext;
       asked.context /= 2) {
    out.context = asked.context;
    for (const CandidateModel& model : models) {
      const Fit fit = fit_model(machine, model, asked);
      if (fit.fits) {
        out.rows.push_back({&model, fit, expect_speed(machine, model, asked)});
      }
    }
  }
  std::ranges::stable_sort(out.rows, std::greater{}, [](const Row& row) {
    return row.model->preference;
  });
  find_picks(out);
  return out;
}

Json to_json(const Machine& machine) {
  static constexpr const char* kKinds[] = {"unified", "cpu", "gpu"};
  return {
      {"kind", kKinds[static_cast<int>(machine.kind)]},
      {"chip", machine.chip},
      {"threads", machine.threads},
      {"memory_bytes", machine.memory},
      {"usable_bytes", machine.usable},
      {"comfortable_bytes", machine.comfortable},
      {"usable_why", machine.memory_why},
      {"bandwidth_gb_s", tenths(machine.bandwidth / 1e9)},
      {"bandwidth_measured", machine.measured}};
}

Json to_json(const Machine& machine, const Advice& advice) {
  const auto pick = [](const std::optional<Row>& row) {
    return row ? to_json(*row) : Json();
  };
  Json rows = Json::array();
  for (const Row& row : advice.rows) {
    rows.push_back(to_json(row));
  }
  return {
      {"machine", to_json(machine)},
      {"context", advice.context},
      {"smart", pick(advice.smart)},
      {"fast", pick(advice.fast)},
      {"models", std::move(rows)}};
}

Json to_json(const Row& row) {
  return {
      {"model", row.model->alias},
      {"download_gb", gigabytes(row.model->download_bytes)},
      {"fits", row.fit.fits},
      {"comfortable", row.fit.comfortable},
      {"context", row.fit.context},
      {"longest_context", row.fit.longest},
      {"memory_gb",
       {{"weights", gigabytes(row.fit.weights)},
        {"states", gigabytes(row.fit.states)},
        {"workspace", gigabytes(row.fit.workspace)},
        {"total", gigabytes(row.fit.total())}}},
      {"decode_tps", tenths(row.speed.decode_tps)},
      {"prefill_tps", tenths(row.speed.prefill_tps)},
      {"ttft_ms", std::round(row.speed.ttft_seconds * 1e3)},
      {"prompt_tokens", kPromptTokens},
      {"why", row.speed.why}};
}

}  // namespace rapid
