#include "api/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "api/activity.h"
#include "api/response_store.h"
#include "base/json.h"

namespace rapid {

namespace {

// How well `pattern` fits (0 = not at all), and what its open part stands for.
struct Fit {
  size_t score = 0;
  std::string_view tail;
};

Fit fit(std::string_view pattern, std::string_view path) {
  if (pattern.ends_with("/*")) {
    const auto prefix = pattern.substr(0, pattern.size() - 1);
    if (path.starts_with(prefix) && path.size() > prefix.size()) {
      return {prefix.size(), path.substr(prefix.size())};
    }
    return {};
  }
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) {
    return {pattern == path ? std::string_view::npos : 0, ""};
  }
  const auto before = pattern.substr(0, open);
  const auto after = pattern.substr(pattern.find('}') + 1);
  if (!path.starts_with(before) || !path.ends_with(after) ||
      path.size() <= before.size() + after.size()) {
    return {};
  }
  const auto tail =
      path.substr(before.size(), path.size() - before.size() - after.size());
  const bool one = tail.find('/') == std::string_view::npos;
  return {one ? before.size() + after.size() : 0, tail};
}

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view code_of(int status, const Error& error) {
  switch (status) {
    case 403:
      return "forbidden";
    case 405:
      return "method_not_allowed";
    case 503:
      return "unavailable";
    case 408:
      return "request_timeout";
    default:
      break;
  }
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return error.param == "body" ? "invalid_json" : "invalid_value";
    case ErrorCode::not_found:
      return error.param == "model" ? "model_not_found"
             : error.param == "previous_response_id"
                 ? "previous_response_not_found"
                 : "not_found";
    case ErrorCode::unauthorized:
      return "invalid_api_key";
    case ErrorCode::too_large:
      return "too_large";
    case ErrorCode::context_length:
      return "context_length_exceeded";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::busy:
      return "rate_limit_exceeded";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::internal:
      break;
  }
  return "internal_error";
}

}  // namespace

bool ModelCard::answers_to(std::string_view model) const {
  return !model.empty() && (model == "default" || model == alias ||
                            model == name || model == path);
}

ModelCard ModelCard::adapted(const std::string& adapter) const {
  ModelCard out = *this;
  out.parent = id();
  out.alias = out.parent + ":" + adapter;
  out.adapters.clear();
  return out;
}

ApiContext::ApiContext()
    : responses(ResponseStore::in_memory()),
      activity(std::make_shared<ActivityLog>()) {}

void RouteTable::add(Route route) {
  if (!route.handler) {
    throw std::logic_error("route without a handler: " + route.path);
  }
  for (const Route& other : routes_) {
    if (other.method == route.method && other.path == route.path) {
      throw std::logic_error(
          "duplicate route: " + route.method + " " + route.path);
    }
  }
  if (route.error_body == nullptr) {
    route.error_body = standard_error_body;
  }
  routes_.push_back(std::move(route));
}

RouteTable::Match RouteTable::find(
    std::string_view method, std::string_view path) const {
  Match match;
  match.error_body = standard_error_body;
  size_t best = 0;
  size_t best_path = 0;
  const auto wanted = method == "HEAD" ? std::string_view("GET") : method;
  for (const Route& route : routes_) {
    const auto [score, tail] = fit(route.path, path);
    if (score == 0) {
      continue;
    }
    if (score > best_path) {
      best_path = score;
      match.error_body = route.error_body;
      match.allowed.clear();
    }
    if (score == best_path) {
      match.allowed.push_back(route.method);
    }
    if (route.method == wanted && score > best) {
      best = score;
      match.route = &route;
      match.tail = tail;
    }
  }
  if (match.route != nullptr) {
    match.error_body = match.route->error_body;
  }
  if (std::ranges::count(match.allowed, "GET") != 0) {
    match.allowed.push_back("HEAD");
  }
  return match;
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::context_length:
    case ErrorCode::unsupported:
      return 400;
    case ErrorCode::unauthorized:
      return 401;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::too_large:
      return 413;
    case ErrorCode::busy:
      return 429;
    case ErrorCode::cancelled:
      return 499;
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::internal:
      break;
  }
  return 500;
}

std::string error_message(const Error& error) {
  if (error.hint.empty()) {
    return error.what;
  }
  std::string hint = error.hint;
  hint[0] = static_cast<char>(std::toupper(hint[0]));
  const bool ended = error.what.ends_with('.');
  return error.what + (ended ? " " : ". ") + hint;
}

std::string standard_error_body(int status, const Error& error) {
  const bool named = !error.param.empty() && error.param != "body";
  return dump_json(
      {{"error",
        {{"message", error_message(error)},
         {"type", type_of(status)},
         {"code", code_of(status, error)},
         {"param", named ? Json(error.param) : Json(nullptr)}}}});
}

void reply_error(
    ResponseStream& stream, const Error& error, ErrorBody error_body) {
  const int status = http_status(error.code);
  std::string body = error_body(status, error);
  if (stream.events_begun()) {
    stream.event(body);
    stream.end_events();
    return;
  }
  if (status == 429) {
    stream.header("retry-after", "1");
  }
  stream.reply(status, std::move(body), "application/json");
}

}  // namespace rapid
