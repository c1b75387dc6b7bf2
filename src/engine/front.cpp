#include "engine/front.h"

#include <fmt/format.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/queue.h"
#include "engine/front_request.h"
#include "engine/next_turn.h"
#include "engine/request_recorder.h"
#include "engine/task_thread.h"
#include "engine/turn_record.h"

namespace rapid {
namespace {

constexpr int kStart = -1;  // Item::part: the request was accepted
constexpr int kReady = -2;  // ... its next turn is under way
constexpr int kAll = -1;    // Item::choice: those of the part

struct Item {
  std::shared_ptr<FrontRequest> request;
  int part = kStart;
  int choice = kAll;  // whose own request the event is of
  int attempt = 0;
  EngineEvent event;
};

using Events = std::vector<chat::Event>;

}  // namespace

struct Front::Impl {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<const TextModel> model;
  FrontOptions options;
  // Shared with the engine's sinks, which may outlive the front.
  std::shared_ptr<Queue<Item>> queue = std::make_shared<Queue<Item>>();
  std::mutex mutex;  // of the two below; never held while taking another
  std::map<Ticket, std::shared_ptr<FrontRequest>> open;
  Ticket last_ticket = 0;
  PromptLog log;
  std::atomic<uint64_t> redecoded = 0;
  std::atomic<uint64_t> not_redecoded = 0;
  std::atomic<uint64_t> strict = 0;
  std::atomic<uint64_t> loops_broken = 0;
  std::atomic<uint64_t> thoughts_closed = 0;
  std::thread thread;
  TaskThread next_turns;  // the first to end: it uses all of the above

  void run() {
    while (auto item = queue->pop()) {
      handle(*item);
    }
  }

  void forget(Ticket ticket) {
    {
      std::lock_guard lock(mutex);
      open.erase(ticket);
    }
    if (options.recorder) {
      options.recorder->close(ticket);
    }
  }

  void handle(Item& item) {
    FrontRequest& request = *item.request;
    std::lock_guard lock(request.mutex);
    if (request.closed) {
      return;
    }
    Events out;
    if (item.part == kStart) {
      out.push_back(
          chat::Started{request.usage.prompt_tokens, request.relaxed});
    } else if (item.part == kReady) {
      finish(request, out);
    } else {
      std::visit([&](auto& event) { on(item, event, out); }, item.event);
    }
    for (const chat::Event& event : out) {
      note_given(request, event, options.ledger.get());
      request.sink(event);
    }
  }

  // Whom an event is for; null when it is of an earlier attempt.
  static FrontChoice* choice_of(Item& item, int engine_choice) {
    const int index = item.choice == kAll ? engine_choice : item.choice;
    FrontChoice& choice = item.request->parts[item.part].choices.at(index);
    const bool stale = choice.attempt != item.attempt || choice.text.finished();
    return stale ? nullptr : &choice;
  }

  void on(Item& item, const EngineProgress& event, Events& out) {
    if (item.choice != kAll) {
      return;
    }
    FrontRequest& request = *item.request;
    request.parts[item.part].progress = event;
    chat::Progress sum;
    for (const FrontPart& each : request.parts) {
      sum.done += each.progress.done;
      sum.cached += each.progress.cached;
    }
    sum.total = request.usage.prompt_tokens;
    out.push_back(sum);
  }

  void on(Item& item, const EnginePrefilled& event, Events& out) {
    FrontRequest& request = *item.request;
    if (item.choice != kAll) {
      request.usage.decode_seconds += event.seconds;
      return;
    }
    FrontPart& part = request.parts[item.part];
    request.usage.cached_tokens += event.cached_tokens;
    request.usage.prefill_seconds += event.seconds;
    if (request.logged) {
      request.usage.cache = log.explain(*request.logged, event.cached_tokens);
      if (!request.logged->id.empty()) {
        spdlog::info(
            "{}: {}", request.logged->id, line_of(*request.usage.cache));
      }
    }
    chat::Prompt prompt;
    if (!event.embedding.empty()) {
      prompt.choice = item.part;
      prompt.embedding = event.embedding;
      prompt.tokens = static_cast<int>(part.prompt.ids.size());
      out.push_back(std::move(prompt));
      return;
    }
    if (!request.echo) {
      return;
    }
    prompt.text = part.prompt.text;
    for (size_t i = 0; i < event.logprobs.size(); ++i) {
      prompt.logprobs.push_back(
          token_logprob(*model->codec, part.prompt.ids[i], event.logprobs[i]));
    }
    const int choices = static_cast<int>(part.choices.size());
    for (int c = 0; c < choices; ++c) {
      prompt.choice = item.part * choices + c;
      out.push_back(prompt);
    }
  }

