#include <fmt/format.h>
#include <sys/utsname.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "bench/build_info.h"
#include "cli/command.h"
#include "cli/options.h"

namespace rapid {

namespace {

int version(bool json) {
  utsname machine{};
  ::uname(&machine);
  if (json) {
    print_json(
        {{"version", RAPID_MLX_VERSION},
         {"mlx", mlx_version()},
         {"build", RAPID_MLX_BUILD_TYPE},
         {"compiler", __VERSION__},
         {"system", machine.sysname},
         {"machine", machine.machine}});
    return kExitDone;
  }
  fmt::print(
      "rapid-mlx {} (MLX {}, {} build, {} {})\n",
      RAPID_MLX_VERSION,
      mlx_version(),
      RAPID_MLX_BUILD_TYPE,
      machine.sysname,
      machine.machine);
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  add_json_flag(app, *json);
  return [json] { return version(*json); };
}

}  // namespace

void register_command_version(CommandTable& table) {
  table.add({
      .name = "version",
      .summary = "Versions of this program and of MLX",
      .order = 90,
      .group = "About",
      .configure = configure,
  });
}

}  // namespace rapid
