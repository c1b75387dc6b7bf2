#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "base/home.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/store.h"

namespace rapid {

namespace {

Json to_json(const std::vector<StoredModel>& models) {
  Json out = Json::array();
  for (const auto& model : models) {
    out.push_back(
        {{"name", model.name},
         {"path", model.path.string()},
         {"bytes", model.bytes},
         {"foreign", model.foreign}});
  }
  return out;
}

int list_models(bool json) {
  const auto models = Store::open_default().list();
  if (!models) {
    return report(models.error());
  }
  if (json) {
    print_json(to_json(*models));
    return kExitDone;
  }
  if (models->empty()) {
    fmt::print(
        "No models in {} yet. `rapid-mlx pull MODEL` fetches one; `rapid-mlx "
        "models` lists the known ones.\n",
        models_dir().string());
    return kExitDone;
  }
  Table table({{"MODEL"}, {"SIZE", Table::Align::right}, {"PATH"}});
  for (const auto& model : *models) {
    table.row({model.name, human_bytes(model.bytes), model.path.string()});
  }
  fmt::print("{}", table.text());
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  add_json_flag(app, *json);
  return [json] { return list_models(*json); };
}

}  // namespace

void register_command_ls(CommandTable& table) {
  table.add({
      .name = "ls",
      .summary = "List the models on this machine",
      .order = 21,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