  void on(Item& item, const EngineToken& event, Events& out) {
    FrontChoice* choice = choice_of(item, event.choice);
    if (choice == nullptr) {
      return;  // the engine had not heard of the stop string yet
    }
    choice->text.token(event, out);
    // Whoever asked for one call has it, whole.
    choice->whole = choice->text.calls() > 0 && choice->text.complete() &&
                    calls_as_usual(*model, choice->text);
    settle(item, *choice, true, out);
  }

  void on(Item& item, const EngineChoiceEnd& event, Events& out) {
    using Reason = EngineChoiceEnd::Reason;
    FrontChoice* choice = choice_of(item, event.choice);
    if (choice == nullptr) {
      return;
    }
    if (event.end_token >= 0) {  // a grammar ends without one
      choice->text.count_end_token();
    }
    choice->text.end(
        event.reason == Reason::length ? FinishCause::length : FinishCause::end,
        out);
    choice->whole =
        is_whole_turn(*choice, event) && calls_as_usual(*model, choice->text);
    settle(item, *choice, false, out);
  }

  void on(Item& item, const EngineDone& event, Events& out) {
    chat::Usage& usage = item.request->usage;
    usage.decode_seconds += event.decode_seconds;
    usage.drafted_tokens += event.drafted;
    usage.accepted_tokens += event.accepted;
    ended(item.request, out);
  }

  void on(Item& item, const EngineFailed& event, Events& out) {
    FrontRequest& request = *item.request;
    FrontChoice* choice =
        item.choice == kAll ? nullptr : choice_of(item, item.choice);
    if (choice != nullptr && choice->restricted) {
      // Without its grammar the call stays what it was.
      spdlog::warn("a call is not decoded again: {}", event.error.what);
      ++not_redecoded;
      choice->text.give_up(out);
      if (!choice->text.finished()) {
        start_again(item, *choice, Detour{}, out);
      }
      return ended(item.request, out);
    }
    for (const RequestId id : request.ids) {
      engine->cancel(id);
    }
    out.push_back(chat::Failed{event.error});
    request.closed = true;
    forget(request.ticket);
  }

  // What the choice's last token or end led to. `runs`: in the engine, still.
  void settle(Item& item, FrontChoice& choice, bool runs, Events& out) {
    const auto detour = choice.text.take_detour();
    if (runs && (detour || choice.text.finished())) {
      engine->cancel(choice.request, item.choice == kAll ? choice.number : 0);
    }
    if (detour) {
      count(*detour, choice);
      start_again(item, choice, *detour, out);
    }
  }

  void count(const Detour& detour, const FrontChoice& choice) {
    using Kind = Detour::Kind;
    switch (detour.kind) {
      case Kind::strict_call:
        ++(choice.text.redecoding() ? redecoded : strict);
        break;
      case Kind::no_call:
        ++loops_broken;
        break;
      case Kind::close_thought:
        ++thoughts_closed;
        break;
      case Kind::free:
        break;
    }
  }

  // A request of its own for the rest of a choice.
  void start_again(
      Item& item, FrontChoice& choice, const Detour& detour, Events& out) {
    FrontRequest& request = *item.request;
    choice.whole = false;
    GenerateRequest next =
        go_on(*model, request, request.parts[item.part], choice, detour, out);
    if (choice.text.finished()) {
      return;
    }
    if (next.max_tokens == 0) {
      return choice.text.end(FinishCause::length, out);
    }
    submit(item.request, item.part, choice.number, ++choice.attempt, next);
  }

  void submit(
      const std::shared_ptr<FrontRequest>& request,
      int part,
      int choice,
      int attempt,
      GenerateRequest& wanted) {
    wanted.origin = request->ticket;
    const RequestId id = engine->submit(
        std::move(wanted),
        [queue = queue, request, part, choice, attempt](
            const EngineEvent& event) {
          queue->push({request, part, choice, attempt, event});
        });
    request->ids.push_back(id);
    ++request->running;
    for (FrontChoice& each : request->parts[part].choices) {
      if (choice == kAll || each.number == choice) {
        each.request = id;
      }
    }
  }

  // One of the engine's requests is over.
  void ended(const std::shared_ptr<FrontRequest>& request, Events& out) {
    if (--request->running > 0) {
      return;
    }
    if (auto turn = turn_to_rewrite(*request)) {
      prepare(request, std::move(*turn));
    } else {
      finish(*request, out);
    }
  }

  // The client hears of its answer's end when the engine knows of the next
  // turn: a request that comes at once joins it. Text of a long conversation
  // takes a while: other streams do not wait for it.
  void prepare(
      const std::shared_ptr<FrontRequest>& request, AnsweredTurn turn) {
    next_turns.push([this, request, turn = std::move(turn)] {
      auto next = begin_next_turn(
          *model,
          turn,
          prompt_options(options, *turn.asked),
          engine->info().context_length);
      if (next) {
        if (!next->answer.empty()) {
          options.ledger->record(
              turn.prompt.chain,
              turn.given,
              next->answer,
              false,
              turn.prompt.head);
        }
        engine->submit(std::move(next->request), [](const EngineEvent&) {});
      }
      queue->push({request, kReady, kAll, 0, {}});
    });
  }

