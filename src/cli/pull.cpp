#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"

namespace rapid {

namespace {

struct PullOptions {
  ModelOption model;
  bool quiet = false;
};

int pull(const PullOptions& options) {
  Interrupts interrupts;
  const auto place = fetch_model(
      options.model.model, {.quiet = options.quiet, .cancelled = [&] {
                              return interrupts.count() > 0;
                            }});
  if (!place) {
    return report(place.error());
  }
  if (!options.quiet) {
    fmt::print("{} is at {}\n", place->name, place->path);
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<PullOptions>();
  options->model.add(app, ModelOption::Need::required);
  app.add_flag("-q,--quiet", options->quiet, "Print errors only");
  return [options] { return pull(*options); };
}

}  // namespace

void register_command_pull(CommandTable& table) {
  table.add({
      .name = "pull",
      .summary = "Download a model; goes on where it was stopped",
      .examples = "Examples:\n"
                  "  rapid-mlx pull {model}\n"
                  "  rapid-mlx pull org/name@revision\n",
      .order = 20,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
