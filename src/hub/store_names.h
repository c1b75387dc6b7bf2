// How Store maps MODEL names to places below its root, shared by store.cpp and
// pull.cpp:
//   <alias>/<file>              a catalogue entry
//   <org>/<name>[@revision]/    a hub repository, or single files of it
//   <org>/<name>[@revision]/<folder>/   the same of one of its folders
//   .partial/<key>/  .wheels/<alias>/  .locks/<key>   work in progress
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

// What a MODEL name that is not a path means: an entry of the catalogue that is
// one file, or a repository of the hub (of an entry, too).
struct ModelName {
  const CatalogueEntry* entry = nullptr;
  std::optional<HubSource> hub;

  std::filesystem::path place() const;  // below the root
  std::string key() const;              // one plain file name
};

// Nothing for a path and for what is no name at all.
std::optional<ModelName> parse_model_name(std::string_view model);

// not_found: a path that leads nowhere, or the closest alias if one is close.
Error unknown_model(std::string_view model);

// An exclusive lock between processes, by flock on a file of its own. Waits;
// `waiting` is told once, `cancelled` polled.
class StoreLock {
 public:
  static Result<StoreLock> take(
      const std::filesystem::path& root,
      const std::string& key,
      const PullHooks& hooks);
  ~StoreLock();
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&&) = delete;

 private:
  explicit StoreLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace rapid
