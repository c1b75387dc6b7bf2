#include "hub/file_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace rapid {

namespace fs = std::filesystem;

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  reset();
}

Sha256::~Sha256() = default;

void Sha256::reset() {
  EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr);
}

void Sha256::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += fmt::format("{:02x}", digest[i]);
  }
  return text;
}

Error file_error(std::string_view doing, const fs::path& path, int code) {
  const bool full = code == ENOSPC || code == EDQUOT;
  return Error{
      ErrorCode::io,
      fmt::format(
          "cannot {} {}: {}",
          doing,
          path.string(),
          full ? "the disk is full" : std::strerror(code)),
      full ? "free some space (`rapid-mlx rm`), or set RAPID_MLX_HOME to a "
             "larger disk; what is fetched so far is kept"
           : "",
      path.string()};
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Status FileWriter::open(const fs::path& path, bool resume) {
  path_ = path;
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    return file_error("write", path_, errno);
  }
  if (!resume) {
    return restart();
  }
  std::vector<std::byte> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return file_error("read", path_, errno);
    }
    if (n == 0) {
      return {};
    }
    hash_.update(std::span(buffer).first(static_cast<size_t>(n)));
    size_ += static_cast<uint64_t>(n);
  }
}

Status FileWriter::restart() {
  if (::ftruncate(fd_, 0) != 0 && errno != EINVAL) {
    return file_error("empty", path_, errno);
  }
  ::lseek(fd_, 0, SEEK_SET);
  hash_.reset();
  size_ = 0;
  return {};
}

Status FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return file_error("write", path_, errno);
    }
    const auto done = static_cast<size_t>(n);
    hash_.update(bytes.first(done));
    size_ += done;
    bytes = bytes.subspan(done);
  }
  return {};
}

Status FileWriter::commit(const fs::path& target) {
  // Some file systems tell only here that the disk is full.
  if (::fsync(fd_) != 0) {
    return file_error("write", path_, errno);
  }
  ::close(fd_);
  fd_ = -1;
  if (::rename(path_.c_str(), target.c_str()) != 0) {
    return file_error("rename to", target, errno);
  }
  const int folder =
      ::open(target.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

Status check_free_space(const fs::path& folder, uint64_t needed) {
  struct statvfs info{};
  if (::statvfs(folder.c_str(), &info) != 0) {
    return file_error("look at", folder, errno);
  }
  const uint64_t free = uint64_t{info.f_bavail} * info.f_frsize;
  if (free < needed) {
    constexpr double kMega = 1e6;
    return Error{
        ErrorCode::io,
        fmt::format(
            "{:.1f} MB are needed in {}, but only {:.1f} MB are free",
            static_cast<double>(needed) / kMega,
            folder.string(),
            static_cast<double>(free) / kMega),
        "free some space (`rapid-mlx rm`), or set RAPID_MLX_HOME to a larger "
        "disk",
        folder.string()};
  }
  return {};
}

Status make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) {
    return file_error("create", folder, failed.value());
  }
  return {};
}

}  // namespace rapid
