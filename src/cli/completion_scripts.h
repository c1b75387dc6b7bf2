// Completion scripts and the man page, from the tree of commands. Pure.
//
// MODEL is completed with what `rapid-mlx models --names` prints, COMMAND with
// the commands; anything else with files.
#pragma once

#include <string>
#include <vector>

#include "cli/command_tree.h"

namespace rapid {

std::string bash_completion(const std::vector<CommandDoc>& commands);
std::string zsh_completion(const std::vector<CommandDoc>& commands);
std::string fish_completion(const std::vector<CommandDoc>& commands);

// roff, section 1.
std::string man_page(
    const std::vector<CommandDoc>& commands, const std::string& version);

}  // namespace rapid
