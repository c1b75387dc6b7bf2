#include "api/asked_models.h"

#include <algorithm>
#include <string>
#include <utility>

#include "api/query.h"

namespace rapid {

Result<std::shared_ptr<Backend>> asked_backend(
    const HttpRequest& http, const ApiContext& context) {
  return backend_for(context, query_value(http.query, "model").value_or(""));
}

Result<std::vector<std::shared_ptr<Backend>>> asked_backends(
    const HttpRequest& http, const ApiContext& context) {
  std::vector<std::shared_ptr<Backend>> out;
  const auto model = query_value(http.query, "model");
  RAPID_TRY(auto first, backend_for(context, model.value_or("")));
  if (model) {
    out.push_back(std::move(first));
    return out;
  }
  const auto models = context.models();
  for (const std::string& name : models->names()) {
    if (auto backend = models->find(name)) {
      out.push_back(std::move(backend));
    }
  }
  return out;
}

EngineStats sum_of(const std::vector<EngineStats>& all) {
  EngineStats out;
  for (const EngineStats& each : all) {
    out.waiting += each.waiting;
    out.running += each.running;
    out.parked += each.parked;
    out.prompt_tokens += each.prompt_tokens;
    out.cached_tokens += each.cached_tokens;
    out.generated_tokens += each.generated_tokens;
    out.drafted_tokens += each.drafted_tokens;
    out.accepted_tokens += each.accepted_tokens;
    out.kv_bytes += each.kv_bytes;
    out.kept_prompts += each.kept_prompts;
    out.evicted_prompts += each.evicted_prompts;
    out.disk_bytes += each.disk_bytes;
    out.restarts += each.restarts;
  }
  // Of those at work the slowest; with nobody at work the last that was.
  bool working = false;
  for (const EngineStats& each : all) {
    const bool works = each.waiting + each.running > 0;
    const double since = each.last_progress_seconds;
    if (works && !working) {
      out.last_progress_seconds = since;
    } else if (works) {
      out.last_progress_seconds = std::max(out.last_progress_seconds, since);
    } else if (!working) {
      const bool first = &each == &all.front();
      out.last_progress_seconds =
          first ? since : std::min(out.last_progress_seconds, since);
    }
    working = working || works;
  }
  return out;
}

FrontStats sum_of(const std::vector<FrontStats>& all) {
  FrontStats out;
  for (const FrontStats& each : all) {
    out.redecoded += each.redecoded;
    out.not_redecoded += each.not_redecoded;
    out.strict += each.strict;
    out.loops_broken += each.loops_broken;
    out.thoughts_closed += each.thoughts_closed;
  }
  return out;
}

}  // namespace rapid
