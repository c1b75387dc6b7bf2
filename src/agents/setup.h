// Applies a profile's edits to the files of a person's agent, and takes them
// back.
//
// Every file is written beside itself and renamed; the mode stays. Before the
// first change it is copied to <file>.rapid-mlx-backup, and a note of what was
// changed goes into `notes`: agents/<name>.json below $RAPID_MLX_HOME. Undo
// puts back the very bytes, or where the file was changed since, its keys.
//
//   RAPID_TRY(auto changes, planned_changes(plan, places));
//   for (auto& change : changes) print(change.diff());
//   RAPID_CHECK(apply(name, changes, places));
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agents/profile.h"
#include "base/result.h"

namespace rapid {

struct AgentPlaces {
  std::filesystem::path home;   // the person's, for "~"
  std::filesystem::path notes;  // where setups are remembered
  // Reads a variable; "" if unset.
  std::function<std::string(const std::string&)> variable;

  static AgentPlaces of_this_user();
};

struct FileChange {
  std::filesystem::path path;
  bool existed = false;
  std::string before;
  std::string after;
  ConfigSyntax syntax = ConfigSyntax::json;
  Json back;  // the patch that undoes it

  bool needed() const { return before != after; }
  std::string diff() const;
};

std::filesystem::path place_of(
    const ConfigEdit& edit, const AgentPlaces& places);

// Errors name the file: it cannot be read, parsed or edited.
Result<std::vector<FileChange>> planned_changes(
    const AgentPlan& plan, const AgentPlaces& places);

// What is not needed is not written.
Status apply(
    const std::string& agent,
    const std::vector<FileChange>& changes,
    const AgentPlaces& places);

bool is_set_up(const std::string& agent, const AgentPlaces& places);

// The changes that take back what apply() did. Errors: not_found where
// nothing was set up.
Result<std::vector<FileChange>> undo_changes(
    const std::string& agent, const AgentPlaces& places);
Status undo(
    const std::string& agent,
    const std::vector<FileChange>& changes,
    const AgentPlaces& places);

}  // namespace rapid
