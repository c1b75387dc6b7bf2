// All commands and their options as plain values, read off the parser itself:
// what completions, the man page and `config` are made of.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"

namespace rapid {

struct OptionDoc {
  std::vector<std::string> names;  // "--port", "-p"; a positional: "MODEL"
  std::string value;               // "N (8000)"; "" for a flag
  std::string description;
  bool positional = false;
  bool flag = false;
  bool hidden = false;
};

struct CommandDoc {
  std::string name;
  std::string summary;
  std::string group;
  std::string examples;
  std::vector<OptionDoc> options;
};

// Those that the overview shows, in its order.
std::vector<CommandDoc> command_tree(const CommandTable& table);

// Would `command` take this value for its option `--name`? A flag takes true
// and false. Error: invalid_argument, which says what is wrong.
Status check_option(
    const CommandTable& table,
    const std::string& command,
    const std::string& name,
    const std::string& value);

}  // namespace rapid
