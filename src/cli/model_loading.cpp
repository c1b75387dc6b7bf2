#include "cli/model_loading.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/default_model.h"
#include "cli/progress.h"
#include "engine/build_features.h"
#include "hub/catalogue.h"
#include "hub/store.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace {

// Under its own name, or an alias of the user's.
const CatalogueEntry* entry_of(std::string_view model) {
  const std::string target = user_alias_target(model);
  return find_in_catalogue(target.empty() ? model : target);
}

// Where the files name none. Not the repetition penalty, which would change
// greedy answers.
void recommend(const Json& sampling, chat::Sampling& out) {
  const auto fill = [&](const char* key, auto& field) {
    if (!field && sampling.contains(key)) {
      field = sampling.at(key)
                  .get<typename std::decay_t<decltype(field)>::value_type>();
    }
  };
  fill("temperature", out.temperature);
  fill("top_p", out.top_p);
  fill("top_k", out.top_k);
}

}  // namespace

Status check_architecture(
    std::string_view model, const std::string& architecture) {
  if (architecture.empty() || runs_architecture(architecture)) {
    return {};
  }
  return Error{
      ErrorCode::unsupported,
      fmt::format(
          "{} has the architecture {}, which this version does not run",
          model,
          architecture),
      "`rapid-mlx models` lists those that it runs",
      "model"};
}

Status check_runs(std::string_view model) {
  const CatalogueEntry* entry = entry_of(model);
  return entry == nullptr ? Status()
                          : check_architecture(model, entry->architecture);
}

Result<ModelPlace> fetch_model(
    const std::string& model, const FetchOptions& options) {
  ModelPlace place{.name = model};
  if (model.empty()) {
    place.name = default_model();
    if (!options.quiet) {
      fmt::print(stderr, "no model named: taking {}\n", place.name);
    }
  }
  if (find_in_catalogue(place.name)) {
    place.alias = place.name;
  }
  RAPID_CHECK(check_runs(place.name));
  const Store store = Store::open_default();
  ProgressPrinter printer(options.quiet);
  PullHooks hooks;
  hooks.progress = [&](const PullProgress& p) {
    printer.update(p.what, p.done, p.total);
  };
  hooks.note = [&](const std::string& text) { printer.note(text); };
  hooks.cancelled = options.cancelled;
  hooks.accepts = [&](const std::string& architecture) {
    return check_architecture(place.name, architecture);
  };
  auto path = store.pull(place.name, hooks);
  if (!path) {
    Error error = path.error();
    if (options.cancelled && options.cancelled()) {
      error = {
          .code = ErrorCode::cancelled,
          .what = fmt::format("stopped while fetching {}", place.name),
          .hint =
              "what came so far is kept: the same command goes on from "
              "there",
      };
    }
    return error;
  }
  place.path = path->string();
  return place;
}

Result<std::shared_ptr<const TextModel>> open_text(
    const ModelPlace& place, const std::string& format) {
  RAPID_TRY(
      auto text,
      open_text_model(
          place.path,
          {.name = place.name, .alias = place.alias, .format = format}));
  const CatalogueEntry* entry = entry_of(place.name);
  if (entry == nullptr || !entry->sampling.is_object()) {
    return text;
  }
  auto out = std::make_shared<TextModel>(*text);
  recommend(entry->sampling, out->defaults);
  return std::shared_ptr<const TextModel>(std::move(out));
}

}  // namespace rapid
