// One subcommand = one .cpp that defines register_command_<stem>. Options live
// in one typed struct per command; nothing else reads the arguments.
#pragma once

#include <functional>
#include <string>
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
  std::string examples;  // shown at the end of its --help
  int order = 100;       // place in the overview
  // Adds options to `app` and returns what runs when it was chosen.
  std::function<std::function<int()>(CLI::App& app)> configure;
};

class CommandTable {
 public:
  void add(Command command);
  std::vector<Command> sorted() const;

 private:
  std::vector<Command> commands_;
};

void register_all_commands(CommandTable& table);  // generated

// Prints `error: ...` and `hint: ...` to stderr; returns kExitFailed.
int report(const Error& error);

int run_cli(int argc, char** argv);

}  // namespace rapid
