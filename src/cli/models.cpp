#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

namespace {

Json to_json(const CatalogueEntry& entry, bool present) {
  Json sources = Json::array();
  for (const auto& source : entry.sources) {
    sources.push_back(source.text);
  }
  return {
      {"alias", entry.alias},
      {"description", entry.description},
      {"bytes", entry.bytes},
      {"sha256", entry.sha256},
      {"present", present},
      {"sources", std::move(sources)}};
}

int list_catalogue(bool json) {
  const Store store = Store::open_default();
  Json out = Json::array();
  Table table({{"MODEL"}, {"SIZE", Table::Align::right}, {"HERE"}, {"WHAT"}});
  for (const auto& entry : catalogue()) {
    const bool present = bool(store.locate(entry.alias));
    out.push_back(to_json(entry, present));
    table.row(
        {entry.alias,
         human_bytes(entry.bytes),
         present ? "yes" : "",
         entry.description});
  }
  if (json) {
    print_json(out);
  } else {
    fmt::print("{}", table.text());
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  add_json_flag(app, *json);
  return [json] { return list_catalogue(*json); };
}

}  // namespace

void register_command_models(CommandTable& table) {
  table.add({
      .name = "models",
      .summary = "List the models known by a short name",
      .order = 23,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
