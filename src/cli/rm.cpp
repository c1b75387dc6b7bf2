#include <fmt/format.h>

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/confirm.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/store.h"

namespace rapid {

namespace {

struct RemoveOptions {
  ModelOption model;
  bool yes = false;
};

int remove_model(const RemoveOptions& options) {
  const Store store = Store::open_default();
  const auto path = store.locate(options.model.model);
  if (!path) {
    return report(path.error());
  }
  if (const auto refused =
          confirm(fmt::format("Remove {}?", path->string()), options.yes)) {
    return *refused;
  }
  const auto freed = store.remove(options.model.model);
  if (!freed) {
    return report(freed.error());
  }
  fmt::print(
      "removed {}, {} are free again\n",
      options.model.model,
      human_bytes(*freed));
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<RemoveOptions>();
  options->model.add(app, ModelOption::Need::required);
  app.add_flag("-y,--yes", options->yes, "Do not ask");
  return [options] { return remove_model(*options); };
}

}  // namespace

void register_command_rm(CommandTable& table) {
  table.add({
      .name = "rm",
      .summary = "Remove a downloaded model; asks first",
      .examples = "Example:\n  rapid-mlx rm {model} -y\n",
      .order = 22,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
