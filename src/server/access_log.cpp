#include "server/access_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/json.h"

namespace rapid {

void AccessLog::Close::operator()(std::FILE* file) const {
  if (file != stdout) {
    std::fclose(file);
  }
}

Result<AccessLog> AccessLog::open(const std::string& path) {
  AccessLog log;
  if (path == "-") {
    log.file_.reset(stdout);
  } else if (!path.empty()) {
    log.file_.reset(std::fopen(path.c_str(), "ae"));
    if (!log.file_) {
      return Error{
          ErrorCode::io,
          fmt::format("cannot write {}: {}", path, std::strerror(errno)),
          "",
          "--access-log"};
    }
  }
  return log;
}

void AccessLog::write(const AccessEntry& entry) {
  if (!file_) {
    return;
  }
  using namespace std::chrono;
  const auto now = system_clock::now();
  const auto ms = duration_cast<milliseconds>(now.time_since_epoch()) % 1000;
  const Json line = {
      {"time",
       fmt::format(
           "{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
           fmt::gmtime(system_clock::to_time_t(now)),
           ms.count())},
      {"id", entry.id},
      {"remote", entry.remote},
      {"key", entry.key.empty() ? Json() : Json(entry.key)},
      {"method", entry.method},
      {"path", entry.path},
      {"status", entry.status},
      {"ms", std::round(entry.seconds * 1e4) / 10},
      {"bytes_in", entry.bytes_in},
      {"bytes_out", entry.bytes_out},
      {"agent", entry.agent},
      {"left", entry.left}};
  const std::string text = dump_json(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), file_.get());
  std::fflush(file_.get());
}

}  // namespace rapid
