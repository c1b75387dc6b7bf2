// GET /v1/recipe?ctx=: which models suit this machine, and how fast they would
// be. The same object as `rapid-mlx recipe --json`.
#include "api/recipe.h"

#include <fmt/format.h>

#include <charconv>
#include <mutex>
#include <utility>

#include "api/openapi.h"
#include "api/route.h"
#include "base/json.h"

namespace rapid {

namespace {

struct Shared {
  std::mutex mutex;
  RecipeSource source;
};

Shared& shared() {
  static Shared out;
  return out;
}

// "ctx=N"; 0 = not given.
Result<int> wanted_context(std::string_view query) {
  constexpr int kMost = 1 << 24;
  if (query.empty()) {
    return 0;
  }
  int out = 0;
  const char* end = query.data() + query.size();
  const bool named = query.starts_with("ctx=");
  const auto read = std::from_chars(query.data() + (named ? 4 : 0), end, out);
  if (!named || read.ec != std::errc() || read.ptr != end || out < 1 ||
      out > kMost) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "expected ctx= and a whole number from 1 to {}, got \"{}\"",
            kMost,
            query),
        "",
        "ctx"};
  }
  return out;
}

Status recipe(const HttpRequest& http, ResponseStream& stream, ApiContext&) {
  RAPID_TRY(const int wanted, wanted_context(http.query));
  RecipeSource source;
  {
    std::lock_guard lock(shared().mutex);
    source = shared().source;
  }
  if (!source) {
    return Error{
        ErrorCode::unsupported,
        "this server does not know what its machine can run"};
  }
  stream.reply(200, dump_json(source(wanted)), "application/json");
  return {};
}

}  // namespace

void set_recipe_source(RecipeSource source) {
  std::lock_guard lock(shared().mutex);
  shared().source = std::move(source);
}

void register_route_recipe(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/recipe",
       .handler = answering(recipe),
       .reply =
           [] {
             return json_shape(R"({"machine": {"kind": "string",
           "chip": "string", "usable_bytes": "integer",
           "bandwidth_gb_s": "number"}, "context": "integer",
           "smart": "object|null", "fast": "object|null",
           "models": [{"model": "string", "fits": "boolean",
             "comfortable": "boolean", "decode_tps": "number",
             "ttft_ms": "number", "longest_context": "integer",
             "why": "string"}]})");
           },
       .query = {"ctx"},
       .summary = "which models suit this machine, and how fast they are"});
}

}  // namespace rapid
