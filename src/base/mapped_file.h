// A read-only memory map of a whole file. The map stays valid when the file
// is renamed or unlinked; a file that is truncated under it raises SIGBUS, so
// the store replaces model files by rename only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace rapid {

class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> open(
      const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Lets the memory of the pages under `part` go; a later read brings them
  // back from the file. Nothing happens to what lies outside the map.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace rapid
