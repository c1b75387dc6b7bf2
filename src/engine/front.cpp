#include "engine/front.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/queue.h"
#include "engine/chat_prompt.h"
#include "engine/choice_text.h"
#include "engine/constraint.h"
#include "formats/reasoning.h"

namespace rapid {
namespace {

// One prompt of a request: one request of the engine.
struct Part {
  RequestId id = 0;
  EnginePrompt prompt;
  std::vector<ChoiceText> choices;
  EngineProgress progress;
};

// A request on its way. The mutex guards all of it and is held while the sink
// runs, so that cancel() returns only after the last call of the sink.
struct Active {
  Ticket ticket = 0;
  std::mutex mutex;
  bool closed = false;
  ChatSink sink;
  std::vector<Part> parts;
  size_t parts_left = 0;
  bool echo = false;
  chat::Usage usage;
  std::vector<std::string> relaxed;  // of the constraint
};

constexpr int kStart = -1;  // Item::part: the request was accepted

struct Item {
  std::shared_ptr<Active> active;
  int part = kStart;
  EngineEvent event;
};

uint64_t random_seed() {
  thread_local std::random_device device;
  return (uint64_t{device()} << 32) ^ device();
}

// So that one seed gives other call ids in the next turn.
uint64_t call_key(uint64_t seed, const std::vector<int32_t>& ids) {
  uint64_t hash = 0xcbf29ce484222325 ^ seed;  // FNV-1a over the ids
  for (const int32_t id : ids) {
    hash = (hash ^ static_cast<uint32_t>(id)) * 0x100000001b3;
  }
  return hash;
}

Status check_context(
    const EnginePrompt& prompt, const chat::Request& request, int context) {
  const int length = static_cast<int>(prompt.ids.size());
  const int room = request.max_tokens == 0 ? 0 : 1;
  if (length + room > context) {
    return Error{
        ErrorCode::context_length,
        fmt::format(
            "the prompt has {} tokens, the context holds {} with at least one "
            "for the answer",
            length,
            context),
        "shorten the conversation, or start the server with a larger --ctx",
        request.messages.empty() ? "prompt" : "messages"};
  }
  return {};
}

Status check_ids(const EnginePrompt& prompt, int vocabulary) {
  for (const int32_t id : prompt.ids) {
    if (id < 0 || id >= vocabulary) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format(
              "token id {} is outside of the vocabulary of {}", id, vocabulary),
          "",
          "prompt"};
    }
  }
  return {};
}

}  // namespace

struct Front::Impl {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<const TextModel> model;
  FrontOptions options;
  // Shared with the engine's sinks, which may outlive the front.
  std::shared_ptr<Queue<Item>> queue = std::make_shared<Queue<Item>>();
  std::mutex mutex;  // of the two below; never held while taking another
  std::map<Ticket, std::shared_ptr<Active>> open;
  Ticket last_ticket = 0;
  std::thread thread;

  void run() {
    while (auto item = queue->pop()) {
      handle(*item);
    }
  }

  void forget(Ticket ticket) {
    std::lock_guard lock(mutex);
    open.erase(ticket);
  }

  void handle(Item& item) {
    Active& active = *item.active;
    std::lock_guard lock(active.mutex);
    if (active.closed) {
      return;
    }
    std::vector<chat::Event> out;
    if (item.part == kStart) {
      out.push_back(chat::Started{active.usage.prompt_tokens, active.relaxed});
    } else {
      std::visit(
          [&](auto& event) { on(active, item.part, event, out); }, item.event);
    }
    for (const chat::Event& event : out) {
      active.sink(event);
    }
  }

  void on(
      Active& active,
      int part,
      const EngineProgress& event,
      std::vector<chat::Event>& out) {
    active.parts[part].progress = event;
    chat::Progress sum;
    for (const Part& each : active.parts) {
      sum.done += each.progress.done;
      sum.cached += each.progress.cached;
    }
    sum.total = active.usage.prompt_tokens;
    out.push_back(sum);
  }

  void on(
      Active& active,
      int index,
      const EnginePrefilled& event,
      std::vector<chat::Event>& out) {
    Part& part = active.parts[index];
    active.usage.cached_tokens += event.cached_tokens;
    active.usage.prefill_seconds += event.seconds;
    if (!active.echo) {
      return;
    }
    chat::Prompt prompt;
    prompt.text = part.prompt.text;
    for (size_t i = 0; i < event.logprobs.size(); ++i) {
      prompt.logprobs.push_back(
          token_logprob(*model->codec, part.prompt.ids[i], event.logprobs[i]));
    }
    const int choices = static_cast<int>(part.choices.size());
    for (int c = 0; c < choices; ++c) {
      prompt.choice = index * choices + c;
      out.push_back(prompt);
    }
  }

