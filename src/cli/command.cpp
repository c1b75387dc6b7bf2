#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "cli/default_model.h"
#include "cli/settings.h"

namespace rapid {

namespace {

constexpr std::string_view kProgram = "rapid-mlx";

// Levenshtein over bytes; names are short ASCII.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t up = row[j];
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      diagonal = up;
    }
  }
  return row.back();
}

std::string with_model(std::string text) {
  constexpr std::string_view kMark = "{model}";
  for (size_t at = 0; (at = text.find(kMark, at)) != std::string::npos;) {
    text.replace(at, kMark.size(), default_model());
  }
  return text;
}

void print_error(const Error& error) {
  std::string text = fmt::format("error: {}\n", error.what);
  if (!error.hint.empty()) {
    text += fmt::format("hint: {}\n", error.hint);
  }
  std::fflush(stdout);
  std::fputs(text.c_str(), stderr);
}

void start_logging(const Command& command) {
  init_logging();
  if (!command.log_info && !std::getenv("RAPID_MLX_LOG")) {
    spdlog::set_level(spdlog::level::warn);
  }
}

int unknown_command(const CommandTable& table, const std::string& name) {
  const std::string closest = table.closest(name);
  return report_usage({
      .what = fmt::format("there is no command `{}`", name),
      .hint = closest.empty()
                  ? fmt::format("`{} --help` lists the commands", kProgram)
                  : fmt::format("did you mean `{} {}`?", kProgram, closest),
  });
}

int run_command(const Command& command, std::vector<std::string> arguments) {
  CLI::App app(command.summary, fmt::format("{} {}", kProgram, command.name));
  const auto action = command.configure(app);
  if (!command.hidden && command.name != "config") {  // which can mend them
    const auto settings = read_settings();
    if (!settings) {
      return report(settings.error());
    }
    arguments =
        with_settings(*settings, command.name, app, std::move(arguments));
  }
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 pops the back
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    app.footer(with_model(command.examples));
    std::fputs(app.help().c_str(), stdout);
    return kExitDone;
  } catch (const CLI::ParseError& e) {
    return report_usage({
        .what = e.what(),
        .hint = fmt::format("see `{} {} --help`", kProgram, command.name),
    });
  }
  start_logging(command);
  try {
    return action();
  } catch (const std::exception& e) {
    return report({.code = ErrorCode::internal, .what = e.what()});
  }
}

}  // namespace

void CommandTable::add(Command command) {
  if (find(command.name)) {
    throw std::logic_error("two commands are named " + command.name);
  }
  commands_.push_back(std::move(command));
}

std::vector<Command> CommandTable::sorted() const {
  auto out = commands_;
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.order < b.order;
  });
  return out;
}

const Command* CommandTable::find(std::string_view name) const {
  for (const auto& command : commands_) {
    if (command.name == name) {
      return &command;
    }
  }
  return nullptr;
}

std::string CommandTable::closest(std::string_view typed) const {
  std::string best;
  size_t best_distance = 3;  // further than two edits is another word
  for (const auto& command : sorted()) {
    const size_t distance = edit_distance(typed, command.name);
    if (distance < best_distance && distance < command.name.size() &&
        !command.hidden) {
      best = command.name;
      best_distance = distance;
    }
  }
  return best;
}

int report(const Error& error) {
  print_error(error);
  return kExitFailed;
}

int report_usage(const Error& error) {
  print_error(error);
  return kExitUsage;
}

std::string overview(const CommandTable& table) {
  std::string out = fmt::format(
      "{0} {1}: local language models for agents, over HTTP or in the "
      "terminal\n\nUsage: {0} COMMAND [MODEL] [OPTIONS]\n",
      kProgram,
      RAPID_MLX_VERSION);
  std::string group;
  size_t width = 0;
  for (const auto& command : table.sorted()) {
    width = std::max(width, command.hidden ? 0 : command.name.size() + 2);
  }
  for (const auto& command : table.sorted()) {
    if (command.hidden) {
      continue;
    }
    if (command.group != group) {
      group = command.group;
      out += fmt::format("\n{}\n", group);
    }
    out += fmt::format("  {:<{}}{}\n", command.name, width, command.summary);
  }
  // Generic on purpose: reading the catalogue would be a tenth of the time.
  out +=
      "\nQuick start\n"
      "  rapid-mlx serve                 a model that suits this machine, on "
      "8000\n"
      "  rapid-mlx chat                  talk to it here; Ctrl-D leaves\n"
      "  rapid-mlx models                the models known by a short name\n"
      "  rapid-mlx chat ./my-model.gguf  a file, or a folder of safetensors\n"
      "  rapid-mlx bench                 how fast is it on this machine?\n";
  out += fmt::format(
      "\n`{0} COMMAND --help` shows a command's options. `{0} --version`.\n",
      kProgram);
  return out;
}

int show_command_help(const CommandTable& table, std::string_view name) {
  const Command* command = table.find(name);
  return command ? run_command(*command, {"--help"})
                 : unknown_command(table, std::string(name));
}

int run_cli(const CommandTable& table, std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    std::fputs(overview(table).c_str(), stdout);
    return kExitDone;
  }
  std::string name = arguments[0];
  if (name == "--version" || name == "-V") {
    std::fputs(
        fmt::format("{} {}\n", kProgram, RAPID_MLX_VERSION).c_str(), stdout);
    return kExitDone;
  }
  const Command* command = table.find(name);
  if (!command) {
    return unknown_command(table, name);
  }
  arguments.erase(arguments.begin());
  return run_command(*command, std::move(arguments));
}

}  // namespace rapid
