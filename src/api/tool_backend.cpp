#include "api/tool_backend.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "api/submission.h"
#include "api/wrapped_backend.h"

namespace rapid {

namespace {

constexpr auto kLook = std::chrono::milliseconds(200);  // whether to stop

// What the rounds took together.
void add(chat::Usage& sum, const chat::Usage& round) {
  sum.prompt_tokens += round.prompt_tokens;
  sum.completion_tokens += round.completion_tokens;
  sum.cached_tokens += round.cached_tokens;
  sum.reasoning_tokens += round.reasoning_tokens;
  sum.drafted_tokens += round.drafted_tokens;
  sum.accepted_tokens += round.accepted_tokens;
  sum.prefill_seconds += round.prefill_seconds;
  sum.decode_seconds += round.decode_seconds;
  if (!sum.cache) {
    sum.cache = round.cache;
  }
}

// One request: its rounds run on a thread of its own, the events of each come
// from the backend's.
class Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(
      std::shared_ptr<Backend> backend,
      const HostedOffer& offer,
      chat::Request request,
      ChatSink sink)
      : submission_(std::move(backend)),
        offer_(offer),
        request_(std::move(request)),
        sink_(std::move(sink)) {
    ++offer_.tools->running;
  }
  ~Answer() { --offer_.tools->running; }

  void run(const std::atomic<bool>& stop) {
    const auto going = [&] { return !stop && !submission_.stopped(); };
    ToolLimits limits = offer_.tools->limits();
    if (offer_.most_calls > 0) {
      limits.calls = std::min(limits.calls, offer_.most_calls);
    }
    const auto turns = run_tool_rounds(
        [&](const auto& messages, bool offer) {
          return round(messages, offer, going);
        },
        request_.messages,
        {.box = offer_.tools->box(),
         .limits = limits,
         .allowed =
             [&](const auto& call) { return offer_.tools->allows(call.name); },
         .ours = [&](const auto& call) { return is_ours(call); },
         .begins = [&](const auto& call) { tell(call, nullptr); },
         .ended = [&](const auto& call,
                      const McpResult& result) { tell(call, &result); },
         .keep_going = going});
    if (!turns) {
      return say(chat::Failed{turns.error()});
    }
    say(finished_);
    say(chat::Done{usage_});
  }

  // The sink is not called again.
  void stop() {
    submission_.stop();
    std::lock_guard lock(sink_mutex_);
    sink_ = nullptr;
    std::lock_guard own(mutex_);
    changed_.notify_all();
  }

 private:
  bool is_ours(const chat::ToolCall& call) const {
    return std::ranges::find(offer_.names, call.name) != offer_.names.end();
  }

  void say(const chat::Event& event) {
    std::lock_guard lock(sink_mutex_);
    if (sink_) {
      sink_(event);
    }
  }

  void tell(const chat::ToolCall& call, const McpResult* result) {
    const auto origin = offer_.tools->box().origin(call.name);
    chat::ToolRun out{call, origin.server, origin.tool};
    if (result != nullptr) {
      out.result = result->text;
      out.is_error = result->is_error;
    }
    say(out);
  }

  Result<ToolRound> round(
      const std::vector<chat::Message>& messages,
      bool offer,
      const std::function<bool()>& going) {
    chat::Request asked = request_;
    asked.messages = messages;
    if (rounds_++ > 0) {  // what had to be called was
      asked.tool_choice = {};
    }
    if (!offer) {
      std::erase_if(asked.tools, [&](const chat::Tool& tool) {
        return std::ranges::find(offer_.names, tool.name) != offer_.names.end();
      });
    }
    if (asked.max_tokens) {
      *asked.max_tokens -= usage_.completion_tokens;
    }
    said_ = {};
    over_.reset();
    // `this` stays: the one who waits holds it, and stop() ends the sink.
    RAPID_CHECK(submission_.submit(
        asked, [self = shared_from_this()](const chat::Event& event) {
          self->on(event);
        }));
    std::unique_lock lock(mutex_);
    while (!over_) {
      changed_.wait_for(lock, kLook);
      if (!over_ && !going()) {
        lock.unlock();
        submission_.stop();
        return Error{ErrorCode::cancelled, "the request was stopped"};
      }
    }
    if (!*over_) {
      return over_->error();
    }
    const int left =
        request_.max_tokens.value_or(INT32_MAX) - usage_.completion_tokens;
    using Reason = chat::Finished::Reason;
    if (left <= 0 && theirs_ == 0 && !said_.calls.empty()) {
      finished_.reason = Reason::length;
    }
    said_.last = left <= 0 || finished_.reason == Reason::length;
    return said_;
  }

