#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace {

struct AliasOptions {
  std::string action = "list";
  std::string name;
  std::string target;
  bool json = false;
};

int list(bool json) {
  const auto aliases = user_aliases();
  if (!aliases) {
    return report(aliases.error());
  }
  Json out = Json::object();
  Table table({{"ALIAS"}, {"MODEL"}});
  for (const auto& [name, target] : *aliases) {
    out[name] = target;
    table.row({name, target});
  }
  if (json) {
    print_json(out);
  } else if (aliases->empty()) {
    fmt::print("no aliases yet; `rapid-mlx alias set NAME MODEL` makes one\n");
  } else {
    fmt::print("{}", table.text());
  }
  return kExitDone;
}

int alias(const AliasOptions& o) {
  const bool needs_target = o.action == "set";
  const bool needs_name = needs_target || o.action == "remove";
  if (needs_name == o.name.empty() || needs_target == o.target.empty()) {
    return report_usage(
        {.what = fmt::format("alias {} does not take that", o.action),
         .hint = "alias list, alias set NAME MODEL, or alias remove NAME"});
  }
  if (o.action == "list") {
    return list(o.json);
  }
  const Status done = needs_target ? set_user_alias(o.name, o.target)
                                   : remove_user_alias(o.name);
  if (!done) {
    return report(done.error());
  }
  if (needs_target) {
    fmt::print("{} is {}\n", o.name, o.target);
  } else {
    fmt::print("{} is gone\n", o.name);
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<AliasOptions>();
  app.add_option("ACTION", options->action, "list, set or remove")
      ->option_text(" (list)")
      ->check(CLI::IsMember({"list", "set", "remove"}).description(""));
  app.add_option("NAME", options->name, "The short name")->option_text(" ");
  app.add_option("MODEL", options->target, "What it stands for")
      ->option_text(" ");
  add_json_flag(app, options->json);
  return [options] { return alias(*options); };
}

}  // namespace

void register_command_alias(CommandTable& table) {
  table.add({
      .name = "alias",
      .summary = "Short names of your own for models",
      .examples = "Examples:\n"
                  "  rapid-mlx alias set work org/name@revision\n"
                  "  rapid-mlx alias list\n"
                  "  rapid-mlx alias remove work\n",
      .order = 24,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
