#include "cli/installation.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/child_process.h"

extern char** environ;

namespace rapid {

namespace {

namespace fs = std::filesystem;

constexpr const char* kPackage = "rapid-mlx";
// What our wheel requires, and what that requires.
constexpr std::array<const char*, 3> kBrought{"mlx", "mlx-cpu", "mlx-metal"};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<fs::path> children(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed)) {
    out.push_back(at->path());
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) {
    out.push_back(line);
  }
  return out;
}

// As package names are compared: lower case, runs of -_. are one -.
std::string normal_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '-' || c == '_' || c == '.') {
      if (!out.ends_with('-')) {
        out += '-';
      }
    } else {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

// "mlx_cpu-0.32.4.dist-info" -> "mlx-cpu"; "" for other files
std::string package_of(const fs::path& info) {
  const std::string name = info.filename().string();
  return info.extension() == ".dist-info"
             ? normal_name(name.substr(0, name.find('-')))
             : "";
}

fs::path info_of(const fs::path& packages, std::string_view package) {
  for (const fs::path& path : children(packages)) {
    if (package_of(path) == package) {
      return path;
    }
  }
  return {};
}

// The folder of packages beside `bin` that holds this program's own.
fs::path packages_beside(const fs::path& root) {
  for (const char* library : {"lib", "lib64"}) {
    for (const fs::path& python : children(root / library)) {
      if (!python.filename().string().starts_with("python3")) {
        continue;
      }
      for (const char* name : {"site-packages", "dist-packages"}) {
        if (!info_of(python / name, kPackage).empty()) {
          return python / name;
        }
      }
    }
  }
  return {};
}

InstallMethod python_method(const fs::path& root, const fs::path& packages) {
  const std::string place = root.string();
  if (place.find("/pipx/venvs/") != std::string::npos) {
    return InstallMethod::pipx;
  }
  if (place.find("/uv/tools/") != std::string::npos) {
    return InstallMethod::uv_tool;
  }
  const auto installer = lines_of(info_of(packages, kPackage) / "INSTALLER");
  return !installer.empty() && installer[0] == "uv" ? InstallMethod::uv
                                                    : InstallMethod::pip;
}

// The interpreter whose packages they are.
std::string python_of(const Installation& here) {
  const fs::path inside = here.root / "bin" / "python3";
  if (is_there(here.root / "pyvenv.cfg") && is_there(inside)) {
    return inside.string();
  }
  return here.packages.parent_path().filename().string();  // python3.11
}

// Debian's pip refuses to touch the system's Python unless told so.
void add_break_flag(
    const Installation& here, std::vector<std::string>& command) {
  const std::string python = here.packages.parent_path().filename().string();
  if (!is_there(here.root / "pyvenv.cfg") &&
      is_there(fs::path("/usr/lib") / python / "EXTERNALLY-MANAGED")) {
    command.push_back("--break-system-packages");
  }
}

std::vector<std::string> as_root(std::vector<std::string> command) {
  if (::geteuid() != 0) {
    command.insert(command.begin(), "sudo");
  }
  return command;
}

std::vector<std::string> script_command(
    const Installation& here, std::vector<std::string> options) {
  // Beside the program: lib/rapid-mlx/share/rapid-mlx/install.sh.
  const fs::path script = here.program.parent_path().parent_path() / "share" /
                          kPackage / "install.sh";
  std::vector<std::string> out{
      "sh", script.string(), "--prefix", here.root.string()};
  out.insert(out.end(), options.begin(), options.end());
  return out;
}

// A folder with nothing but such folders in it.
void remove_hollow(const fs::path& folder) {
  std::error_code not_empty;
  if (fs::is_directory(fs::symlink_status(folder, not_empty))) {
    for (const fs::path& path : children(folder)) {
      remove_hollow(path);
    }
    fs::remove(folder, not_empty);
  }
}

Error by_hand(const Installation& here, const char* what) {
  if (here.method == InstallMethod::source) {
    return {
        ErrorCode::unsupported,
        fmt::format(
            "this program was built in {}; {} is up to you",
            here.root.string(),
            what),
        std::string(what) == "upgrading"
            ? "git pull && make build, in that folder"
            : "rm -rf build .deps in that folder, or the folder itself"};
  }
  return {
      ErrorCode::unsupported,
      fmt::format(
          "cannot tell how {} was installed; {} is up to you",
          here.program.string(),
          what),
      "docs/INSTALL.md lists the ways"};
}

}  // namespace

Installation find_installation(
    const fs::path& program, const fs::path& system) {
  Installation out;
  out.program = program;
  const fs::path root = program.parent_path().parent_path();
  if (program.string().find("/Cellar/rapid-mlx/") != std::string::npos) {
    out.method = InstallMethod::brew;
    return out;
  }
  const auto owned =
      lines_of(system / "var" / "lib" / "dpkg" / "info" / "rapid-mlx.list");
  if (std::ranges::find(owned, program.string()) != owned.end()) {
    out.method = InstallMethod::deb;
    return out;
  }
  // install.sh leaves its prefix there.
  const auto mark = lines_of(root / "share" / kPackage / "prefix");
  if (!mark.empty()) {
    out.method = InstallMethod::script;
    out.root = mark[0];
    return out;
  }
  if (out.packages = packages_beside(root); !out.packages.empty()) {
    out.method = python_method(root, out.packages);
    out.root = root;
    return out;
  }
  if (is_there(root / "CMakeCache.txt")) {
    out.method = InstallMethod::source;
    out.root = root.parent_path().parent_path();  // build/release
  }
  return out;
}

