// One request while it runs: what it wants of the next step, and what it
// makes of the rows. The scheduler puts the inputs of several jobs into one
// batch; a job does not know. Only the engine thread.
//
// Prompt and answer are one list of tokens to a choice: what its states have
// not consumed yet is consumed in chunks, the last token gives a row. So a job
// whose states were taken away goes on like one that was never started.
//
//   job.restore(...);                // states, from what is kept
//   job.plan(512, batch);            // up to 512 tokens, or one a choice
//   ... forward, eval ...
//   job.accept(rows, vocabulary);    // sends events, samples
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/choice_grammar.h"
#include "engine/engine.h"
#include "engine/grammar_compiler.h"
#include "engine/mlx_kept_states.h"
#include "speculation/drafter.h"

namespace rapid {

// What other threads may see and touch of a request.
struct Ticketed {
  Ticketed(RequestId id, GenerateRequest request, EngineSink sink);

  bool all_cancelled() const;
  // The end of a request that never ran.
  void end_cancelled() const;

  const RequestId id;
  const GenerateRequest request;
  const EngineSink sink;
  const std::string lane;  // the request's, or one by its prompt
  // Set before the engine thread sees this:
  GrammarFuture grammar;
  AdapterPtr adapter;
  std::atomic<bool> cancelled = false;
  std::vector<std::atomic<bool>> cancelled_choices;
};

// For a row whose answer is likely to repeat these tokens.
using DrafterMaker =
    std::function<std::unique_ptr<Drafter>(std::span<const int32_t>)>;

class Job {
 public:
  // Tokens of an answer that room is made for ahead. Few get as long as they
  // may: kept prompts don't go for nothing.
  static constexpr int kSoon = 64;
  // Rows of prompt logits held at a time: 64 x 262144 floats are 64 MiB.
  static constexpr int kScoredRows = 64;
  // Hidden rows held at a time: smaller than as many rows of logits.
  static constexpr int kPooledRows = 256;

  Job(std::shared_ptr<Ticketed> ticketed,
      const JobLimits& limits,
      TaskThread& masks);

  // Ends the choices that nobody waits for any more.
  void honour_cancels();
  // Takes the states of choices away whose rotation has another form by now:
  // their tokens are consumed again.
  void leave_form();
  // States for the next choice that has none; true if they were given.
  bool restore(
      KeptStates& kept, const Model& model, const StateOptions& options);
  // Takes the states of all choices away.
  void drop_states();

  // Guesses of how its choices go on, where a step may take them: one Drafter
  // of each choice that decodes. draft() makes the guesses, plan() takes along
  // what they keep then.
  void drafters(const DrafterMaker& make, std::vector<Drafter*>& rows);
  void draft(const DraftTerms& terms);

  // Appends the inputs of the next step: the last token of every choice that
  // decodes, and at most `most` of the tokens to be consumed before that.
  // Returns how many of the latter. Nothing is appended to a done job.
  int plan(int most, std::vector<SequenceInput>& batch);
  // How many rows of logits plan() asked for, and inputs it appended.
  int rows() const { return rows_; }
  int inputs() const { return static_cast<int>(planned_.size()); }
  // The rows, each `width` floats (the vocabulary's, or a hidden row's when
  // the job embeds); they are scratch.
  void accept(std::span<float> rows, int width);

  // Consumed so far, the prompt shall be looked at: no chunk goes over it.
  void cut_at(int length);
  // Such a place, or one that KeptStates chose, where the last step ended.
  const std::optional<SnapshotPlace>& reached() const { return reached_; }

  // Only the grammar keeps the prompt from its end. Waits a little for it.
  bool awaits_grammar() const { return awaits_grammar_; }
  void await_grammar() const;

  bool done() const { return done_; }
  bool failed() const { return failed_; }
  void fail(Error error);
  // The prompt, as far as it is in, and the first choice's answer.
  const Sequence& root() const { return branches_.front().sequence; }

  const Ticketed& ticketed() const { return *ticketed_; }
  const GenerateRequest& request() const { return ticketed_->request; }
  bool started() const { return started_ > 0; }  // restored once
  int cached() const { return cached_; }
  bool prefilling() const { return !branched_; }
  bool embeds() const { return request().embedding.has_value(); }
  bool lacks_states() const;
  // Tokens to be consumed before all choices decode.
  int backlog() const;
  int open_choices() const { return open_; }
  int generated() const { return generated_; }
  bool scores() const { return request().prompt_logprobs.has_value(); }
  uint64_t state_bytes() const;
  // What it will hold soon: the prompt and a little of the answer.
  uint64_t soon_bytes(const KeptStates& kept) const;

 private:
  struct Branch {
    Sequence sequence;  // without the end token
    std::optional<Sampler> sampler;
    std::unique_ptr<ChoiceGrammar> grammar;
    std::unique_ptr<Drafter> drafter;
    std::vector<int32_t> forced;  // by the grammar
    std::vector<int32_t> step;    // its input where guesses go along
    int generated = 0;
    bool open = true;

    // Its next input gives a row.
    bool decodes() const {
      return !sequence.states.empty() && sequence.left() == 1;
    }
  };
  struct Planned {
    int choice = 0;
    int count = 0;
    int rows = 0;
    int guesses = 0;
  };

  const std::vector<int32_t>& prompt() const { return request().prompt; }
  int plan_prompt(int most, std::vector<SequenceInput>& batch);
  int to_next_place(int consumed) const;
  void add(
      int choice,
      int count,
      SequenceInput::Logits logits,
      std::vector<SequenceInput>& batch);
  bool add_guesses(int choice, std::vector<SequenceInput>& batch);
  void accept_guesses(const Planned& each, std::span<float> rows, int width);
  bool grammar_ready();
  void prepare_masks();
  void score_prompt(int count, std::span<float> rows, int vocabulary);
  void accept_prefill(int count, std::span<float> rows, int vocabulary);
  bool pools_all(int consumed) const;  // the rows of the next chunk
  void accept_embedded(int count, std::span<const float> rows, int width);
  void branch_out(std::span<float> row);
  void replay_grammar();
  Sampler make_sampler(int choice) const;
  void sample(int choice, std::span<float> row);
  void end(int choice, EngineChoiceEnd::Reason reason, int32_t token = -1);
  void finish();
  void send(const EngineEvent& event) { ticketed_->sink(event); }

  std::shared_ptr<Ticketed> ticketed_;
  JobLimits limits_;
  TaskThread& masks_;
  std::unique_ptr<ChoiceGrammar> grammar_;  // what the choices start with
  std::vector<std::string> grammar_relaxed_;
  // One, of the prompt, until it is in; then one of each choice.
  std::vector<Branch> branches_;
  bool branched_ = false;
  int cached_ = 0;
  int told_ = 0;                       // of the prompt, by EngineProgress
  std::vector<SnapshotPlace> places_;  // ascending
  std::optional<SnapshotPlace> reached_;
  bool awaits_grammar_ = false;
  int rows_ = 0;
  std::vector<Planned> planned_;
  std::vector<EngineLogprob> prompt_logprobs_;
  std::optional<Pooler> pooler_;
  int open_ = 0;
  int generated_ = 0;
  int drafted_ = 0;
  int accepted_ = 0;
  bool done_ = false;
  bool failed_ = false;
  double started_ = 0;
  double prefill_seconds_ = 0;
  double first_token_ = 0;
  double last_token_ = 0;
};

}  // namespace rapid
