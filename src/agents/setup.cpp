#include "agents/setup.h"

#include <fmt/format.h>

#include <cstdlib>

#include "agents/text_lines.h"
#include "base/home.h"
#include "hub/file_writer.h"
#include "hub/text_file.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

constexpr const char* kBackup = ".rapid-mlx-backup";

Error naming(Error error, const fs::path& path) {
  error.what = path.string() + ": " + error.what;
  error.param = path.string();
  return error;
}

fs::path note_path(const std::string& agent, const AgentPlaces& places) {
  return places.notes / (agent + ".json");
}

// A link stays a link: what it leads to is written.
fs::path real_path(const fs::path& path) {
  std::error_code failed;
  const fs::path real = fs::weakly_canonical(path, failed);
  return failed ? path : real;
}

Status write_file(const fs::path& path, const std::string& text) {
  const fs::path target = real_path(path);
  RAPID_CHECK(make_folder(target.parent_path()));
  std::error_code failed;
  const fs::file_status old = fs::status(target, failed);
  const fs::path beside = target.string() + ".rapid-mlx-new";
  FileWriter out;
  RAPID_CHECK(out.open(beside, false));
  RAPID_CHECK(out.write(std::as_bytes(std::span(text))));
  // Keys stand in some of these files.
  fs::permissions(
      beside,
      fs::exists(old) ? old.permissions()
                      : fs::perms::owner_read | fs::perms::owner_write,
      failed);
  return out.commit(target);
}

Status remove_file(const fs::path& path) {
  std::error_code failed;
  fs::remove(path, failed);
  return failed ? Status(file_error("remove", path, failed.value())) : Status();
}

const char* name_of(ConfigSyntax syntax) {
  return syntax == ConfigSyntax::toml   ? "toml"
         : syntax == ConfigSyntax::yaml ? "yaml"
                                        : "json";
}

ConfigSyntax syntax_named(const std::string& name) {
  return name == "toml"   ? ConfigSyntax::toml
         : name == "yaml" ? ConfigSyntax::yaml
                          : ConfigSyntax::json;
}

std::string sha256_of(const std::string& text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

// What an earlier setup noted of this file, or null: its undo counts then.
Json earlier(const Json& note, const fs::path& path) {
  for (const Json& file : note) {
    if (file.value("path", "") == path.string()) {
      return file;
    }
  }
  return nullptr;
}

Json read_note(const std::string& agent, const AgentPlaces& places) {
  const auto text = read_optional_text(note_path(agent, places));
  if (!text || text->empty()) {
    return Json::array();
  }
  const auto note = parse_json(*text);
  return note && note->is_array() ? *note : Json::array();
}

Result<FileChange> change_of(
    const ConfigEdit& edit, const AgentPlaces& places) {
  FileChange out;
  out.path = place_of(edit, places);
  out.syntax = edit.syntax;
  out.existed = fs::exists(out.path);
  RAPID_TRY(out.before, read_optional_text(out.path));
  const auto old = parse_config(edit.syntax, out.before);
  if (!old) {
    return naming(old.error(), out.path);
  }
  auto after = patch_config(edit.syntax, out.before, edit.patch);
  if (!after) {
    return naming(after.error(), out.path);
  }
  out.after = std::move(*after);
  out.back = inverse_patch(*old, edit.patch);
  return out;
}

}  // namespace

AgentPlaces AgentPlaces::of_this_user() {
  const auto variable = [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  };
  return {variable("HOME"), home_dir() / "agents", variable};
}

std::string FileChange::diff() const {
  return line_diff(before, after);
}

fs::path place_of(const ConfigEdit& edit, const AgentPlaces& places) {
  const fs::path usual = edit.path.starts_with("~/")
                             ? places.home / edit.path.substr(2)
                             : fs::path(edit.path);
  const std::string moved =
      edit.home_env.empty() ? "" : places.variable(edit.home_env);
  return moved.empty() ? usual : fs::path(moved) / usual.filename();
}

Result<std::vector<FileChange>> planned_changes(
    const AgentPlan& plan, const AgentPlaces& places) {
  std::vector<FileChange> out;
  for (const ConfigEdit& edit : plan.edits) {
    RAPID_TRY(FileChange change, change_of(edit, places));
    out.push_back(std::move(change));
  }
  return out;
}

Status apply(
    const std::string& agent,
    const std::vector<FileChange>& changes,
    const AgentPlaces& places) {
  const Json before = read_note(agent, places);
  Json note = Json::array();
  for (const FileChange& change : changes) {
    Json file = earlier(before, change.path);
    const fs::path backup = change.path.string() + kBackup;
    if (file.is_null()) {
      if (!change.needed()) {
        continue;
      }
      file = {
          {"path", change.path.string()},
          {"syntax", name_of(change.syntax)},
          {"existed", change.existed},
          {"back", change.back}};
      if (change.existed) {
        RAPID_CHECK(write_file(backup, change.before));
      }
    }
    file["sha256"] = sha256_of(change.after);
    note.push_back(std::move(file));
  }
  // The note first: what it names and is not there is undone in no time.
  if (!note.empty()) {
    RAPID_CHECK(write_file(note_path(agent, places), note.dump(2) + "\n"));
  }
  for (const FileChange& change : changes) {
    if (change.needed()) {
      RAPID_CHECK(write_file(change.path, change.after));
    }
  }
  return {};
}

bool is_set_up(const std::string& agent, const AgentPlaces& places) {
  return !read_note(agent, places).empty();
}

Result<std::vector<FileChange>> undo_changes(
    const std::string& agent, const AgentPlaces& places) {
  std::vector<FileChange> out;
  for (const Json& file : read_note(agent, places)) {
    FileChange change;
    change.path = file.value("path", "");
    change.syntax = syntax_named(file.value("syntax", ""));
    change.existed = file.value("existed", false);
    RAPID_TRY(change.before, read_optional_text(change.path));
    if (sha256_of(change.before) == file.value("sha256", "")) {
      if (change.existed) {
        RAPID_TRY(change.after, read_text_file(change.path.string() + kBackup));
      }
    } else {
      auto text = patch_config(
          change.syntax, change.before, file.value("back", Json::object()));
      if (!text) {
        return naming(text.error(), change.path);
      }
      change.after = std::move(*text);
      change.existed = true;
    }
    out.push_back(std::move(change));
  }
  if (out.empty()) {
    return Error{
        ErrorCode::not_found,
        agent + " was not set up by us",
        "rapid-mlx agents " + agent + " --setup",
        "agent"};
  }
  return out;
}

Status undo(
    const std::string& agent,
    const std::vector<FileChange>& changes,
    const AgentPlaces& places) {
  for (const FileChange& change : changes) {
    if (!change.existed) {
      RAPID_CHECK(remove_file(change.path));
    } else if (change.needed()) {
      RAPID_CHECK(write_file(change.path, change.after));
    }
    std::error_code ignored;
    fs::remove(change.path.string() + kBackup, ignored);
  }
  return remove_file(note_path(agent, places));
}

}  // namespace rapid
