// How this program came onto the machine, and the commands of that way to
// renew or remove it. Looks at files only; runs nothing, but run_in_sight().
//
//   const Installation here = find_installation(program_path());
//   if (auto command = uninstall_command(here)) run_in_sight(*command);
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace rapid {

enum class InstallMethod {
  pip,
  uv,
  pipx,
  uv_tool,
  script,
  deb,
  brew,
  source,
  unknown
};

struct Installation {
  InstallMethod method = InstallMethod::unknown;
  std::filesystem::path program;
  // Of pip and uv the environment (the folder of bin/), of the script its
  // --prefix, of a build the source tree; else empty.
  std::filesystem::path root;
  // pip and uv: the folder of packages in it.
  std::filesystem::path packages;
};

// `system`: where the package manager's files are; for tests.
Installation find_installation(
    const std::filesystem::path& program,
    const std::filesystem::path& system = "/");

// "pip in /opt/venv"
std::string describe(const Installation& installation);

// `file`: a wheel or package to take instead of the newest published one, or
// "". Errors: unsupported, with what to do by hand.
Result<std::vector<std::string>> upgrade_command(
    const Installation& installation, const std::string& file);
Result<std::vector<std::string>> uninstall_command(
    const Installation& installation);

// Of the packages that pip brought along for this one those that nothing else
// in `packages` requires.
std::vector<std::string> unneeded_packages(
    const std::filesystem::path& packages);

// After uninstall_command(): folders that pip leaves although nothing is in
// them any more.
void sweep_folders(const Installation& installation);

// Runs a command with this process's terminal; its exit status, or an error
// when it cannot be started.
Result<int> run_in_sight(const std::vector<std::string>& command);

}  // namespace rapid
