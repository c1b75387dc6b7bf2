// GET /v1/activity
#include "api/activity.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "api/openapi.h"
#include "api/route.h"
#include "api/wrapped_backend.h"
#include "base/clock.h"

namespace rapid {
namespace {

constexpr size_t kKept = 200;

bool is_output(const chat::Event& event) {
  return std::holds_alternative<chat::Delta>(event) ||
         std::holds_alternative<chat::ToolCallEvent>(event) ||
         std::holds_alternative<chat::Rejected>(event);
}

Json entry_json(const ActivityLog::Entry& entry, double now, double epoch) {
  const bool over = entry.ended > 0;
  Json out = {
      {"number", entry.number},
      {"id", entry.id},
      {"model", entry.model},
      {"lane", entry.lane},
      {"state", entry.state},
      {"started", epoch - (now - entry.began)},
      {"seconds", (over ? entry.ended : now) - entry.began},
      {"ttft_seconds",
       entry.first > 0 ? Json(entry.first - entry.began) : Json()},
      {"prompt_tokens", entry.prompt.total},
      {"prompt_done", entry.prompt.done},
      {"cached_tokens", entry.prompt.cached}};
  if (!entry.trouble.empty()) {
    out["trouble"] = entry.trouble;
  }
  if (entry.state == "done") {
    const chat::Usage& usage = entry.usage;
    out["prompt_tokens"] = usage.prompt_tokens;
    out["prompt_done"] = usage.prompt_tokens;
    out["cached_tokens"] = usage.cached_tokens;
    out["completion_tokens"] = usage.completion_tokens;
    out["prefill_seconds"] = usage.prefill_seconds;
    out["decode_seconds"] = usage.decode_seconds;
    out["drafted_tokens"] = usage.drafted_tokens;
    out["accepted_tokens"] = usage.accepted_tokens;
    if (usage.cache) {
      out["cache_miss_reason"] = chat::kind_name(usage.cache->kind);
      out["cost_tokens"] = usage.cache->cost_tokens;
    }
  }
  return out;
}

class WatchedBackend final : public WrappedBackend {
 public:
  WatchedBackend(
      std::shared_ptr<Backend> backend, std::shared_ptr<ActivityLog> log)
      : WrappedBackend(std::move(backend)), log_(std::move(log)) {}

  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    const auto entry = log_->begin(request, backend_->card().id());
    auto ticket = backend_->submit(
        request,
        [log = log_, entry, sink = std::move(sink)](const chat::Event& event) {
          log->on(*entry, event);
          sink(event);
        });
    if (!ticket) {
      log_->failed(*entry, ticket.error());
      return ticket;
    }
    std::lock_guard lock(mutex_);
    open_.emplace_back(*ticket, entry);
    return ticket;
  }

  void cancel(Ticket ticket) override {
    backend_->cancel(ticket);
    std::lock_guard lock(mutex_);
    for (const auto& [each, entry] : open_) {
      if (each == ticket) {
        log_->stopped(*entry);
      }
    }
  }

 private:
  std::shared_ptr<ActivityLog> log_;
  std::mutex mutex_;
  std::vector<std::pair<Ticket, ActivityLog::EntryPtr>> open_;
};

}  // namespace

ActivityLog::EntryPtr ActivityLog::begin(
    const chat::Request& request, std::string model) {
  auto entry = std::make_shared<Entry>();
  entry->id = request.id;
  entry->model = std::move(model);
  entry->lane = request.lane;
  entry->began = now_seconds();
  std::lock_guard lock(mutex_);
  entry->number = ++begun_;
  entries_.push_back(entry);
  if (entries_.size() > kKept) {
    const auto over = std::ranges::find_if(
        entries_, [](const EntryPtr& each) { return each->ended > 0; });
    if (over != entries_.end()) {
      entries_.erase(over);
    }
  }
  return entry;
}

void ActivityLog::end(Entry& entry, std::string_view state) {
  entry.state = state;
  entry.ended = now_seconds();
}

void ActivityLog::on(Entry& entry, const chat::Event& event) {
  std::lock_guard lock(mutex_);
  if (entry.ended > 0) {
    return;
  }
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    entry.prompt.total = started->prompt_tokens;
    entry.state = "reading";
  } else if (const auto* progress = std::get_if<chat::Progress>(&event)) {
    if (progress->waiting_for.empty()) {
      entry.prompt = *progress;
    }
  } else if (const auto* done = std::get_if<chat::Done>(&event)) {
    entry.usage = done->usage;
    ++done_;
    end(entry, "done");
    if (done->usage.cache) {
      Reason& reason =
          reasons_[std::string(chat::kind_name(done->usage.cache->kind))];
      ++reason.requests;
      reason.cost_tokens +=
          static_cast<uint64_t>(std::max(done->usage.cache->cost_tokens, 0));
    }
  } else if (const auto* lost = std::get_if<chat::Failed>(&event)) {
    entry.trouble = lost->error.what;
    ++failed_;
    end(entry, "failed");
  } else if (is_output(event) && entry.first == 0) {
    entry.first = now_seconds();
    entry.state = "answering";
  }
}

void ActivityLog::failed(Entry& entry, const Error& error) {
  on(entry, chat::Failed{error});
}

void ActivityLog::stopped(Entry& entry) {
  std::lock_guard lock(mutex_);
  if (entry.ended == 0) {
    ++stopped_;
    end(entry, "stopped");
  }
}

Json ActivityLog::json() const {
  const double epoch = std::chrono::duration<double>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  std::lock_guard lock(mutex_);
  const double now = now_seconds();
  Json requests = Json::array();
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    requests.push_back(entry_json(**it, now, epoch));
  }
  Json reasons = Json::object();
  for (const auto& [name, reason] : reasons_) {
    reasons[name] = {
        {"requests", reason.requests}, {"cost_tokens", reason.cost_tokens}};
  }
  return {
      {"object", "activity"},
      {"totals",
       {{"requests", begun_},
        {"done", done_},
        {"failed", failed_},
        {"stopped", stopped_}}},
      {"cache_miss_reasons", std::move(reasons)},
      {"requests", std::move(requests)}};
}

std::shared_ptr<Backend> watched_backend(
    std::shared_ptr<Backend> backend, std::shared_ptr<ActivityLog> log) {
  return std::make_shared<WatchedBackend>(std::move(backend), std::move(log));
}

void register_route_activity(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/activity",
       .handler =
           [](const HttpRequest&,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             stream->reply(
                 200, dump_json(context.activity->json()), "application/json");
           },
       .reply =
           [] {
             return json_shape(R"({"object": "=activity",
           "totals": {"requests": "integer", "done": "integer",
             "failed": "integer", "stopped": "integer"},
           "cache_miss_reasons": {"*": {"requests": "integer",
             "cost_tokens": "integer"}},
           "requests": [{"number": "integer", "id": "string",
             "model": "string", "lane": "string", "state": "string",
             "started": "number", "seconds": "number",
             "ttft_seconds": "number|null", "prompt_tokens": "integer",
             "prompt_done": "integer", "cached_tokens": "integer",
             "trouble?": "string", "completion_tokens?": "integer",
             "prefill_seconds?": "number", "decode_seconds?": "number",
             "drafted_tokens?": "integer", "accepted_tokens?": "integer",
             "cache_miss_reason?": "string", "cost_tokens?": "integer"}]})");
           },
       .summary = "requests under way and of late: times, lanes, the cache's "
                  "reasons"});
}

}  // namespace rapid