  // An event of a round. Only the last of several becomes the answer's.
  void on(const chat::Event& event) {
    if (const auto* delta = std::get_if<chat::Delta>(&event)) {
      const bool thought = delta->kind == chat::Delta::Kind::reasoning;
      (thought ? said_.reasoning : said_.text) += delta->text;
      say(event);
    } else if (const auto* call = std::get_if<chat::ToolCallEvent>(&event)) {
      said_.calls.push_back(call->call);
      if (!is_ours(call->call)) {
        chat::ToolCallEvent theirs = *call;
        theirs.index = theirs_++;
        say(theirs);
      }
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      const int redecoded = finished_.redecoded + finished->redecoded;
      finished_ = *finished;
      finished_.redecoded = redecoded;
      if (finished->reason == chat::Finished::Reason::tool_calls &&
          std::ranges::all_of(
              said_.calls, [&](const auto& each) { return is_ours(each); })) {
        finished_.reason = chat::Finished::Reason::stop;
      }
    } else if (const auto* done = std::get_if<chat::Done>(&event)) {
      add(usage_, done->usage);
      end({});
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      end(failed->error);
    } else if (const auto* bad = std::get_if<chat::Rejected>(&event)) {
      said_.text += bad->raw;
      say(event);
    } else if (rounds_ == 1) {
      say(event);  // Started, Progress
    }
  }

  void end(Status how) {
    std::lock_guard lock(mutex_);
    over_ = std::move(how);
    changed_.notify_all();
  }

  Submission submission_;
  const HostedOffer offer_;
  const chat::Request request_;

  std::mutex sink_mutex_;
  ChatSink sink_;

  // Of the round; its end hands them from the backend's thread to ours.
  ToolRound said_;
  int rounds_ = 0;  // begun
  int theirs_ = 0;  // calls for the client
  chat::Finished finished_;
  chat::Usage usage_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Status> over_;
};

class ToolBackend final : public WrappedBackend {
 public:
  ToolBackend(
      std::shared_ptr<Backend> backend,
      const HostedOffer& offer,
      Background& background)
      : WrappedBackend(std::move(backend)),
        offer_(offer),
        background_(background) {}

  Result<Ticket> submit(const chat::Request& request, ChatSink sink) override {
    if (request.choices != 1) {
      return Error{
          ErrorCode::invalid_argument,
          "n: expected 1 with tools that are run here",
          "ask once for each answer",
          "n"};
    }
    if (offer_.tools->running >= HostedTools::kMostAtOnce) {
      return Error{
          ErrorCode::busy, "too many answers with tools are under way", ""};
    }
    const auto answer =
        std::make_shared<Answer>(backend_, offer_, request, std::move(sink));
    const std::lock_guard lock(mutex_);
    const Ticket ticket = ++last_;
    answers_[ticket] = answer;
    background_.run(
        [answer](const std::atomic<bool>& stop) { answer->run(stop); });
    return ticket;
  }

  void cancel(Ticket ticket) override {
    std::shared_ptr<Answer> answer;
    {
      const std::lock_guard lock(mutex_);
      answer = answers_[ticket].lock();
    }
    if (answer) {
      answer->stop();
    }
  }

 private:
  HostedOffer offer_;
  Background& background_;
  std::mutex mutex_;
  Ticket last_ = 0;
  std::map<Ticket, std::weak_ptr<Answer>> answers_;
};

}  // namespace

std::shared_ptr<Backend> make_tool_backend(
    std::shared_ptr<Backend> backend,
    const HostedOffer& offer,
    Background& background) {
  return std::make_shared<ToolBackend>(std::move(backend), offer, background);
}

}  // namespace rapid
