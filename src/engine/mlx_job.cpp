#include "engine/mlx_job.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "engine/lane_clock.h"

namespace rapid {
namespace {

// The prompt's last chunk waits for the grammar; cancels are seen as often.
constexpr auto kGrammarWait = std::chrono::milliseconds(20);

void insert_place(std::vector<SnapshotPlace>& places, SnapshotPlace place) {
  const auto at = std::ranges::lower_bound(
      places, place.position, {}, &SnapshotPlace::position);
  if (at != places.end() && at->position == place.position) {
    at->lasting |= place.lasting;
  } else {
    places.insert(at, place);
  }
}

}  // namespace

Ticketed::Ticketed(RequestId id, GenerateRequest request, EngineSink sink)
    : id(id),
      request(std::move(request)),
      sink(std::move(sink)),
      lane(
          this->request.lane.empty() ? prompt_lane(this->request.prompt)
                                     : this->request.lane),
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
    const JobLimits& limits,
    TaskThread& masks)
    : ticketed_(std::move(ticketed)),
      limits_(limits),
      masks_(masks),
      open_(request().choices) {
  branches_.reserve(request().choices);
  branches_.emplace_back().sequence.tokens = prompt();
  if (request().prompt_logprobs) {
    prompt_logprobs_.push_back({});
  }
}

