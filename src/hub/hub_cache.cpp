#include "hub/hub_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "hub/text_file.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<fs::path> children(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    out.push_back(entry.path());
  }
  std::ranges::sort(out);
  return out;
}

bool is_file(const fs::path& path) {
  std::error_code failed;
  return fs::is_regular_file(path, failed);  // a dangling link is none
}

std::string first_word(const fs::path& path) {
  auto text = read_optional_text(path);
  if (!text) {
    return "";
  }
  return text->substr(0, text->find_first_of(" \r\n\t"));
}

fs::path snapshot_of(const fs::path& model, const std::string& revision) {
  const std::string commit = first_word(model / "refs" / revision);
  // A commit is one plain name below snapshots/.
  const bool plain = !commit.empty() && commit.front() != '.' &&
                     commit.find('/') == std::string::npos;
  return model / "snapshots" / (plain ? commit : revision);
}

bool shards_complete(const fs::path& folder) {
  const fs::path path = folder / "model.safetensors.index.json";
  if (!is_file(path)) {
    return true;
  }
  auto index = read_json_file(path);
  if (!index || !index->is_object() || !index->contains("weight_map") ||
      !(*index)["weight_map"].is_object()) {
    return false;
  }
  return std::ranges::all_of(
      (*index)["weight_map"].items(), [&](const auto& item) {
        return item.value().is_string() &&
               is_file(folder / item.value().template get<std::string>());
      });
}

}  // namespace

fs::path hub_cache_dir() {
  if (const auto dir = env("HF_HUB_CACHE"); !dir.empty()) {
    return dir;
  }
  if (const auto dir = env("HF_HOME"); !dir.empty()) {
    return fs::path(dir) / "hub";
  }
  const auto cache = env("XDG_CACHE_HOME");
  return (cache.empty() ? fs::path(env("HOME")) / ".cache" : fs::path(cache)) /
         "huggingface" / "hub";
}

bool is_model_folder(const fs::path& folder) {
  bool weights = false;
  for (const fs::path& path : children(folder)) {
    const auto extension = path.extension();
    if (extension == ".gguf" && is_file(path)) {
      return true;
    }
    weights = weights || (extension == ".safetensors" && is_file(path));
  }
  return weights && is_file(folder / "config.json") && shards_complete(folder);
}

std::optional<fs::path> find_in_hub_cache(const HubSource& source) {
  std::string folder = source.repository;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path whole =
      snapshot_of(hub_cache_dir() / ("models--" + folder), source.revision);
  const fs::path snapshot =
      source.folder.empty() ? whole : whole / source.folder;
  if (!source.file.empty()) {
    const fs::path file = snapshot / source.file;
    return is_file(file) ? std::optional(file) : std::nullopt;
  }
  return is_model_folder(snapshot) ? std::optional(snapshot) : std::nullopt;
}

std::vector<CachedModel> list_hub_cache() {
  constexpr std::string_view kPrefix = "models--";
  std::vector<CachedModel> out;
  for (const fs::path& model : children(hub_cache_dir())) {
    std::string name = model.filename().string();
    const size_t dashes = name.find("--", kPrefix.size());
    if (!name.starts_with(kPrefix) || dashes == std::string::npos) {
      continue;
    }
    name = fmt::format(
        "{}/{}",
        name.substr(kPrefix.size(), dashes - kPrefix.size()),
        name.substr(dashes + 2));
    for (const fs::path& ref : children(model / "refs")) {
      const std::string revision = ref.filename().string();
      const fs::path snapshot = snapshot_of(model, revision);
      const std::string full =
          revision == "main" ? name : name + "@" + revision;
      if (is_model_folder(snapshot)) {
        out.push_back({full, snapshot});
      }
      for (const fs::path& inner : children(snapshot)) {
        if (is_model_folder(inner)) {
          out.push_back({full + "/" + inner.filename().string(), inner});
        }
      }
    }
  }
  return out;
}

uint64_t folder_bytes(const fs::path& folder) {
  std::error_code failed;
  uint64_t sum = is_file(folder) ? fs::file_size(folder) : 0;
  for (auto it = fs::recursive_directory_iterator(folder, failed);
       !failed && it != fs::recursive_directory_iterator();
       it.increment(failed)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) {
      const auto size = it->file_size(ignored);
      sum += ignored ? 0 : size;
    }
  }
  return sum;
}

}  // namespace rapid
