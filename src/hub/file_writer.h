// Writes one file that appears under its name only when it is whole: bytes go
// to a temporary path, commit() syncs and renames. Hashes while it writes.
//
// Not for several threads. Without commit() the temporary file stays, so that
// a download can be resumed; the owner removes it where that makes no sense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace rapid {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void reset();
  void update(std::span<const std::byte> bytes);
  std::string hex();  // ends it: reset() before the next update()

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class FileWriter {
 public:
  FileWriter() = default;
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  // Opens `path` at its end, hashing what is there (resume), or empty.
  Status open(const std::filesystem::path& path, bool resume);
  Status write(std::span<const std::byte> bytes);
  Status restart();  // empties the file
  Status commit(const std::filesystem::path& target);

  uint64_t size() const { return size_; }
  std::string sha256() { return hash_.hex(); }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  Sha256 hash_;
};

// io with the numbers when the file system of `folder` has fewer bytes free.
Status check_free_space(const std::filesystem::path& folder, uint64_t needed);

// Creates the folder and its parents.
Status make_folder(const std::filesystem::path& folder);

// A failed system call on a path; a full disk is called that.
Error file_error(
    std::string_view doing, const std::filesystem::path& path, int code);

}  // namespace rapid
