// The requests of a Supervisor: what becomes of them in the worker, and when
// it dies.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "engine/worker_supervisor.h"

namespace rapid {
namespace {

constexpr double kBusyAgain = 0.2;  // seconds
constexpr size_t kMostQuarantined = 256;
constexpr int kMostLonelyKills = 4;

Error stopped_the_engine() {
  return {
      ErrorCode::internal,
      "the request stopped the engine twice",
      "it will not be tried again until a restart; change it, and please "
      "report it as a bug"};
}

// What makes a request the same as another: not its seed, which the front
// makes up, nor whose it is.
std::string fingerprint_of(const GenerateRequest& request) {
  GenerateRequest plain = request;
  plain.sampling.seed = 0;
  plain.lane.clear();
  plain.origin = 0;
  const std::string bytes = encode(WireSubmit{0, std::move(plain)});
  const auto half =
      static_cast<std::string_view>(bytes).substr(bytes.size() / 2);
  return fmt::format(
      "{:x} {:x} {:x}",
      bytes.size(),
      std::hash<std::string>()(bytes),
      std::hash<std::string_view>()(half));
}

}  // namespace

void Supervisor::take_orders() {
  std::deque<EngineOrder> orders;
  uint64_t ping = 0;
  {
    std::lock_guard lock(board_.mutex);
    orders.swap(board_.orders);
    ping = board_.pings_wanted;
  }
  news_ = news_ || !orders.empty();
  for (EngineOrder& order : orders) {
    std::visit([this](auto& each) { obey(each); }, order);
  }
  if (phase_ == Phase::serving && ping > pings_sent_) {
    pings_sent_ = ping;
    link_->send(WirePing{ping});
  }
}

void Supervisor::obey(SubmitOrder& order) {
  Entry entry{OpenRequest(std::move(order.request), std::move(order.sink)), {}};
  // Few requests ever need it: nobody is compared while nobody is guilty.
  if (!quarantined_.empty() &&
      std::ranges::find(
          quarantined_, fingerprint_of(entry.request.request())) !=
          quarantined_.end()) {
    return entry.request.fail(stopped_the_engine());
  }
  const bool down = failed_loads_ >= settings_.most_loads;
  if (down && phase_ == Phase::resting && now_seconds() < next_launch_) {
    return entry.request.fail(*load_error_);
  }
  open_.emplace(order.id, std::move(entry));
  if (down && phase_ == Phase::resting) {
    launch();
  }
}

void Supervisor::obey(CancelOrder& order) {
  const auto found = open_.find(order.id);
  if (found == open_.end()) {
    return;
  }
  Entry& entry = found->second;
  entry.request.cancel(order.choice);
  if (!entry.sent) {
    entry.request.end_cancelled();
    return;  // sweep() looks for those that are over
  }
  for (const auto& [id, part] : entry.parts) {
    if (part == OpenRequest::kWhole) {
      link_->send(WireCancel{id, order.choice});
    } else if (order.choice < 0 || order.choice == part) {
      link_->send(WireCancel{id, -1});
    }
  }
}

void Supervisor::obey(ClearOrder&) {
  // Without a worker there is the disk's part, still: it is told later.
  clear_wanted_ = true;
}

// What waits goes to the worker; suspects one by one, and alone.
void Supervisor::pump() {
  if (phase_ != Phase::serving) {
    return;
  }
  if (std::exchange(clear_wanted_, false)) {
    link_->send(WireClearCache{});
  }
  const bool suspects = std::ranges::any_of(
      open_, [](const auto& each) { return each.second.suspect; });
  bool tried = std::ranges::any_of(open_, [](const auto& each) {
    return each.second.suspect && each.second.sent;
  });
  const double now = now_seconds();
  for (auto& [id, entry] : open_) {
    const bool turn = !suspects || (entry.suspect && !tried);
    if (!entry.sent && turn && now >= entry.not_before &&
        !entry.request.over()) {
      send(id, entry);
      tried = tried || entry.suspect;
    }
  }
}

void Supervisor::send(RequestId id, Entry& entry) {
  entry.sent = true;
  for (OpenRequest::Part& part : entry.request.parts()) {
    const RequestId number = ++last_part_;
    parts_[number] = {id, part.choice};
    entry.parts.emplace_back(number, part.choice);
    const int choices = part.request.choices;
    link_->send(WireSubmit{number, std::move(part.request)});
    for (int c = 0; part.choice == OpenRequest::kWhole && c < choices; ++c) {
      if (entry.request.cancelled(c)) {
        link_->send(WireCancel{number, c});
      }
    }
  }
}

void Supervisor::handle(WireEvent& message) {
  const auto found = parts_.find(message.id);
  if (found == parts_.end()) {
    return;  // of a request that is over
  }
  const RequestId id = found->second.first;
  const int part = found->second.second;
  Entry& entry = open_.at(id);
  const auto* failed = std::get_if<EngineFailed>(&message.event);
  if (failed != nullptr && failed->error.code == ErrorCode::busy &&
      entry.request.ever_died()) {
    // It had its place in the queue before.
    parts_.erase(found);
    entry.parts.clear();
    entry.sent = false;
    entry.not_before = now_seconds() + kBusyAgain;
    return;
  }
  if (const auto* end = std::get_if<EngineChoiceEnd>(&message.event)) {
    generated_ += end->end_token >= 0 ? 1 : 0;
  }
  generated_ += std::holds_alternative<EngineToken>(message.event) ? 1 : 0;
  last_progress_ = now_seconds();
  deaths_in_row_ = 0;
  entry.request.on(part, message.event);
  if (entry.request.progressed()) {
    entry.suspect = false;
    entry.lonely_kills = 0;
  }
  if (failed != nullptr || std::holds_alternative<EngineDone>(message.event)) {
    parts_.erase(message.id);
  }
  if (entry.request.over()) {
    forget(open_.find(id));
  }
}

bool Supervisor::working() const {
  return std::any_of(open_.begin(), open_.end(), [](const auto& each) {
    return each.second.sent;
  });
}

// All that were in the worker when it died. A SIGKILL from outside proves
// little: most are somebody's, few for the memory that a request took.
void Supervisor::blame(bool killed_by_others) {
  std::vector<Entry*> accused;
  for (auto& [id, entry] : open_) {
    if (!std::exchange(entry.sent, false)) {
      continue;
    }
    entry.parts.clear();
    entry.request.engine_died();
    if (!entry.request.over() && entry.request.fruitless_deaths() >= 2) {
      accused.push_back(&entry);
    }
  }
  if (accused.size() == 1 &&
      (!killed_by_others ||
       ++accused.front()->lonely_kills >= kMostLonelyKills)) {
    return quarantine(*accused.front());
  }
  for (Entry* entry : accused) {
    entry->suspect = true;
  }
}

void Supervisor::quarantine(Entry& entry) {
  const GenerateRequest& request = entry.request.request();
  spdlog::error(
      "a request of {} prompt tokens stopped the engine twice, it is refused "
      "from now on",
      request.prompt.size());
  quarantined_.push_front(fingerprint_of(request));
  if (quarantined_.size() > kMostQuarantined) {
    quarantined_.pop_back();
  }
  entry.request.fail(stopped_the_engine());
}

void Supervisor::forget(std::map<RequestId, Entry>::iterator found) {
  for (const auto& [id, part] : found->second.parts) {
    if (parts_.erase(id) > 0 && link_) {
      link_->send(WireCancel{id, -1});  // the others of one that failed
    }
  }
  open_.erase(found);
}

void Supervisor::sweep() {
  for (auto it = open_.begin(); it != open_.end();) {
    const auto here = it++;
    if (here->second.request.over()) {
      forget(here);
    }
  }
}

void Supervisor::fail_all(const Error& error) {
  for (auto& [id, entry] : open_) {
    entry.request.fail(error);
  }
}

void Supervisor::publish() {
  EngineStats out = worker_stats_;
  out.restarts = past_.restarts;
  out.parked += past_.parked;
  out.prompt_tokens += past_.prompt_tokens;
  out.cached_tokens += past_.cached_tokens;
  out.drafted_tokens += past_.drafted_tokens;
  out.accepted_tokens += past_.accepted_tokens;
  out.evicted_prompts += past_.evicted_prompts;
  out.generated_tokens = generated_;
  const bool serving = phase_ == Phase::serving;
  for (const auto& [id, entry] : open_) {
    out.waiting += serving && entry.sent ? 0 : 1;
  }
  out.trouble = failed_loads_ >= settings_.most_loads ? load_error_->what : "";
  std::lock_guard lock(board_.mutex);
  board_.stats = std::move(out);
  board_.serving = serving;
  board_.pings_seen = pings_seen_;
  board_.last_progress =
      working() ? std::max(last_progress_, busy_since_) : last_progress_;
  board_.changed.notify_all();
}

}  // namespace rapid
