// GET /v1/memory/plan?ctx=&batch=&model=
#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <charconv>

#include "api/asked_models.h"
#include "api/openapi.h"
#include "api/route.h"
#include "base/json.h"

namespace rapid {

namespace {

struct Shape {
  int context = 0;  // 0 = the longest that fits
  int batch = 1;
};

Result<int> whole_number(std::string_view name, std::string_view text) {
  constexpr int kMost = 1 << 24;
  int out = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, out);
  if (parsed.ec != std::errc() || parsed.ptr != end || out < 1 || out > kMost) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "{}: expected a whole number from 1 to {}, got \"{}\"",
            name,
            kMost,
            text),
        "",
        std::string(name)};
  }
  return out;
}

Result<Shape> read_shape(std::string_view query) {
  Shape out;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const auto name = part.substr(0, part.find('='));
    const auto value = part.substr(std::min(name.size() + 1, part.size()));
    if (name == "ctx") {
      RAPID_TRY(out.context, whole_number(name, value));
    } else if (name == "batch") {
      RAPID_TRY(out.batch, whole_number(name, value));
    } else if (!part.empty() && name != "model") {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("{}: expected ctx, batch or model", name),
          "",
          std::string(name)};
    }
  }
  return out;
}

Json plan_json(const MemoryPlan& plan) {
  return {
      {"ctx", plan.context},
      {"batch", plan.batch},
      {"fits", plan.fits},
      {"total_bytes", plan.total},
      {"limit_bytes", plan.limit > 0 ? Json(plan.limit) : Json()},
      {"items",
       {{"weights", plan.weights},
        {"mapped_weights", plan.mapped_weights},
        {"process", plan.process},
        {"front", plan.front},
        {"workspace", plan.workspace},
        {"states", plan.states},
        {"kept_prompts", plan.kept_prompts}}},
      {"reserve_bytes", plan.reserve},
      {"cache_bytes", plan.cache},
      {"states_available_bytes",
       plan.limit > 0 ? Json(plan.available) : Json()},
      {"effective_context", plan.effective_context}};
}

Status memory_plan(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto backend, asked_backend(http, context));
  RAPID_TRY(const Shape shape, read_shape(http.query));
  const ModelCard card = backend->card();
  const MemoryFacts& facts = card.memory;
  if (facts.layers == 0 && facts.states.layers.empty()) {
    return Error{
        ErrorCode::busy,
        fmt::format("{} was not loaded yet: nothing is measured", card.id()),
        "load it with POST /v1/models/load",
        "model"};
  }
  const EngineStats stats = backend->stats();
  Json reply = plan_json(plan_memory(facts, shape.context, shape.batch));
  reply["model"] = card.id();
  reply["model_context"] = facts.model_context;
  reply["prefill_chunk"] = facts.prefill_chunk;
  reply["bytes_per_page"] = facts.states.page_bytes();
  reply["bytes_per_sequence"] = facts.states.fixed_bytes;
  reply["kv_bits"] = facts.kv_bits;
  reply["now"] = {
      {"resident_bytes", stats.resident_bytes},
      {"peak_bytes", stats.peak_bytes},
      {"states_bytes", stats.kv_bytes}};
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

}  // namespace

void register_route_memory_plan(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/memory/plan",
       .handler = answering(memory_plan),
       .reply =
           [] {
             return json_shape(
                 R"({"model": "string", "ctx": "integer", "batch": "integer",
           "fits": "boolean", "total_bytes": "integer",
           "limit_bytes": "integer|null", "items": {"*": "integer"},
           "reserve_bytes": "integer", "cache_bytes": "integer",
           "states_available_bytes": "integer|null",
           "effective_context": "integer", "kv_bits": "integer",
           "now": {"*": "integer"}})");
           },
       .query = {"ctx", "batch", "model"},
       .summary = "bytes that a load needs, and what there is"});
}

}  // namespace rapid
