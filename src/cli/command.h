// One subcommand = one .cpp that defines register_command_<stem>. Options live
// in one typed struct per command; nothing else reads the arguments.
//
//   void register_command_ls(CommandTable& table) {
//     table.add({.name = "ls", .summary = "...", .configure = configure});
//   }
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace rapid {

// Exit codes of the contract.
constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Command {
  std::string name;
  std::string summary;
  std::string examples;  // shown at the end of its --help; {model} is the
                         // default model
  int order = 100;       // place in the overview
  std::string group = "Other";  // heading in the overview
  bool hidden = false;          // not in the overview, nor a correction
  bool log_info = false;        // log from level info on, not only warnings
  // Adds options to `app` and returns what runs when it was chosen.
  std::function<std::function<int()>(CLI::App& app)> configure;
};

class CommandTable {
 public:
  // Throws std::logic_error on a duplicate name.
  void add(Command command);
  std::vector<Command> sorted() const;
  const Command* find(std::string_view name) const;
  // The name that is most like `typed`, "" when nothing is close.
  std::string closest(std::string_view typed) const;

 private:
  std::vector<Command> commands_;
};

void register_all_commands(CommandTable& table);  // generated

// Prints `error: ...` and `hint: ...` to stderr; returns kExitFailed.
int report(const Error& error);
// The same for wrong use; returns kExitUsage.
int report_usage(const Error& error);

// What `rapid-mlx --help` and `rapid-mlx COMMAND --help` print.
std::string overview(const CommandTable& table);
int show_command_help(const CommandTable& table, std::string_view name);

int run_cli(int argc, char** argv);
// The same over a table of the caller's; for tests.
int run_cli(const CommandTable& table, std::vector<std::string> arguments);

}  // namespace rapid