  void on(
      Active& active,
      int index,
      const EngineToken& event,
      std::vector<chat::Event>& out) {
    Part& part = active.parts[index];
    ChoiceText& choice = part.choices.at(event.choice);
    if (choice.finished()) {
      return;  // the engine had not heard of the stop string yet
    }
    choice.token(event, out);
    if (choice.finished()) {
      engine->cancel(part.id, event.choice);
    }
  }

  void on(
      Active& active,
      int index,
      const EngineChoiceEnd& event,
      std::vector<chat::Event>& out) {
    using Reason = EngineChoiceEnd::Reason;
    ChoiceText& choice = active.parts[index].choices.at(event.choice);
    if (choice.finished()) {
      return;
    }
    if (event.end_token >= 0) {  // a grammar ends without one
      choice.count_end_token();
    }
    choice.end(
        event.reason == Reason::length ? FinishCause::length : FinishCause::end,
        out);
  }

  void on(
      Active& active,
      int index,
      const EngineDone& event,
      std::vector<chat::Event>& out) {
    for (const ChoiceText& choice : active.parts[index].choices) {
      active.usage.completion_tokens += choice.tokens();
      active.usage.reasoning_tokens += choice.reasoning_tokens();
    }
    active.usage.decode_seconds += event.decode_seconds;
    if (--active.parts_left == 0) {
      out.push_back(chat::Done{active.usage});
      active.closed = true;
      forget(active.ticket);
    }
  }

  void on(
      Active& active,
      int index,
      const EngineFailed& event,
      std::vector<chat::Event>& out) {
    for (size_t i = 0; i < active.parts.size(); ++i) {
      if (static_cast<int>(i) != index) {
        engine->cancel(active.parts[i].id);
      }
    }
    out.push_back(chat::Failed{event.error});
    active.closed = true;
    forget(active.ticket);
  }

  // The text of the last few tokens.
  std::string end_of(const std::vector<int32_t>& ids) const {
    constexpr size_t kTokens = 12;
    std::string out;
    for (size_t i = ids.size() - std::min(ids.size(), kTokens); i < ids.size();
         ++i) {
      out += model->codec->token_bytes(ids[i]);
    }
    return out;
  }

  std::shared_ptr<Active> make_active(
      const chat::Request& request,
      std::vector<EnginePrompt> prompts,
      uint64_t seed);
  GenerateRequest engine_request(
      const chat::Request& request,
      const EnginePrompt& prompt,
      Constraint constraint,
      uint64_t seed) const;
  // Raw prompts have no roles and no tools: what comes is text.
  const ReasoningStyle* reasoning(const chat::Request& request) const {
    return request.messages.empty()
               ? nullptr
               : reasoning_for(*model->format, model->reasoning);
  }
  Thinking thinking(
      const ReasoningStyle* style, const EnginePrompt& prompt) const {
    return style ? thinking_of_prompt(*style, end_of(prompt.ids))
                 : Thinking::automatic;
  }
};

std::shared_ptr<Active> Front::Impl::make_active(
    const chat::Request& request,
    std::vector<EnginePrompt> prompts,
    uint64_t seed) {
  auto active = std::make_shared<Active>();
  active->echo = request.echo;
  active->parts_left = prompts.size();
  // Raw prompts have no roles and no tools: what comes is text.
  const OutputFormat* format = request.messages.empty()
                                   ? FormatRegistry::global().find("plain")
                                   : model->format;
  const ReasoningStyle* style = reasoning(request);
  const auto call_loop = options.loop_guard == LoopGuard::off
                             ? std::nullopt
                             : find_call_loop(request.messages);
  for (EnginePrompt& prompt : prompts) {
    Part part;
    const int first = static_cast<int>(active->parts.size()) * request.choices;
    for (int c = 0; c < request.choices; ++c) {
      part.choices.emplace_back(
          model,
          ChoiceOptions{
              .choice = first + c,
              .format = format,
              .input =
                  {request.tools,
                   request.tool_choice,
                   style,
                   thinking(style, prompt)},
              .stop = request.stop,
              .logprobs = request.logprobs.has_value(),
              .call_key = call_key(seed, prompt.ids),
              // Benches want the tokens, whatever they are.
              .loop_guard =
                  request.ignore_end ? LoopGuard::off : options.loop_guard,
              .call_loop = call_loop});
    }
    active->usage.prompt_tokens += static_cast<int>(prompt.ids.size());
    part.prompt = std::move(prompt);
    active->parts.push_back(std::move(part));
  }
  return active;
}

