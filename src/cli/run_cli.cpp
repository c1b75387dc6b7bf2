// Apart from command.cpp, which is tested without the real commands.
#include <exception>

#include "cli/command.h"

namespace rapid {

int run_cli(int argc, char** argv) {
  try {
    CommandTable table;
    register_all_commands(table);
    return run_cli(table, {argv + 1, argv + argc});
  } catch (const std::exception& e) {
    return report({.code = ErrorCode::internal, .what = e.what()});
  }
}

}  // namespace rapid
