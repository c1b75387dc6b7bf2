#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "engine/build_features.h"
#include "hub/catalogue.h"
#include "hub/store.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace {

struct ModelsOptions {
  std::string filter;
  bool here = false;
  bool names = false;
  bool json = false;
};

Json to_json(const CatalogueEntry& entry, bool present) {
  Json sources = Json::array();
  for (const auto& source : entry.sources) {
    sources.push_back(source.text);
  }
  const auto text = [](const std::string& value) {
    return value.empty() ? Json() : Json(value);
  };
  return {
      {"alias", entry.alias},
      {"aliases", entry.aliases},
      {"description", entry.description},
      {"architecture", entry.architecture},
      {"runs", runs_architecture(entry.architecture)},
      {"quantisation", entry.quantisation},
      {"format", text(entry.format)},
      {"reasoning", text(entry.reasoning)},
      {"hybrid", entry.hybrid},
      {"moe", entry.moe},
      {"context", entry.context},
      {"sampling", entry.sampling},
      {"bytes", entry.bytes},
      {"sha256", text(entry.sha256)},
      {"present", present},
      {"sources", std::move(sources)}};
}

// Is `part` in a name, the description or a source of it?
bool matches(const CatalogueEntry& entry, const std::string& part) {
  const auto lower = [](std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) {
      return static_cast<char>(std::tolower(c));
    });
    return text;
  };
  std::string all = entry.alias + " " + entry.description;
  for (const std::string& name : entry.aliases) {
    all += " " + name;
  }
  for (const ModelSource& source : entry.sources) {
    all += " " + source.text;
  }
  return lower(all).find(lower(part)) != std::string::npos;
}

std::string kind(const CatalogueEntry& entry) {
  std::string out = entry.moe ? "experts" : "dense";
  if (entry.hybrid) {
    out += ", hybrid";
  }
  if (!runs_architecture(entry.architecture)) {
    out += ", does not run yet";
  }
  return out;
}

Status list_users(Json& out, const Store& store, Table& table) {
  RAPID_TRY(const auto aliases, user_aliases());
  for (const auto& [name, target] : aliases) {
    const bool present = bool(store.locate(name));
    out.push_back({{"alias", name}, {"target", target}, {"present", present}});
    table.row({name, "", present ? "yes" : "", "", "", "yours: " + target});
  }
  return {};
}

// For completions: every name, one a line.
int print_names() {
  if (const auto aliases = user_aliases()) {
    for (const auto& [name, target] : *aliases) {
      fmt::print("{}\n", name);
    }
  }
  for (const CatalogueEntry& entry : catalogue()) {
    fmt::print("{}\n", entry.alias);
    for (const std::string& name : entry.aliases) {
      fmt::print("{}\n", name);
    }
  }
  return kExitDone;
}

int list_catalogue(const ModelsOptions& options) {
  if (options.names) {
    return print_names();
  }
  const Store store = Store::open_default();
  Json out = Json::array();
  const auto right = Table::Align::right;
  Table table(
      {{"MODEL"},
       {"SIZE", right},
       {"HERE"},
       {"CONTEXT", right},
       {"KIND"},
       {"WHAT"}});
  for (const auto& entry : catalogue()) {
    if (!options.filter.empty() && !matches(entry, options.filter)) {
      continue;
    }
    const bool present = bool(store.locate(entry.alias));
    if (options.here && !present) {
      continue;
    }
    out.push_back(to_json(entry, present));
    table.row(
        {entry.alias,
         human_bytes(entry.bytes),
         present ? "yes" : "",
         std::to_string(entry.context),
         kind(entry),
         entry.description});
  }
  if (options.filter.empty() && !options.here) {
    if (const auto listed = list_users(out, store, table); !listed) {
      return report(listed.error());
    }
  }
  if (options.json) {
    print_json(out);
  } else {
    fmt::print("{}", table.text());
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ModelsOptions>();
  app.add_option(
         "TEXT",
         options->filter,
         "Only those with this in their name, description or repository")
      ->option_text(" ");
  app.add_flag("--here", options->here, "Only those on this machine");
  app.add_flag("--names", options->names, "Only names, one a line");
  add_json_flag(app, options->json);
  return [options] { return list_catalogue(*options); };
}

}  // namespace

void register_command_models(CommandTable& table) {
  table.add({
      .name = "models",
      .summary = "List the models known by a short name",
      .examples = "Examples:\n"
                  "  rapid-mlx models coder\n"
                  "  rapid-mlx models --here --json\n",
      .order = 23,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