  void finish(FrontRequest& request, Events& out) {
    for (const FrontPart& part : request.parts) {
      for (const FrontChoice& choice : part.choices) {
        request.usage.completion_tokens += choice.text.tokens();
        request.usage.reasoning_tokens += choice.text.reasoning_tokens();
      }
    }
    if (request.logged) {
      log.close(
          std::move(request.logged),
          request.parts.at(0).choices.at(0).text.answer());
    }
    out.push_back(chat::Done{request.usage});
    request.closed = true;
    forget(request.ticket);
  }
};

Front::Front(
    std::shared_ptr<Engine> engine,
    std::shared_ptr<const TextModel> model,
    FrontOptions options)
    : impl_(std::make_unique<Impl>()) {
  impl_->engine = std::move(engine);
  impl_->model = std::move(model);
  impl_->options = options;
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Front::~Front() {
  impl_->queue->close();
  impl_->thread.join();
  // What is still open ends here, so that nobody waits for it.
  std::map<Ticket, std::shared_ptr<FrontRequest>> open;
  {
    std::lock_guard lock(impl_->mutex);
    open.swap(impl_->open);
  }
  for (const auto& [ticket, request] : open) {
    std::lock_guard lock(request->mutex);
    for (const RequestId id : request->ids) {
      impl_->engine->cancel(id);
    }
    if (!std::exchange(request->closed, true)) {
      request->sink(
          chat::Failed{{ErrorCode::cancelled, "the server is shutting down"}});
    }
    if (impl_->options.recorder) {
      impl_->options.recorder->close(ticket);
    }
  }
}

Result<Ticket> Front::submit(const chat::Request& asked, ChatSink sink) {
  Impl& impl = *impl_;
  RAPID_TRY(
      const auto request,
      make_front_request(impl.model, impl.engine->info(), impl.options, asked));
  request->sink = std::move(sink);
  {
    std::lock_guard lock(impl.mutex);
    request->ticket = ++impl.last_ticket;
    impl.open[request->ticket] = request;
  }
  if (impl.options.recorder) {
    impl.options.recorder->open(request->ticket, asked);
  }
  // The front thread waits here, briefly, until every id is known.
  std::lock_guard lock(request->mutex);
  impl.queue->push({request, kStart, kAll, 0, {}});
  for (size_t i = 0; i < request->parts.size(); ++i) {
    GenerateRequest wanted = request->parts[i].base;
    wanted.prompt = request->parts[i].prompt.ids;
    impl.submit(request, static_cast<int>(i), kAll, 0, wanted);
  }
  return request->ticket;
}

void Front::cancel(Ticket ticket) {
  std::shared_ptr<FrontRequest> request;
  {
    std::lock_guard lock(impl_->mutex);
    const auto found = impl_->open.find(ticket);
    if (found == impl_->open.end()) {
      return;
    }
    request = found->second;
  }
  std::lock_guard lock(request->mutex);
  if (!std::exchange(request->closed, true)) {
    impl_->forget(ticket);
  }
  for (const RequestId id : request->ids) {
    impl_->engine->cancel(id);
  }
}

FrontStats Front::stats() const {
  return {
      impl_->redecoded,
      impl_->not_redecoded,
      impl_->strict,
      impl_->loops_broken,
      impl_->thoughts_closed};
}

std::optional<chat::CacheReport> Front::explain(const std::string& id) const {
  return impl_->log.find(id);
}

LedgerStats Front::ledger_stats() const {
  const auto& ledger = impl_->options.ledger;
  return ledger ? ledger->stats() : LedgerStats{.disabled = true};
}

void Front::clear_cache() {
  impl_->engine->clear_cache();
  if (impl_->options.ledger) {
    impl_->options.ledger->clear();
  }
  impl_->log.clear();
}

Result<std::vector<std::vector<int32_t>>> Front::tokenise(
    const chat::Request& request) const {
  RAPID_TRY(
      std::vector<EnginePrompt> prompts,
      build_prompts(
          *impl_->model, request, prompt_options(impl_->options, request)));
  std::vector<std::vector<int32_t>> out;
  for (EnginePrompt& prompt : prompts) {
    out.push_back(std::move(prompt.ids));
  }
  return out;
}

const TextModel& Front::model() const {
  return *impl_->model;
}
Engine& Front::engine() const {
  return *impl_->engine;
}

}  // namespace rapid
