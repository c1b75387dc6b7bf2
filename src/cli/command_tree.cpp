#include "cli/command_tree.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/default_model.h"

namespace rapid {
namespace {

OptionDoc describe(const CLI::Option& option) {
  OptionDoc out;
  out.positional = option.get_positional();
  for (const auto& name : option.get_lnames()) {
    out.names.push_back("--" + name);
  }
  for (const auto& name : option.get_snames()) {
    out.names.push_back("-" + name);
  }
  if (out.names.empty()) {
    out.names.push_back(option.get_name(true));
  }
  out.description = option.get_description();
  out.flag = !out.positional && option.get_items_expected_max() == 0;
  out.value = out.flag ? "" : option.get_option_text();
  out.hidden = option.get_group().empty();
  return out;
}

std::string with_model(std::string text) {
  for (size_t at; (at = text.find("{model}")) != std::string::npos;) {
    text.replace(at, 7, default_model());
  }
  return text;
}

}  // namespace

std::vector<CommandDoc> command_tree(const CommandTable& table) {
  std::vector<CommandDoc> out;
  for (const Command& command : table.sorted()) {
    if (command.hidden) {
      continue;
    }
    CLI::App app(command.summary, command.name);
    command.configure(app);
    CommandDoc doc{
        command.name,
        command.summary,
        command.group,
        with_model(command.examples),
        {}};
    for (const CLI::Option* option : app.get_options()) {
      doc.options.push_back(describe(*option));
    }
    out.push_back(std::move(doc));
  }
  return out;
}

Status check_option(
    const CommandTable& table,
    const std::string& command,
    const std::string& name,
    const std::string& value) {
  const Command* found = table.find(command);
  if (found == nullptr || found->hidden) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("there is no command {}", command),
        "`rapid-mlx --help` lists them"};
  }
  CLI::App app(found->summary, found->name);
  const auto run = found->configure(app);
  const CLI::Option* option = app.get_option_no_throw("--" + name);
  if (option == nullptr || name == "help") {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} has no option --{}", command, name),
        fmt::format("see `rapid-mlx {} --help`", command)};
  }
  for (CLI::Option* each : app.get_options()) {
    each->required(false);
  }
  try {
    app.parse(std::vector<std::string>{fmt::format("--{}={}", name, value)});
  } catch (const CLI::ParseError& e) {
    return Error{
        ErrorCode::invalid_argument,
        e.what(),
        fmt::format("see `rapid-mlx {} --help`", command)};
  }
  return {};
}

}  // namespace rapid
