#include "hub/store_names.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "base/utf8.h"
#include "hub/file_writer.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

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
  std::string out = hub->repository;
  if (hub->revision != "main") {
    out += "@" + hub->revision;
  }
  return hub->folder.empty() ? out : out + "/" + hub->folder;
}

std::string ModelName::key() const {
  std::string key = place().string();
  std::ranges::replace(key, '/', '+');
  return key;
}

std::optional<ModelName> parse_model_name(std::string_view model) {
  ModelName name;
  const std::string target = user_alias_target(model);
  if (!target.empty()) {
    model = target;
  }
  if (const CatalogueEntry* entry = find_in_catalogue(model)) {
    if (entry->file.empty()) {
      name.hub = entry->sources.front().hub;
    } else {
      name.entry = entry;
    }
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
  const auto similar = similar_names(model, 3);
  return Error{
      ErrorCode::not_found,
      fmt::format(
          "there is no model named {}{}",
          shown,
          similar.empty()
              ? ""
              : fmt::format("; did you mean {}?", fmt::join(similar, ", or "))),
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