GenerateRequest Front::Impl::engine_request(
    const chat::Request& request,
    const EnginePrompt& prompt,
    Constraint constraint,
    uint64_t seed) const {
  GenerateRequest out;
  out.grammar = std::move(constraint.grammar);
  out.grammar_after = std::move(constraint.after);
  out.prompt = prompt.ids;
  out.sampling = sampling_options(request.sampling, model->defaults, seed);
  out.choices = request.choices;
  const int room =
      engine->info().context_length - static_cast<int>(prompt.ids.size());
  out.max_tokens = request.max_tokens.value_or(room);
  out.use_cache = request.use_cache;
  out.may_shorten = !request.max_tokens.has_value();
  if (!request.ignore_end) {
    out.end_tokens = model->end_tokens;
  }
  out.logprobs = request.logprobs;
  if (request.echo) {
    out.prompt_logprobs = request.logprobs;
  }
  return out;
}

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
  std::map<Ticket, std::shared_ptr<Active>> open;
  {
    std::lock_guard lock(impl_->mutex);
    open.swap(impl_->open);
  }
  for (const auto& [ticket, active] : open) {
    std::lock_guard lock(active->mutex);
    for (const Part& part : active->parts) {
      impl_->engine->cancel(part.id);
    }
    if (!std::exchange(active->closed, true)) {
      active->sink(
          chat::Failed{{ErrorCode::cancelled, "the server is shutting down"}});
    }
  }
}

Result<Ticket> Front::submit(const chat::Request& request, ChatSink sink) {
  Impl& impl = *impl_;
  const EngineInfo& info = impl.engine->info();
  RAPID_CHECK(check_request(request, info.vocabulary));
  RAPID_TRY(
      std::vector<EnginePrompt> prompts, build_prompts(*impl.model, request));
  for (const EnginePrompt& prompt : prompts) {
    RAPID_CHECK(check_ids(prompt, info.vocabulary));
    RAPID_CHECK(check_context(prompt, request, info.context_length));
  }
  std::vector<Constraint> constraints;
  const ReasoningStyle* style = impl.reasoning(request);
  for (const EnginePrompt& prompt : prompts) {
    RAPID_TRY(
        Constraint constraint,
        make_constraint(
            *impl.model, request, style, impl.thinking(style, prompt)));
    constraints.push_back(std::move(constraint));
  }
  const uint64_t seed = request.sampling.seed.value_or(random_seed());
  auto active = impl.make_active(request, std::move(prompts), seed);
  active->sink = std::move(sink);
  active->relaxed = constraints.front().relaxed;
  {
    std::lock_guard lock(impl.mutex);
    active->ticket = ++impl.last_ticket;
    impl.open[active->ticket] = active;
  }
  // The front thread waits here, briefly, until every id is known.
  std::lock_guard lock(active->mutex);
  impl.queue->push({active, kStart, {}});
  for (size_t i = 0; i < active->parts.size(); ++i) {
    Part& part = active->parts[i];
    part.id = impl.engine->submit(
        impl.engine_request(
            request, part.prompt, std::move(constraints[i]), seed),
        [queue = impl.queue, active, i](const EngineEvent& event) {
          queue->push({active, static_cast<int>(i), event});
        });
  }
  return active->ticket;
}

void Front::cancel(Ticket ticket) {
  std::shared_ptr<Active> active;
  {
    std::lock_guard lock(impl_->mutex);
    const auto found = impl_->open.find(ticket);
    if (found == impl_->open.end()) {
      return;
    }
    active = found->second;
    impl_->open.erase(found);
  }
  std::lock_guard lock(active->mutex);
  active->closed = true;
  for (const Part& part : active->parts) {
    impl_->engine->cancel(part.id);
  }
}

Result<std::vector<std::vector<int32_t>>> Front::tokenise(
    const chat::Request& request) const {
  RAPID_TRY(
      std::vector<EnginePrompt> prompts, build_prompts(*impl_->model, request));
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
