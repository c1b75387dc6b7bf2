#include "cli/suggestion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>

#include "advice/advice.h"
#include "cli/default_model.h"
#include "cli/model_loading.h"
#include "cli/table.h"
#include "engine/build_features.h"
#include "engine/memory_plan.h"
#include "hub/hub_repository.h"
#include "hub/store.h"
#include "hub/store_names.h"

namespace rapid {
namespace {

// A context that is too short for any work.
constexpr int kLeastContext = 2048;

Machine machine_of(const ServedOptions& options, Measure measure) {
  Machine machine = this_machine(options.engine.device, measure);
  if (!options.memory_limit.empty()) {
    // The user's word, even against what is free now.
    machine.usable = options.limit();
    machine.memory_why = "--memory-limit";
    machine.comfortable = machine.usable;
  }
  return machine;
}

AdviceOptions advice_options(const ServedOptions& options) {
  return {.context = options.engine.context, .kv_bits = options.engine.kv_bits};
}

// What can be known of a model that is not here. Nothing: alias is "".
CandidateModel known_of(const std::string& model) {
  const auto name = parse_model_name(model);
  if (const CatalogueEntry* entry = find_in_catalogue(model)) {
    return candidate(*entry);
  }
  CandidateModel out;
  if (!name || !name->hub) {
    return out;
  }
  const auto files = hub_files(*name->hub, {});
  for (const HubFile& file : files ? *files : std::vector<HubFile>()) {
    out.weight_bytes += file.bytes;
  }
  out.alias = out.weight_bytes > 0 ? model : "";
  return out;
}

std::string what_fits(const Machine& machine, const AdviceOptions& options) {
  const auto models = catalogue_models(runs_architecture);
  const Advice advice = advise(machine, models, options);
  if (!advice.smart) {
    return "free memory, or set a larger --memory-limit";
  }
  return fmt::format(
      "{} fits with {} of {} (`rapid-mlx recipe` shows more)",
      advice.smart->model->alias,
      human_bytes(advice.smart->fit.total()),
      human_bytes(machine.usable));
}

// Is the hub there? One small request.
bool can_fetch(const CandidateModel& model) {
  const auto name = parse_model_name(model.alias);
  return name && (name->entry != nullptr || hub_files(*name->hub, {}));
}

}  // namespace

std::string suggest_model(const ServedOptions& options) {
  const Machine machine = machine_of(options, Measure::yes);
  const auto all = catalogue_models(runs_architecture);
  const Store store = Store::open_default();
  std::vector<CandidateModel> here;
  std::ranges::copy_if(all, std::back_inserter(here), [&](const auto& model) {
    return bool(store.locate(model.alias));
  });
  const auto asked = advice_options(options);
  const Advice best = advise(machine, all, asked);
  if (const Advice found = advise(machine, here, asked); found.smart) {
    const std::string name = found.smart->model->alias;
    fmt::print(stderr, "no model named: taking {}\n", name);
    if (best.smart &&
        best.smart->model->preference > found.smart->model->preference) {
      fmt::print(
          stderr,
          "this machine could run {} (`rapid-mlx recipe`)\n",
          best.smart->model->alias);
    }
    return name;
  }
  if (best.smart && can_fetch(*best.smart->model)) {
    fmt::print(
        stderr,
        "no model named: taking {}, {} to download; {}\n",
        best.smart->model->alias,
        human_bytes(best.smart->model->download_bytes),
        best.smart->speed.why);
    return best.smart->model->alias;
  }
  fmt::print(stderr, "no model named: taking {}\n", default_model());
  return default_model();
}

std::function<Json(int)> recipe_of(const ServedOptions& options) {
  struct Known {
    std::mutex mutex;
    std::optional<Machine> machine;
  };
  const auto known = std::make_shared<Known>();
  return [options, known](int context) {
    AdviceOptions wanted = advice_options(options);
    wanted.context = context > 0 ? context : wanted.context;
    const auto models = catalogue_models(runs_architecture);
    std::lock_guard lock(known->mutex);
    if (!known->machine) {
      Machine machine = machine_of(options, Measure::yes);
      if (machine.kind != Machine::Kind::unified) {
        machine.usable = machine.memory / 10 * 9;  // not what is free now
      }
      machine.usable = std::min<uint64_t>(machine.usable, options.limit());
      machine.comfortable = machine.usable;
      machine.memory_why = "what the server's models may take";
      known->machine = std::move(machine);
    }
    return to_json(*known->machine, advise(*known->machine, models, wanted));
  };
}

Status check_model_fits(
    const std::string& model, const ServedOptions& options) {
  RAPID_CHECK(check_runs(model));
  if (Store::open_default().locate(model)) {
    return {};  // the load looks at the files themselves
  }
  const CandidateModel known = known_of(model);
  if (known.alias.empty()) {
    return {};
  }
  Machine machine = machine_of(options, Measure::no);
  AdviceOptions least = advice_options(options);
  if (least.context == 0) {
    least.context = kLeastContext;  // the engine takes what there is room for
  }
  const Fit fit = fit_model(machine, known, least);
  if (fit.fits) {
    return {};
  }
  machine = machine_of(options, Measure::yes);
  return Error{
      ErrorCode::too_large,
      fmt::format(
          "{} needs {}: {} of weights, {} for a context of {}, {} to work in; "
          "a model may take {} here ({})",
          model,
          human_bytes(fit.total()),
          human_bytes(fit.weights),
          human_bytes(fit.states),
          fit.context,
          human_bytes(fit.workspace),
          human_bytes(machine.usable),
          machine.memory_why),
      what_fits(machine, advice_options(options))};
}

}  // namespace rapid
