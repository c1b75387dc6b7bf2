#include "engine/mlx_job.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace rapid {
namespace {

// Rows of prompt logits held at a time: 64 x 262144 floats are 64 MiB.
constexpr int kScoredRows = 64;
// The prompt's last chunk waits for the grammar; cancels are seen as often.
constexpr auto kGrammarWait = std::chrono::milliseconds(20);

}  // namespace

Ticketed::Ticketed(RequestId id, GenerateRequest request, EngineSink sink)
    : id(id),
      request(std::move(request)),
      sink(std::move(sink)),
      cancelled_choices(std::max(this->request.choices, 1)) {}

bool Ticketed::all_cancelled() const {
  return cancelled || std::all_of(
                          cancelled_choices.begin(),
                          cancelled_choices.end(),
                          [](const auto& flag) { return flag.load(); });
}

void Ticketed::end_cancelled() const {
  for (int c = 0; c < request.choices; ++c) {
    sink(EngineChoiceEnd{c, EngineChoiceEnd::Reason::cancelled, -1});
  }
  sink(EngineDone{});
}

Job::Job(
    std::shared_ptr<Ticketed> ticketed,
    Sequence root,
    const JobLimits& limits,
    TaskThread& masks)
    : ticketed_(std::move(ticketed)),
      limits_(limits),
      masks_(masks),
      root_(std::move(root)),
      open_(request().choices),
      started_(now_seconds()) {
  prefilled_ = root_.tokens.size();
  cached_ = static_cast<int>(prefilled_);
  if (request().prompt_logprobs) {
    prompt_logprobs_.push_back({});
  }
}

void Job::honour_cancels() {
  // During prefill a choice ends only when nobody waits for the prompt.
  if (branches_.empty()) {
    if (ticketed_->all_cancelled()) {
      ticketed_->end_cancelled();
      done_ = true;
    }
    return;
  }
  for (int c = 0; c < request().choices && !done_; ++c) {
    if (branches_[c].open &&
        (ticketed_->cancelled || ticketed_->cancelled_choices[c])) {
      end(c, EngineChoiceEnd::Reason::cancelled);
    }
  }
}

// False while it is being compiled, or when it failed and the job with it.
bool Job::grammar_ready(std::chrono::milliseconds wait) {
  if (!request().grammar || grammar_) {
    return true;
  }
  const GrammarFuture& future = ticketed_->grammar;
  if (future.wait_for(wait) != std::future_status::ready) {
    return false;
  }
  const Result<CompiledGrammar>& compiled = future.get();
  if (!compiled) {
    fail(compiled.error());
    return false;
  }
  grammar_relaxed_ = compiled->relaxed;
  grammar_ = std::make_unique<ChoiceGrammar>(
      compiled->grammar, request().grammar_after, request().end_tokens, masks_);
  grammar_->prepare();
  return true;
}

void Job::plan(int prefill_chunk, std::vector<SequenceInput>& batch) {
  rows_ = 0;
  step_tokens_ = 0;
  planned_.clear();
  honour_cancels();
  if (done_) {
    return;
  }
  using Logits = SequenceInput::Logits;
  if (prefilling()) {
    const bool scored = request().prompt_logprobs.has_value();
    const size_t most =
        scored ? std::min(prefill_chunk, kScoredRows) : prefill_chunk;
    const size_t count = std::min(most, prompt().size() - prefilled_);
    const bool last = prefilled_ + count == prompt().size();
    const bool ready =
        grammar_ready(last ? kGrammarWait : std::chrono::milliseconds(0));
    if (done_ || (last && !ready)) {
      return;
    }
    batch.push_back(
        {std::span(prompt()).subspan(prefilled_, count),
         &root_.states,
         scored ? Logits::all
         : last ? Logits::last
                : Logits::none});
    step_tokens_ = static_cast<int>(count);
    rows_ = scored ? step_tokens_ : last ? 1 : 0;
    return;
  }
  for (int c = 0; c < request().choices; ++c) {
    Branch& branch = branches_[c];
    if (branch.open) {
      batch.push_back(
          {std::span(&branch.next, 1), &branch.sequence->states, Logits::last});
      planned_.push_back(c);
    }
  }
  rows_ = step_tokens_ = static_cast<int>(planned_.size());
}

void Job::accept(std::span<float> rows, int vocabulary) {
  if (planned_.empty()) {
    accept_prefill(rows, vocabulary);
    return;
  }
  for (size_t i = 0; i < planned_.size(); ++i) {
    Branch& branch = branches_[planned_[i]];
    branch.sequence->tokens.push_back(branch.next);
    // Behind a failure the others keep their tokens, as the states did.
    if (!done_) {
      sample(planned_[i], rows.subspan(i * vocabulary, vocabulary));
    }
  }
  prepare_masks();
}

// Not before all choices took their tokens: clones share caches under a lock.
void Job::prepare_masks() {
  for (Branch& branch : branches_) {
    if (branch.open && branch.grammar && !done_) {
      branch.grammar->prepare();
    }
  }
}

