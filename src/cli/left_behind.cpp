#include "cli/left_behind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace rapid {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kOurNames{
    "agents",
    "aliases.json",
    "cache",
    "chat_history",
    "config.json",
    "logs",
    "mcp.json",
    "models"};

uint64_t bytes_of(const fs::path& path) {
  std::error_code failed;
  if (fs::is_regular_file(fs::symlink_status(path, failed))) {
    const auto size = fs::file_size(path, failed);
    return failed ? 0 : size;
  }
  uint64_t out = 0;
  fs::recursive_directory_iterator at(path, failed), end;
  for (; !failed && at != end; at.increment(failed)) {
    std::error_code ignored;
    if (at->symlink_status(ignored).type() == fs::file_type::regular) {
      const auto size = at->file_size(ignored);
      out += ignored ? 0 : size;
    }
  }
  return out;
}

}  // namespace

LeftBehind left_behind(const fs::path& home, bool all, bool models) {
  LeftBehind out;
  std::error_code failed;
  for (fs::directory_iterator at(home, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string name = at->path().filename().string();
    const bool ours =
        all || std::ranges::find(kOurNames, name) != kOurNames.end();
    const bool removed = ours && (name != "models" || models);
    (removed ? out.ours : out.kept)
        .emplace_back(at->path(), bytes_of(at->path()));
  }
  std::ranges::sort(out.ours);
  std::ranges::sort(out.kept);
  return out;
}

Status remove_all(const LeftBehind& left, const fs::path& home) {
  for (const auto& entry : left.ours) {
    std::error_code failed;
    fs::remove_all(entry.first, failed);
    if (failed) {
      return Error{
          ErrorCode::io,
          fmt::format(
              "cannot remove {}: {}", entry.first.string(), failed.message())};
    }
  }
  std::error_code not_empty;
  fs::remove(home, not_empty);
  return {};
}

}  // namespace rapid
