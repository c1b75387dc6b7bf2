// Models on disk: which are here, where a MODEL name points, and removal.
//
// MODEL is an alias of the catalogue, `org/name[@revision]`, a folder, or a
// .gguf file. Files lie in models_dir(); Hugging Face's own cache
// ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub) is read, never
// written. Safe for several processes: files appear by rename only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rapid {

struct StoredModel {
  std::string name;  // alias, or org/name[@revision]
  std::filesystem::path path;
  uint64_t bytes = 0;
  bool foreign = false;  // lies in Hugging Face's cache: listed, never removed
};

struct PullProgress {
  std::string what;    // file or wheel
  std::string source;  // where from
  uint64_t done = 0;   // bytes
  uint64_t total = 0;  // 0 = unknown
};

struct PullHooks {
  std::function<void(const PullProgress&)> progress;
  std::function<void(const std::string&)> note;  // a source failed, and why
  std::function<bool()> cancelled;               // polled; true stops
  // Asked as soon as the model's architecture is known, before its weights
  // are fetched; an Error ends the pull.
  std::function<Status(const std::string& architecture)> accepts;
};

class Store {
 public:
  explicit Store(std::filesystem::path root);
  static Store open_default();  // models_dir()

  // Where MODEL lies. Errors: not_found says what was looked for and offers
  // `rapid-mlx pull` or the closest alias.
  Result<std::filesystem::path> locate(std::string_view model) const;

  // locate(), fetching first when it is not here. Every source that failed is
  // told through hooks.note; the error of the last carries all reasons.
  Result<std::filesystem::path> pull(
      std::string_view model, const PullHooks& hooks = {}) const;

  Result<std::vector<StoredModel>> list() const;

  // Returns the bytes freed. A foreign model is refused.
  Result<uint64_t> remove(std::string_view model) const;

 private:
  std::filesystem::path root_;
};

}  // namespace rapid
