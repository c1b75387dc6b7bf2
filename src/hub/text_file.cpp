#include "hub/text_file.h"

#include <fmt/format.h>

#include <fstream>

namespace rapid {

namespace fs = std::filesystem;

Result<std::string> read_text_file(const fs::path& path) {
  std::error_code failed;
  const auto size = fs::file_size(path, failed);
  if (failed) {
    const bool missing = failed == std::errc::no_such_file_or_directory;
    return Error{
        missing ? ErrorCode::not_found : ErrorCode::io,
        fmt::format("cannot read {}: {}", path.string(), failed.message()),
        missing ? "check that the model folder is complete" : "",
        path.string()};
  }
  constexpr uintmax_t kLimit = uintmax_t{1} << 30;
  if (size > kLimit) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("{} is {} bytes long: too large", path.string(), size),
        "",
        path.string()};
  }
  std::string text(size, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(size));
  if (!in) {
    return Error{
        ErrorCode::io, "cannot read " + path.string(), "", path.string()};
  }
  return text;
}

Result<Json> read_json_file(const fs::path& path) {
  RAPID_TRY(const std::string text, read_text_file(path));
  auto json = parse_json(text);
  if (!json) {
    return Error{
        ErrorCode::corrupt,
        path.string() + ": " + json.error().what,
        "the file is damaged or incomplete: fetch it again",
        path.string()};
  }
  return json;
}

Result<std::string> read_optional_text(const fs::path& path) {
  if (!fs::exists(path)) {
    return std::string();
  }
  return read_text_file(path);
}

}  // namespace rapid
