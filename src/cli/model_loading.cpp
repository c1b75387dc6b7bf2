#include "cli/model_loading.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/default_model.h"
#include "cli/progress.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

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
  const Store store = Store::open_default();
  ProgressPrinter printer(options.quiet);
  PullHooks hooks;
  hooks.progress = [&](const PullProgress& p) {
    printer.update(p.what, p.done, p.total);
  };
  hooks.note = [&](const std::string& text) { printer.note(text); };
  hooks.cancelled = options.cancelled;
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
  return open_text_model(
      place.path, {.name = place.name, .alias = place.alias, .format = format});
}

}  // namespace rapid
