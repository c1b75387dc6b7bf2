// What stays in the folder of state when the program has gone, and its
// removal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rapid {

struct LeftBehind {
  using Entries = std::vector<std::pair<std::filesystem::path, uint64_t>>;
  Entries ours;  // to be removed, with their bytes
  Entries kept;  // models, unless asked for; what is not known to be ours
};

// `all`: everything in `home` is ours (the default folder); else only what
// has a name that this program gives.
LeftBehind left_behind(
    const std::filesystem::path& home, bool all, bool models);

// Removes `ours`, and `home` once it is empty. Errors: io.
Status remove_all(const LeftBehind& left, const std::filesystem::path& home);

}  // namespace rapid
