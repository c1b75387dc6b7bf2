#include "cli/confirm.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/command.h"

namespace rapid {

std::optional<int> confirm(const std::string& question, bool yes) {
  if (yes) {
    return std::nullopt;
  }
  if (::isatty(STDIN_FILENO) != 1) {
    return report_usage(
        {.what = "this asks first, and there is no terminal to ask on",
         .hint = "say -y to do it without asking"});
  }
  fmt::print(stderr, "{} [y/N] ", question);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") {
    return std::nullopt;
  }
  fmt::print(stderr, "Nothing was changed.\n");
  return kExitFailed;
}

}  // namespace rapid