std::string describe(const Installation& here) {
  const std::string in = " in " + here.root.string();
  switch (here.method) {
    case InstallMethod::pip:
      return "pip" + in;
    case InstallMethod::uv:
      return "uv" + in;
    case InstallMethod::pipx:
      return "pipx";
    case InstallMethod::uv_tool:
      return "uv tool";
    case InstallMethod::script:
      return "install.sh" + in;
    case InstallMethod::deb:
      return "a Debian package";
    case InstallMethod::brew:
      return "Homebrew";
    case InstallMethod::source:
      return "a build" + in;
    case InstallMethod::unknown:
      break;
  }
  return "an unknown way";
}

Result<std::vector<std::string>> upgrade_command(
    const Installation& here, const std::string& file) {
  using Words = std::vector<std::string>;
  const std::string what = file.empty() ? kPackage : file;
  switch (here.method) {
    case InstallMethod::pip: {
      Words out{python_of(here), "-m", "pip", "install", "--upgrade"};
      add_break_flag(here, out);
      out.push_back(what);
      return out;
    }
    case InstallMethod::uv:
      return Words{
          "uv",
          "pip",
          "install",
          "--upgrade",
          "--python",
          python_of(here),
          what};
    case InstallMethod::pipx:
      return file.empty() ? Words{"pipx", "upgrade", kPackage}
                          : Words{"pipx", "install", "--force", file};
    case InstallMethod::uv_tool:
      return file.empty() ? Words{"uv", "tool", "upgrade", kPackage}
                          : Words{"uv", "tool", "install", "--force", file};
    case InstallMethod::script:
      return script_command(
          here, file.empty() ? Words{} : Words{"--wheel", file});
    case InstallMethod::deb:
      return as_root(
          file.empty()
              ? Words{"apt-get", "install", "--only-upgrade", "-y", kPackage}
              : Words{
                    "apt-get",
                    "install",
                    "-y",
                    fs::absolute(file).lexically_normal().string()});
    case InstallMethod::brew:
      return Words{"brew", "upgrade", kPackage};
    case InstallMethod::source:
    case InstallMethod::unknown:
      break;
  }
  return by_hand(here, "upgrading");
}

Result<std::vector<std::string>> uninstall_command(const Installation& here) {
  using Words = std::vector<std::string>;
  switch (here.method) {
    case InstallMethod::pip:
    case InstallMethod::uv: {
      Words out =
          here.method == InstallMethod::pip
              ? Words{python_of(here), "-m", "pip", "uninstall", "-y"}
              : Words{"uv", "pip", "uninstall", "--python", python_of(here)};
      if (here.method == InstallMethod::pip) {
        add_break_flag(here, out);
      }
      out.push_back(kPackage);
      for (std::string& package : unneeded_packages(here.packages)) {
        out.push_back(std::move(package));
      }
      return out;
    }
    case InstallMethod::pipx:
      return Words{"pipx", "uninstall", kPackage};
    case InstallMethod::uv_tool:
      return Words{"uv", "tool", "uninstall", kPackage};
    case InstallMethod::script:
      return script_command(here, {"--uninstall", "--program-only"});
    case InstallMethod::deb:
      return as_root({"apt-get", "purge", "-y", kPackage});
    case InstallMethod::brew:
      return Words{"brew", "uninstall", kPackage};
    case InstallMethod::source:
    case InstallMethod::unknown:
      break;
  }
  return by_hand(here, "removing it");
}

std::vector<std::string> unneeded_packages(const fs::path& packages) {
  std::vector<std::string> out;
  for (const char* name : kBrought) {
    // pip writes REQUESTED for what a person asked for.
    const fs::path info = info_of(packages, name);
    if (!info.empty() && !is_there(info / "REQUESTED")) {
      out.emplace_back(name);
    }
  }
  for (const fs::path& info : children(packages)) {
    const std::string package = package_of(info);
    if (package.empty() || package == kPackage ||
        std::ranges::find(out, package) != out.end()) {
      continue;
    }
    for (const std::string& line : lines_of(info / "METADATA")) {
      constexpr std::string_view kField = "Requires-Dist: ";
      if (!line.starts_with(kField)) {
        continue;
      }
      const std::string_view rest =
          std::string_view(line).substr(kField.size());
      const std::string required =
          normal_name(rest.substr(0, rest.find_first_of(" [;(<>=!~")));
      if (std::ranges::find(out, required) != out.end()) {
        return {};  // they need each other: all stay
      }
    }
  }
  return out;
}

void sweep_folders(const Installation& here) {
  if (here.packages.empty()) {
    return;
  }
  for (const char* name : kBrought) {
    if (info_of(here.packages, name).empty()) {
      remove_hollow(here.packages / name);
    }
  }
  // Anywhere else it is a folder of the system's.
  if (is_there(here.root / "pyvenv.cfg")) {
    remove_hollow(here.root / "share");
  }
}

Result<int> run_in_sight(const std::vector<std::string>& command) {
  RAPID_TRY(const std::string program, find_program(command[0]));
  std::vector<char*> arguments;
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int failed = ::posix_spawn(
      &child, program.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (failed != 0) {
    return Error{
        ErrorCode::io,
        fmt::format("cannot start {}: {}", program, std::strerror(failed))};
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      return Error{ErrorCode::io, "lost sight of " + program};
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace rapid
