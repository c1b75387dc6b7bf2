#include "cli/agent_trial.h"

#include <fmt/format.h>
#include <unistd.h>  // mkdtemp on a Mac

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/child_process.h"
#include "base/clock.h"
#include "cli/interrupts.h"
#include "hub/text_file.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTask =
    "Create the file made.txt in this folder with the one word hello in it. "
    "Do nothing else.";
constexpr double kPatience = 300;  // seconds

// A folder that goes with its object.
class TrialFolder {
 public:
  TrialFolder() {
    std::string name =
        (fs::temp_directory_path() / "rapid-mlx-trial-XXXXXX").string();
    path_ = ::mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
  }
  ~TrialFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TrialFolder(const TrialFolder&) = delete;
  TrialFolder& operator=(const TrialFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<std::string> in_folder(
    const fs::path& folder,
    const Environment& environment,
    const std::vector<std::string>& command) {
  std::vector<std::string> out = {
      "sh", "-c", "cd \"$0\" && exec env \"$@\"", folder.string()};
  for (const auto& [name, value] : environment) {
    out.push_back(name + "=" + value);
  }
  out.insert(out.end(), command.begin(), command.end());
  return out;
}

}  // namespace

Status try_agent(const AgentProfile& profile, const AgentPlan& plan) {
  if (plan.headless.empty()) {
    return Error{
        ErrorCode::unsupported,
        profile.title + " has no way to run a task without a person"};
  }
  RAPID_CHECK(
      find_program(plan.headless[0])
          ? Status()
          : Status(Error{
                ErrorCode::not_found,
                plan.headless[0] + " is not installed",
                profile.install}));
  const TrialFolder folder;
  if (folder.path().empty()) {
    return Error{ErrorCode::io, "cannot make a temporary folder"};
  }
  std::vector<std::string> command = plan.headless;
  command.push_back(kTask);
  fmt::print("{}: {}\n", profile.title, kTask);
  std::fflush(stdout);
  const double start = now_seconds();
  RAPID_TRY(
      auto child,
      ChildProcess::spawn(in_folder(folder.path(), plan.environment, command)));
  const Interrupts interrupts(
      Interrupts::Watch::interrupt_and_terminate, [] {});
  bool late = false;
  const auto exit = child.wait([&] {
    late = now_seconds() > start + kPatience;
    return late || interrupts.count() > 0;
  });
  if (!exit) {
    return late ? Status(Error{
                      ErrorCode::io,
                      fmt::format("it was not done after {} s", kPatience)})
                : Status(exit.error());
  }
  fmt::print("{}\n", last_lines(exit->out, 20));
  const auto made = read_optional_text(folder.path() / "made.txt");
  if (!made || made->find("hello") == std::string::npos) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "the file was not made ({}); {}",
            exit->reason(),
            last_lines(exit->err, 5)),
        "small models often fail this; try a larger one"};
  }
  fmt::print("made.txt is there, after {:.1f} s\n", now_seconds() - start);
  return {};
}

}  // namespace rapid
