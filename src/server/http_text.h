// Small texts of HTTP/1.1, without sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rapid {

std::string_view reason_phrase(int status);

// Takes the same time for any wrong key of one length.
bool same_secret(std::string_view given, std::string_view secret);

struct Target {
  std::string path;   // percent-decoded
  std::string query;  // raw
};
// Of an origin-form or absolute-form target; none when it is malformed.
std::optional<Target> parse_target(std::string_view target);

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// Status line and headers, up to and with the empty line. Line breaks in a
// value become spaces: a header can not smuggle in another.
std::string response_head(int status, const HeaderList& headers);

// One chunk of a chunked body; `data` must not be empty.
std::string chunk_of(std::string_view data);

}  // namespace rapid