void Job::accept_prefill(std::span<float> rows, int vocabulary) {
  const auto begin = prompt().begin() + static_cast<ptrdiff_t>(prefilled_);
  root_.tokens.insert(root_.tokens.end(), begin, begin + step_tokens_);
  if (request().prompt_logprobs) {
    score_prompt(rows, vocabulary);
  }
  prefilled_ += step_tokens_;
  send(EngineProgress{
      static_cast<int>(prefilled_),
      static_cast<int>(prompt().size()),
      cached_});
  if (prefilling()) {
    return;
  }
  prefill_seconds_ = now_seconds() - started_;
  send(EnginePrefilled{
      cached_,
      prefill_seconds_,
      std::move(prompt_logprobs_),
      std::move(grammar_relaxed_)});
  branch_out(rows.last(vocabulary));
}

// Row i of the chunk predicts the prompt token behind it.
void Job::score_prompt(std::span<float> rows, int vocabulary) {
  for (int i = 0; i < step_tokens_; ++i) {
    const size_t target = prefilled_ + i + 1;
    if (target < prompt().size()) {
      RowLogprobs scored = row_logprobs(
          rows.subspan(static_cast<size_t>(i) * vocabulary, vocabulary),
          prompt()[target],
          *request().prompt_logprobs);
      prompt_logprobs_.push_back({scored.logprob, std::move(scored.top)});
    }
  }
}

// Every choice goes on from the prompt's last row: the first in the prompt's
// own sequence, the others in forks of it.
void Job::branch_out(std::span<float> row) {
  const int choices = request().choices;
  for (int c = 0; c < choices; ++c) {
    Branch branch{
        .sequence = &root_,
        .own = nullptr,
        .sampler = make_sampler(c),
        .grammar = grammar_ ? grammar_->clone() : nullptr};
    if (c > 0 && limits_.max_tokens > 1) {
      branch.own = std::make_unique<Sequence>(root_.fork());
      branch.sequence = branch.own.get();
    }
    branches_.push_back(std::move(branch));
  }
  std::vector<float> scratch;
  for (int c = 0; c < choices && !done_; ++c) {
    if (limits_.max_tokens == 0) {
      end(c, EngineChoiceEnd::Reason::length);
    } else if (ticketed_->cancelled || ticketed_->cancelled_choices[c]) {
      end(c, EngineChoiceEnd::Reason::cancelled);
    } else {
      scratch.assign(row.begin(), row.end());
      sample(c, scratch);
    }
  }
  prepare_masks();
}

// Of a choice that goes on: as it was behind its last token.
Sampler Job::make_sampler(int choice) const {
  const Resumption resumed =
      request().resume.value_or(Resumption{.choice = choice});
  const size_t asked = prompt().size() - resumed.answered;
  const auto ids = std::span(prompt());
  Sampler sampler(request().sampling, resumed.choice, ids.first(asked));
  for (const int32_t token : ids.subspan(asked)) {
    sampler.accept(token);
  }
  return sampler;
}

void Job::sample(int choice, std::span<float> row) {
  Branch& branch = branches_[choice];
  const uint64_t position = prompt().size() + branch.generated;
  std::vector<float> raw;  // sample() changes the row
  if (request().logprobs) {
    raw.assign(row.begin(), row.end());
  }
  if (branch.grammar) {
    if (const Status masked = branch.grammar->constrain(row); !masked) {
      return fail(masked.error());
    }
  }
  const int32_t token = branch.sampler.sample(row, position);
  ++branch.generated;
  ++generated_;
  last_token_ = now_seconds();
  first_token_ = first_token_ == 0 ? last_token_ : first_token_;
  const auto& ends = request().end_tokens;
  if (std::find(ends.begin(), ends.end(), token) != ends.end()) {
    end(choice, EngineChoiceEnd::Reason::end_token, token);
    return;
  }
  if (branch.grammar) {
    if (const Status accepted = branch.grammar->accept(token); !accepted) {
      return fail(
          {ErrorCode::internal,
           "the grammar refused its own token: " + accepted.error().what});
    }
  }
  EngineToken event{choice, token, std::nullopt};
  if (request().logprobs) {
    RowLogprobs scored = row_logprobs(raw, token, *request().logprobs);
    event.logprob = EngineLogprob{scored.logprob, std::move(scored.top)};
  }
  branch.sampler.accept(token);
  branch.next = token;
  send(event);
  const bool complete = branch.grammar && branch.grammar->ended();
  if (complete && request().grammar_then_free) {
    branch.grammar.reset();
  } else if (complete) {
    return end(choice, EngineChoiceEnd::Reason::end_token);
  }
  if (branch.generated >= limits_.max_tokens) {
    end(choice, EngineChoiceEnd::Reason::length);
  }
}

void Job::end(int choice, EngineChoiceEnd::Reason reason, int32_t token) {
  branches_[choice].open = false;
  branches_[choice].own.reset();  // its pages are free again
  branches_[choice].grammar.reset();
  send(EngineChoiceEnd{choice, reason, token});
  if (--open_ == 0) {
    finish();
  }
}

void Job::finish() {
  done_ = true;
  send(EngineDone{prefill_seconds_, last_token_ - first_token_, generated_});
}

void Job::fail(Error error) {
  if (!std::exchange(done_, true)) {
    send(EngineFailed{std::move(error)});
  }
}

uint64_t Job::state_bytes() const {
  uint64_t sum = root_.bytes();
  for (const Branch& branch : branches_) {
    sum += branch.own ? branch.own->bytes() : 0;
  }
  return sum;
}

}  // namespace rapid
