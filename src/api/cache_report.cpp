#include "api/cache_report.h"

#include <string>

namespace rapid {

Json cache_report_json(const chat::CacheReport& report) {
  Json difference = nullptr;
  if (!report.field.empty() || report.message >= 0) {
    difference = Json::object();
    if (report.message >= 0) {
      difference["message"] = report.message;
      difference["role"] = report.role;
    }
    difference["field"] = report.field;
    if (report.byte >= 0) {
      difference["byte"] = report.byte;
    }
  }
  return {
      {"cache_miss_reason", std::string(chat::kind_name(report.kind))},
      {"first_difference", std::move(difference)},
      {"prompt_tokens", report.prompt_tokens},
      {"cached_tokens", report.cached_tokens},
      {"common_tokens", report.common_tokens},
      {"cost_tokens", report.cost_tokens},
      {"compared_to",
       report.earlier.empty() ? Json(nullptr) : Json(report.earlier)}};
}

Result<bool> read_cache_fields(
    const HttpRequest& http, const Fields& fields, chat::Request& request) {
  request.id = http.id;
  const auto header = http.headers.find("x-rapid-mlx-explain");
  const bool asked = header != http.headers.end() && header->second == "1";
  RAPID_TRY(const Json* ours, fields.object("rapid_mlx"));
  if (ours == nullptr) {
    return asked;
  }
  const Fields inner(*ours, "rapid_mlx");
  RAPID_TRY(const auto explain, inner.boolean("explain_cache"));
  RAPID_TRY(const auto history, inner.string("history"));
  if (history && *history != "keep" && *history != "template") {
    return wrong_field(
        "rapid_mlx.history", "keep or template", *inner.find("history"));
  }
  request.history = history.value_or("");
  return explain.value_or(asked);
}

}  // namespace rapid
