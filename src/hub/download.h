// One HTTP file to disk: resumes <target>.part, checks size and sha256 where
// they are known, renames onto target at the end. A full disk, a short body or
// a wrong hash is an error; the .part stays for the next try except when its
// hash was wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace rapid {

struct DownloadRequest {
  std::string url;
  std::filesystem::path target;
  uint64_t expected_bytes = 0;  // 0 = unknown
  std::string expected_sha256;  // "" = unknown
  std::string bearer;           // "" = none; never logged
  // Of a file whose size and hash are known and that lacks more than two
  // pieces, so many come at once.
  uint64_t piece_bytes = uint64_t{16} << 20;
  int at_once = 4;
};

// progress(done, total): total 0 = unknown; returning false cancels.
using DownloadProgress = std::function<bool(uint64_t, uint64_t)>;

Status download_file(
    const DownloadRequest& request, const DownloadProgress& progress = {});

// sha256 of a file, lower-case hex.
Result<std::string> file_sha256(const std::filesystem::path& path);

}  // namespace rapid
