#include "hub/store_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "base/utf8.h"
#include "hub/file_writer.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min(
          {above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool looks_like_path(std::string_view model) {
  const auto slashes = std::ranges::count(model, '/');
  return model.starts_with("/") || model.starts_with(".") ||
         model.starts_with("~") || (model.ends_with(".gguf") && slashes < 2);
}

}  // namespace

fs::path ModelName::place() const {
  if (entry) {
    return entry->alias;
  }
  return hub->revision == "main" ? hub->repository
                                 : hub->repository + "@" + hub->revision;
}

std::string ModelName::key() const {
  std::string key = place().string();
  std::ranges::replace(key, '/', '+');
  return key;
}

std::optional<ModelName> parse_model_name(std::string_view model) {
  ModelName name;
  name.entry = find_in_catalogue(model);
  if (name.entry) {
    return name;
  }
  if (looks_like_path(model)) {
    return std::nullopt;
  }
  auto source = parse_source(
      model.starts_with("hf:") ? std::string(model)
                               : "hf:" + std::string(model));
  if (!source) {
    return std::nullopt;
  }
  name.hub = source->hub;
  return name;
}

Error unknown_model(std::string_view model) {
  const std::string shown = utf8_replace_invalid(model.substr(0, 200));
  if (looks_like_path(model)) {
    return Error{
        ErrorCode::not_found,
        fmt::format("there is no folder or .gguf file at {}", shown),
        "check the path",
        shown};
  }
  const CatalogueEntry* best = nullptr;
  size_t distance = std::min<size_t>(model.size(), 64) / 2 + 1;
  for (const CatalogueEntry& entry : catalogue()) {
    const size_t d = edit_distance(model.substr(0, 64), entry.alias);
    if (d < distance || (!model.empty() && entry.alias.starts_with(model))) {
      best = &entry;
      distance = std::min(d, distance);
    }
  }
  return Error{
      ErrorCode::not_found,
      fmt::format(
          "there is no model named {}{}",
          shown,
          best ? fmt::format("; did you mean {}?", best->alias) : ""),
      "`rapid-mlx models` lists the known names; a folder, a .gguf file or "
      "org/name of the Hugging Face hub will do too",
      shown};
}

Result<StoreLock> StoreLock::take(
    const fs::path& root, const std::string& key, const PullHooks& hooks) {
  RAPID_CHECK(make_folder(root / ".locks"));
  const fs::path path = root / ".locks" / key;
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return file_error("lock", path, errno);
  }
  StoreLock lock(fd);
  for (bool told = false; ::flock(fd, LOCK_EX | LOCK_NB) != 0;) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return file_error("lock", path, errno);
    }
    if (!told && hooks.note) {
      hooks.note("another process is at work on this model: waiting for it");
    }
    told = true;
    if (hooks.cancelled && hooks.cancelled()) {
      return Error{ErrorCode::cancelled, "the download was stopped"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return lock;
}

StoreLock::StoreLock(StoreLock&& other) noexcept : fd_(other.fd_) {
  other.fd_ = -1;
}

StoreLock::~StoreLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

}  // namespace rapid
