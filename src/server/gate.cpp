#include "server/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <span>
#include <sstream>

#include "hub/file_writer.h"

namespace rapid {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

std::string sha256_of(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text.data(), text.size())));
  return hash.hex();
}

// "name:port", "[::1]:port", "1.2.3.4" -> the name in lower case.
std::string name_of(std::string_view host) {
  if (host.starts_with('[')) {
    return lower(host.substr(1, host.find(']') - 1));
  }
  std::string name = lower(host.substr(0, host.find(':')));
  if (name.ends_with('.')) {  // the root of all names
    name.pop_back();
  }
  return name;
}

bool is_loopback_name(const std::string& name) {
  const bool numbers =
      name.find_first_not_of("0123456789.") == std::string::npos;
  return name == "localhost" || name.ends_with(".localhost") || name == "::1" ||
         (numbers && name.starts_with("127."));
}

bool has(const std::vector<std::string>& list, const std::string& one) {
  return std::ranges::any_of(list, [&](const std::string& each) {
    return each == "*" || lower(each) == one;
  });
}

std::string secret_of(const Caller& caller) {
  const std::string_view bearer = caller.authorization;
  return lower(bearer.substr(0, 7)) == "bearer " ? std::string(bearer.substr(7))
                                                 : caller.api_key;
}

Refusal too_many(const std::string& what, double seconds) {
  return {
      429,
      {ErrorCode::busy, what},
      {{"retry-after",
        std::to_string(std::max(1, static_cast<int>(std::ceil(seconds))))}}};
}

Error bad_line(
    const std::filesystem::path& path, int line, const std::string& what) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("{}:{}: {}", path.string(), line, what),
      "a line is: SHA256 NAME [at-once=N] [per-minute=N]",
      "--api-keys-file"};
}

// "at-once=4"
bool read_limit(std::string_view word, std::string_view name, int& value) {
  if (!word.starts_with(name) || word.size() <= name.size() ||
      word[name.size()] != '=') {
    return false;
  }
  const char* end = word.data() + word.size();
  const auto read = std::from_chars(word.data() + name.size() + 1, end, value);
  return read.ec == std::errc() && read.ptr == end && value >= 0;
}

}  // namespace

ApiKey plain_key(std::string_view secret, std::string name) {
  return {.name = std::move(name), .sha256 = sha256_of(secret)};
}

Result<std::vector<ApiKey>> read_api_keys(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) {
    return Error{
        ErrorCode::io,
        fmt::format("cannot read {}", path.string()),
        "",
        "--api-keys-file"};
  }
  std::vector<ApiKey> keys;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    ApiKey key;
    if (!(words >> key.sha256)) {
      continue;
    }
    key.sha256 = lower(key.sha256);
    if (key.sha256.size() != 64 ||
        key.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return bad_line(path, number, "expected a SHA-256 of 64 hex digits");
    }
    if (!(words >> key.name)) {
      key.name = fmt::format("line-{}", number);
    }
    for (std::string word; words >> word;) {
      if (!read_limit(word, "at-once", key.most_open) &&
          !read_limit(word, "per-minute", key.per_minute)) {
        return bad_line(path, number, fmt::format("what is \"{}\"?", word));
      }
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) {  // else the server would be open to everybody
    return bad_line(path, number, "there is no key in it");
  }
  return keys;
}

Gate::Gate(GateOptions options)
    : options_(std::move(options)), uses_(options_.keys.size()) {}

bool Gate::allowed_origin(const Caller& caller) const {
  return has(options_.cors_origins, lower(caller.origin));
}

Refusal Gate::check(const Caller& caller) const {
  const std::string name = name_of(caller.host);
  if (!caller.host.empty() && !is_loopback_name(name) &&
      name != lower(options_.host) && name != lower(caller.local) &&
      !has(options_.allow_hosts, name)) {
    return {
        403,
        {ErrorCode::unsupported,
         fmt::format("this server does not answer to the host \"{}\"", name),
         fmt::format(
             "use its address, or start it with --allow-host {}", name)}};
  }
  // Programs in a browser's clothes (app://, null) read nothing without CORS.
  const std::string origin = lower(caller.origin);
  if (!origin.starts_with("http://") && !origin.starts_with("https://")) {
    return {};
  }
  const std::string from = origin.substr(origin.find("//") + 2);
  if (from == lower(caller.host) || allowed_origin(caller)) {
    return {};
  }
  return {
      403,
      {ErrorCode::unsupported,
       fmt::format("web pages of {} may not use this server", origin),
       fmt::format("start it with --cors {}", origin)}};
}

Refusal Gate::admit(const Caller& caller, double now, int& key) {
  key = kNoKey;
  if (options_.keys.empty()) {
    return {};
  }
  const std::string given = sha256_of(secret_of(caller));
  for (size_t i = 0; i < options_.keys.size(); ++i) {
    if (same_secret(given, options_.keys[i].sha256)) {
      key = static_cast<int>(i);
    }
  }
  if (key == kNoKey) {
    return {
        401,
        {ErrorCode::unauthorized,
         "the API key is missing or wrong",
         "send it as \"authorization: Bearer KEY\" or \"x-api-key: KEY\""},
        {{"www-authenticate", "Bearer"}}};
  }
  const ApiKey& known = options_.keys[static_cast<size_t>(key)];
  Use& use = uses_[static_cast<size_t>(key)];
  const int number = key;
  key = kNoKey;
  if (known.most_open > 0 && use.open >= known.most_open) {
    return too_many(
        fmt::format(
            "this key has {} requests under way, which is its limit", use.open),
        1);
  }
  constexpr double kMinute = 60;
  while (!use.starts.empty() && use.starts.front() <= now - kMinute) {
    use.starts.pop_front();
  }
  if (known.per_minute > 0) {
    if (static_cast<int>(use.starts.size()) >= known.per_minute) {
      return too_many(
          fmt::format(
              "this key may send {} requests per minute", known.per_minute),
          use.starts.front() + kMinute - now);
    }
    use.starts.push_back(now);
  }
  ++use.open;
  key = number;
  return {};
}

void Gate::leave(int key) {
  if (key != kNoKey) {
    --uses_[static_cast<size_t>(key)].open;
  }
}

std::string Gate::owner(int key) const {
  return key == kNoKey
             ? ""
             : options_.keys[static_cast<size_t>(key)].sha256.substr(0, 16);
}

const std::string& Gate::name(int key) const {
  static const std::string kNobody;
  return key == kNoKey ? kNobody : options_.keys[static_cast<size_t>(key)].name;
}

HeaderList Gate::cors(const Caller& caller) const {
  if (options_.cors_origins.empty() || caller.origin.empty()) {
    return {};
  }
  HeaderList out = {{"vary", "origin"}};
  if (allowed_origin(caller)) {
    out.emplace_back("access-control-allow-origin", caller.origin);
    out.emplace_back(
        "access-control-expose-headers",
        "x-request-id, retry-after, x-rapid-mlx-relaxed, x-rapid-mlx-ignored");
  }
  return out;
}

HeaderList Gate::preflight(
    const Caller& caller,
    std::string_view methods,
    std::string_view wanted_headers) const {
  HeaderList out;
  if (!caller.origin.empty() && allowed_origin(caller)) {
    out.emplace_back("access-control-allow-methods", methods);
    out.emplace_back(
        "access-control-allow-headers",
        wanted_headers.empty() ? "authorization, content-type, x-api-key"
                               : wanted_headers);
    out.emplace_back("access-control-max-age", "3600");
  }
  return out;
}

}  // namespace rapid