void Job::honour_cancels() {
  // During prefill a choice ends only when nobody waits for the prompt.
  if (!branched_) {
    if (!done_ && ticketed_->all_cancelled()) {
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

bool Job::lacks_states() const {
  return std::any_of(branches_.begin(), branches_.end(), [](const auto& each) {
    return each.open && each.sequence.states.empty();
  });
}

void Job::leave_form() {
  for (Branch& branch : branches_) {
    Sequence& sequence = branch.sequence;
    if (branch.open && !sequence.states.empty() &&
        sequence.form != limits_.forms.of(sequence.tokens.size())) {
      sequence.drop();
    }
  }
}

bool Job::restore(
    KeptStates& kept, const Model& model, const StateOptions& options) {
  for (Branch& branch : branches_) {
    if (!branch.open || branch.decodes()) {
      continue;
    }
    if (!branch.sequence.states.empty()) {
      return false;  // what it consumes now may serve the next one
    }
    const int common = kept.take_up(
        model, options, request(), ticketed_->lane, branch.sequence);
    if (!started()) {
      started_ = now_seconds();
      cached_ = told_ = static_cast<int>(branch.sequence.consumed);
      for (const SnapshotPlace& place :
           kept.places(request(), cached_, common)) {
        insert_place(places_, place);
      }
    }
    return true;
  }
  return false;
}

void Job::drop_states() {
  for (Branch& branch : branches_) {
    branch.sequence.drop();
    branch.drafter.reset();
  }
}

// False while it is being compiled, or when it failed and the job with it.
bool Job::grammar_ready() {
  if (!request().grammar || grammar_) {
    return true;
  }
  const GrammarFuture& future = ticketed_->grammar;
  if (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
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

void Job::await_grammar() const {
  ticketed_->grammar.wait_for(kGrammarWait);
}

void Job::cut_at(int length) {
  insert_place(places_, {length, false});
}

// Tokens until a place; 0 = there is none.
int Job::to_next_place(int consumed) const {
  for (const SnapshotPlace& place : places_) {
    if (place.position > consumed) {
      return place.position - consumed;
    }
  }
  return 0;
}

int Job::plan(int most, std::vector<SequenceInput>& batch) {
  rows_ = 0;
  planned_.clear();
  reached_.reset();
  awaits_grammar_ = false;
  if (done_) {
    return 0;
  }
  if (!branched_) {
    return plan_prompt(most, batch);
  }
  using Logits = SequenceInput::Logits;
  int taken = 0;
  for (int c = 0; c < request().choices; ++c) {
    const Branch& branch = branches_[c];
    if (!branch.open || branch.sequence.states.empty()) {
      continue;
    }
    if (add_guesses(c, batch)) {
      continue;
    }
    const int left = static_cast<int>(branch.sequence.left());
    const int count = left == 1 ? 1 : std::min(left, most - taken);
    if (count > 0) {
      add(c, count, count == left ? Logits::last : Logits::none, batch);
      taken += left == 1 ? 0 : count;
    }
  }
  return taken;
}

int Job::plan_prompt(int most, std::vector<SequenceInput>& batch) {
  const bool scored = request().prompt_logprobs.has_value();
  const Sequence& sequence = root();
  const int consumed = static_cast<int>(sequence.consumed);
  int count = std::min(most, static_cast<int>(sequence.left()));
  count = scored ? std::min(count, kScoredRows) : count;
  const int next = to_next_place(consumed);
  count = next > 0 ? std::min(count, next) : count;
  count = embeds() ? std::min(count, kPooledRows) : count;
  if (count <= 0 || sequence.states.empty()) {
    return 0;
  }
  const bool last = consumed + count == static_cast<int>(prompt().size());
  const bool ready = grammar_ready();
  if (done_ || (last && !ready)) {
    awaits_grammar_ = !done_;
    return 0;
  }
  using Logits = SequenceInput::Logits;
  const bool all = scored || (embeds() && pools_all(consumed));
  add(0,
      count,
      all                ? Logits::all
      : last || embeds() ? Logits::last
                         : Logits::none,
      batch);
  return count;
}

bool Job::pools_all(int consumed) const {
  return request().embedding == Pooling::mean ||
         (request().embedding == Pooling::first && consumed == 0);
}

void Job::add(
    int choice,
    int count,
    SequenceInput::Logits logits,
    std::vector<SequenceInput>& batch) {
  Sequence& sequence = branches_[choice].sequence;
  batch.push_back(
      {std::span<const int32_t>(sequence.tokens)
           .subspan(sequence.consumed, count),
       &sequence.states,
       logits,
       ticketed_->adapter});
  const int rows = logits == SequenceInput::Logits::all    ? count
                   : logits == SequenceInput::Logits::last ? 1
                                                           : 0;
  planned_.push_back({choice, count, rows});
  rows_ += rows;
}

void Job::accept(std::span<float> rows, int width) {
  if (!branched_) {
    const int count = planned_.front().count;
    planned_.clear();
    if (embeds()) {
      accept_embedded(count, rows, width);
    } else {
      accept_prefill(count, rows, width);
    }
    return;
  }
  size_t row = 0;
  for (const Planned& each : std::exchange(planned_, {})) {
    Branch& branch = branches_[each.choice];
    const size_t known = branch.sequence.tokens.size();
    const auto own = rows.subspan(row * width, each.rows * width);
    if (each.guesses > 0) {
      accept_guesses(each, own, width);
    } else {
      branch.sequence.consumed += each.count;
      // Behind a failure the others keep their tokens, as the states did.
      if (each.rows > 0 && !done_) {
        sample(each.choice, own);
      }
    }
    if (branch.drafter) {
      branch.drafter->follow(std::span(branch.sequence.tokens).subspan(known));
    }
    row += each.rows;
  }
  prepare_masks();
}

// Not before all choices took their tokens: clones share caches under a lock.
void Job::prepare_masks() {
  for (Branch& branch : branches_) {
    branch.forced.clear();
    if (branch.open && branch.grammar && !done_) {
      if (branch.drafter) {
        branch.forced = branch.grammar->forced();
      }
      branch.grammar->prepare();
    }
  }
}

void Job::accept_prefill(int count, std::span<float> rows, int vocabulary) {
  Sequence& sequence = branches_.front().sequence;
  if (request().prompt_logprobs) {
    score_prompt(count, rows, vocabulary);
  }
  sequence.consumed += count;
  const int done = static_cast<int>(sequence.consumed);
  for (const SnapshotPlace& place : places_) {
    if (place.position == done) {
      reached_ = place;
    }
  }
  if (done > told_) {
    told_ = done;
    send(EngineProgress{done, static_cast<int>(prompt().size()), cached_});
  }
  if (sequence.left() > 0) {
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

void Job::accept_embedded(int count, std::span<const float> rows, int width) {
  Sequence& sequence = branches_.front().sequence;
  if (sequence.consumed == 0) {  // also when its states were taken away
    pooler_.emplace(*request().embedding);
  }
  pooler_->add(rows, static_cast<size_t>(width));
  sequence.consumed += count;
  told_ = static_cast<int>(sequence.consumed);
  send(EngineProgress{told_, static_cast<int>(prompt().size()), 0});
  if (sequence.left() > 0) {
    return;
  }
  prefill_seconds_ = now_seconds() - started_;
  EnginePrefilled prefilled;
  prefilled.seconds = prefill_seconds_;
  prefilled.embedding = pooler_->take();
  send(prefilled);
  branched_ = true;
  branches_.resize(static_cast<size_t>(request().choices));
  for (int c = 0; c < request().choices; ++c) {
    end(c, EngineChoiceEnd::Reason::length);
  }
}

// Row i of the chunk predicts the prompt token behind it.
void Job::score_prompt(int count, std::span<float> rows, int vocabulary) {
  for (int i = 0; i < count; ++i) {
    const size_t target = root().consumed + i + 1;
    // What is prefilled again has its score.
    if (target < prompt().size() && target == prompt_logprobs_.size()) {
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
  branched_ = true;
  for (int c = 0; c < choices; ++c) {
    Branch& branch = c == 0 ? branches_.front() : branches_.emplace_back();
    branch.sampler.emplace(make_sampler(c));
    branch.grammar = grammar_ ? grammar_->clone() : nullptr;
    if (c > 0 && limits_.max_tokens > 1) {
      branch.sequence = root().fork();
    }
  }
  replay_grammar();
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

// A choice that goes on stands where its answer's tokens led.
void Job::replay_grammar() {
  const int count = request().resume.value_or(Resumption{}).grammar_replay;
  Branch& branch = branches_.front();
  if (count == 0 || !branch.grammar) {
    return;
  }
  for (const int32_t token : std::span(prompt()).last(count)) {
    if (const Status accepted = branch.grammar->accept(token); !accepted) {
      return fail(
          {ErrorCode::invalid_argument,
           "the answer so far does not fit its grammar: " +
               accepted.error().what});
    }
    if (branch.grammar->ended()) {
      if (!request().grammar_then_free) {
        return end(0, EngineChoiceEnd::Reason::end_token);
      }
      branch.grammar.reset();
      return;
    }
  }
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
  const int32_t token = branch.sampler->sample(row, position);
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
  branch.sampler->accept(token);
  branch.sequence.tokens.push_back(token);
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
  if (choice > 0) {
    branches_[choice].sequence.drop();  // its pages are free again
  }
  branches_[choice].grammar.reset();
  send(EngineChoiceEnd{choice, reason, token});
  if (--open_ == 0) {
    finish();
  }
}

void Job::finish() {
  done_ = true;
  send(EngineDone{
      prefill_seconds_,
      last_token_ - first_token_,
      generated_,
      drafted_,
      accepted_});
}

void Job::fail(Error error) {
  failed_ = true;
  if (!std::exchange(done_, true)) {
    send(EngineFailed{std::move(error)});
  }
}

int Job::backlog() const {
  size_t sum = 0;
  for (const Branch& branch : branches_) {
    sum += branch.open && !(branched_ && branch.decodes())
               ? branch.sequence.left()
               : 0;
  }
  return static_cast<int>(sum);
}

uint64_t Job::state_bytes() const {
  uint64_t sum = 0;
  for (const Branch& branch : branches_) {
    sum += branch.sequence.bytes();
  }
  return sum;
}

uint64_t Job::soon_bytes(const KeptStates& kept) const {
  const int most = 1 + generated_ / std::max(request().choices, 1) + kSoon;
  return std::max(
      state_bytes(), kept.need(request(), std::min(limits_.max_tokens, most)));
}

}  // namespace rapid
