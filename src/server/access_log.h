// AccessLog: one JSON line a request, without what was asked or answered.
//
//   {"time": "2026-01-31T12:00:00.123Z", "id", "remote", "key", "method",
//    "path", "status", "ms", "bytes_in", "bytes_out", "agent", "left"}
//
// Not for several threads.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"

namespace rapid {

struct AccessEntry {
  std::string id;
  std::string remote;
  std::string key;  // its name; "" = none
  std::string method;
  std::string path;
  std::string agent;
  int status = 0;
  double seconds = 0;
  size_t bytes_in = 0;
  size_t bytes_out = 0;
  bool left = false;  // the client, before the end
};

class AccessLog {
 public:
  // Appends to a file; "-" is standard output, "" no log.
  static Result<AccessLog> open(const std::string& path);
  AccessLog() = default;

  bool on() const { return file_ != nullptr; }
  void write(const AccessEntry& entry);

 private:
  struct Close {
    void operator()(std::FILE* file) const;
  };
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace rapid
