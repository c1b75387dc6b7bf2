#include "base/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace rapid {

namespace {

Error io_error(const std::string& path, int code) {
  return Error{
      code == ENOENT ? ErrorCode::not_found : ErrorCode::io,
      fmt::format("cannot open {}: {}", path, std::strerror(code)),
      code == ENOENT ? "check the path" : "",
      path};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(
    const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return io_error(path, errno);
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int code = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
    ::close(fd);
    return io_error(path, code);
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    ::close(fd);
    return Error{ErrorCode::corrupt, path + " is empty", "", path};
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int code = errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    return io_error(path, code);
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, {static_cast<const std::byte*>(data), size}));
}

void MappedFile::release(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<uintptr_t>(bytes_.data());
  const auto first = reinterpret_cast<uintptr_t>(part.data());
  if (part.empty() || first < base ||
      first + part.size() > base + bytes_.size()) {
    return;
  }
  const uintptr_t begin = first / page * page;
  ::madvise(
      reinterpret_cast<void*>(begin),
      first + part.size() - begin,
      MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace rapid
