#include "hub/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/home.h"
#include "hub/file_writer.h"
#include "hub/hub_cache.h"
#include "hub/store_names.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code failed;
  return fs::exists(path, failed);
}

// A folder, or a .gguf file, that is there.
std::optional<fs::path> as_path(std::string_view model) {
  fs::path path(model);
  if (const char* home = std::getenv("HOME"); home && model.starts_with("~/")) {
    path = fs::path(home) / model.substr(2);
  }
  std::error_code failed;
  if (!model.empty() && fs::exists(path, failed) &&
      (fs::is_directory(path, failed) || path.extension() == ".gguf")) {
    return fs::absolute(path).lexically_normal();
  }
  return std::nullopt;
}

std::optional<fs::path> find_entry(
    const fs::path& root, const CatalogueEntry& entry) {
  const auto whole = [&](const fs::path& path) {
    std::error_code failed;
    return fs::file_size(path, failed) == entry.bytes && !failed;
  };
  if (const fs::path path = root / entry.alias / entry.file; whole(path)) {
    return path;
  }
  for (const ModelSource& source : entry.sources) {
    if (!source.hub) {
      continue;
    }
    if (const auto path = find_in_hub_cache(*source.hub);
        path && whole(*path)) {
      return path;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> find_named(
    const fs::path& root, const ModelName& name) {
  if (name.entry) {
    return find_entry(root, *name.entry);
  }
  const fs::path folder = root / name.place();
  if (!name.hub->file.empty() && is_there(folder / name.hub->file)) {
    return folder / name.hub->file;
  }
  if (name.hub->file.empty() && is_model_folder(folder)) {
    return folder;
  }
  return find_in_hub_cache(*name.hub);
}

Error not_here(std::string_view model) {
  return Error{
      ErrorCode::not_found,
      fmt::format("the model {} is not on this machine", model),
      fmt::format("fetch it with `rapid-mlx pull {}`", model),
      std::string(model)};
}

std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    std::error_code ignored;
    if (entry.is_directory(ignored) &&
        !entry.path().filename().string().starts_with(".")) {
      out.push_back(entry.path());
    }
  }
  std::ranges::sort(out);
  return out;
}

uint64_t remove_tree(const fs::path& path) {
  const uint64_t bytes = folder_bytes(path);
  std::error_code ignored;
  fs::remove_all(path, ignored);
  return bytes;
}

// Renames first, so that a model is there or not, never half.
Result<uint64_t> remove_place(
    const fs::path& place, const fs::path& partial, const std::string& key) {
  if (!is_there(place)) {
    return uint64_t{0};
  }
  RAPID_CHECK(make_folder(partial));
  const fs::path trash = partial / ("removed+" + key);
  remove_tree(trash);
  std::error_code failed;
  fs::rename(place, trash, failed);
  if (failed) {
    return file_error("remove", place, failed.value());
  }
  return remove_tree(trash);
}

}  // namespace

Store::Store(fs::path root) : root_(std::move(root)) {}

Store Store::open_default() {
  return Store(models_dir());
}

Result<fs::path> Store::locate(std::string_view model) const {
  const std::string target = user_alias_target(model);
  const std::string_view meant = target.empty() ? model : target;
  if (!find_in_catalogue(meant)) {
    if (const auto path = as_path(meant)) {
      return *path;
    }
  }
  const auto name = parse_model_name(meant);
  if (!name) {
    return unknown_model(meant);
  }
  if (const auto path = find_named(root_, *name)) {
    return *path;
  }
  return not_here(model);
}

Result<std::vector<StoredModel>> Store::list() const {
  std::vector<StoredModel> out;
  const auto add = [&](const std::string& name, const fs::path& path) {
    if (is_model_folder(path)) {
      out.push_back({name, path, folder_bytes(path), false});
    }
  };
  for (const fs::path& folder : folders_in(root_)) {
    const std::string name = folder.filename().string();
    add(name, folder);
    for (const fs::path& inner : folders_in(folder)) {
      const std::string repository = name + "/" + inner.filename().string();
      add(repository, inner);
      for (const fs::path& part : folders_in(inner)) {
        add(repository + "/" + part.filename().string(), part);
      }
    }
  }
  for (const CachedModel& cached : list_hub_cache()) {
    out.push_back({cached.name, cached.path, folder_bytes(cached.path), true});
  }
  return out;
}

Result<uint64_t> Store::remove(std::string_view model) const {
  const auto name = parse_model_name(model);
  if (!name) {
    if (as_path(model)) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("{} does not lie in the store", model),
          "remove your own files yourself",
          std::string(model)};
    }
    return unknown_model(model);
  }
  const fs::path partial = root_ / ".partial";
  RAPID_TRY(const StoreLock lock, StoreLock::take(root_, name->key(), {}));
  fs::path place = root_ / name->place();
  if (name->hub && !name->hub->file.empty()) {
    place /= name->hub->file;
  }
  const bool here = is_there(place);
  RAPID_TRY(uint64_t bytes, remove_place(place, partial, name->key()));
  bytes += remove_tree(partial / name->key());
  bytes += remove_tree(root_ / ".wheels" / name->key());
  std::error_code ignored;
  if (name->hub) {
    for (fs::path left = root_ / name->place(); left != root_;
         left = left.parent_path()) {
      fs::remove(left, ignored);  // only when empty
    }
  }
  if (here || bytes != 0) {
    return bytes;
  }
  if (find_named(root_, *name)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} lies in Hugging Face's own cache", model),
        "remove it there, for example with `hf cache rm`",
        std::string(model)};
  }
  return not_here(model);
}

}  // namespace rapid
