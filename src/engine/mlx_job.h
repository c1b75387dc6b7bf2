// One request while it runs: what it wants of the next step, and what it
// makes of the rows. The engine may put the inputs of several jobs into one
// batch; a job does not know. Only the engine thread.
//
//   job.plan(512, batch);            // prefill chunk, or one token a choice
//   ... forward, eval ...
//   job.accept(rows);                // sends events, samples
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/choice_grammar.h"
#include "engine/engine.h"
#include "engine/grammar_compiler.h"
#include "engine/mlx_kept_states.h"

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
  GrammarFuture grammar;  // set before the engine thread sees this
  std::atomic<bool> cancelled = false;
  std::vector<std::atomic<bool>> cancelled_choices;
};

class Job {
 public:
  // `root` holds the states of the prompt's first tokens, if of any.
  Job(std::shared_ptr<Ticketed> ticketed,
      Sequence root,
      const JobLimits& limits,
      TaskThread& masks);

  // Honours cancels, then appends the inputs of the next step. Nothing is
  // appended when the job is done.
  void plan(int prefill_chunk, std::vector<SequenceInput>& batch);
  // How many rows of logits plan() asked for.
  int rows() const { return rows_; }
  // The rows, each `vocabulary` floats; they are scratch.
  void accept(std::span<float> rows, int vocabulary);

  bool done() const { return done_; }
  void fail(Error error);
  // The prompt, as far as it is in, and the first choice's answer.
  const Sequence& root() const { return root_; }

  int cached() const { return cached_; }
  int step_tokens() const { return step_tokens_; }
  bool prefilling() const { return prefilled_ < prompt().size(); }
  int generated() const { return generated_; }
  uint64_t state_bytes() const;

 private:
  struct Branch {
    Sequence* sequence = nullptr;
    std::unique_ptr<Sequence> own;  // choices behind the first
    Sampler sampler;
    std::unique_ptr<ChoiceGrammar> grammar;
    int32_t next = -1;  // sampled, not yet in the state
    int generated = 0;
    bool open = true;
  };

  const GenerateRequest& request() const { return ticketed_->request; }
  const std::vector<int32_t>& prompt() const { return request().prompt; }
  void honour_cancels();
  bool grammar_ready(std::chrono::milliseconds wait);
  void prepare_masks();
  void score_prompt(std::span<float> rows, int vocabulary);
  void accept_prefill(std::span<float> rows, int vocabulary);
  void branch_out(std::span<float> row);
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
  Sequence root_;
  int cached_ = 0;
  size_t prefilled_ = 0;
  int step_tokens_ = 0;
  int rows_ = 0;
  std::vector<EngineLogprob> prompt_logprobs_;
  std::vector<Branch> branches_;  // empty until the prompt is in
  std::vector<int> planned_;      // choices in the step under way
  int open_ = 0;
  int generated_ = 0;
  bool done_ = false;
  double started_ = 0;
  double prefill_seconds_ = 0;
  double first_token_ = 0;
  double last_token_ = 0;
};

}  // namespace rapid
