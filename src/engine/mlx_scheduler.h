// Scheduler: which requests run, and what each step computes.
//
// No phases: a step is one ragged batch with the next token of every choice
// that decodes, and as many prompt tokens beside them as its time allows
// (Pace). Rows don't depend on each other (law 3), so what runs together
// changes no answer.
//
// - Who waits gets in when the batch has a place and memory has room; the lane
//   that has got least goes first, and so do its prompt tokens.
// - Requests that begin alike are prefilled once: who arrives while the common
//   part is under way waits for it. So an identical retry joins.
// - Guesses of how an answer goes on are looked at beside its next token, as
//   many as pay (Speculator).
// - When running requests outgrow memory the youngest loses its states. It
//   waits, and then consumes its tokens again.
// - A sequence that outgrows its rotation (RotationForms) is consumed again.
// - A step that throws fails its request. If there were several, they start
//   again one at a time, so that only the guilty one fails.
//
// Only the engine thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "engine/lane_clock.h"
#include "engine/mlx_draft_model.h"
#include "engine/mlx_job.h"
#include "engine/pace.h"
#include "speculation/speculator.h"

namespace rapid {

struct SchedulerOptions {
  StateOptions states;
  int context = 0;
  int prefill_chunk = 512;
  // Choices that decode in a step; a request that has more runs alone.
  int most_choices = 16;
  Speculating speculating = Speculating::off;
  DraftModel* draft = nullptr;  // guesses, too; outlives the scheduler
};

struct SchedulerCounts {
  int waiting = 0;
  int running = 0;
  uint64_t state_bytes = 0;  // of running requests
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t generated_tokens = 0;
  SpeculationCounts speculation;
  uint64_t consumed_tokens = 0;  // by states
  uint64_t parked = 0;           // times that a request lost its states
};

class Scheduler {
 public:
  // `ended` is told of each request that has ended, behind its last event.
  Scheduler(
      Model& model,
      KeptStates& kept,
      const SchedulerOptions& options,
      std::function<void(RequestId)> ended);
  ~Scheduler();

  void add(std::shared_ptr<Ticketed> ticketed);
  bool idle() const { return waiting_.empty() && jobs_.empty(); }
  void step();  // one forward pass at most
  void fail_all(const Error& error);

  SchedulerCounts counts() const;

 private:
  struct Entry {
    std::unique_ptr<Job> job;
    bool parked = false;   // has no states, waits for memory
    bool suspect = false;  // was in a step that threw
  };
  using Batch = std::vector<SequenceInput>;

  void drop_cancelled();
  void admit();
  std::deque<std::shared_ptr<Ticketed>>::iterator next_waiting();
  bool may_run(const GenerateRequest& request, const JobLimits& limits) const;
  bool awaits_prefix(const Ticketed& ticketed);
  void unpark();
  void make_room();
  uint64_t held_bytes() const;
  int running_choices() const;
  std::vector<Entry*> order();
  void keep_one_kind(std::vector<Entry*>& order);
  void give_states(const std::vector<Entry*>& order);
  void draft(const std::vector<Entry*>& order);
  bool may_go_back(size_t rows) const;
  int plan(const std::vector<Entry*>& order, Batch& batch);
  template <typename Part>
  static void guarded(Job& job, Part part);
  void restore(Entry& entry);
  void forward(const std::vector<Entry*>& planned, Batch& batch, int prompt);
  void accept(Job& job, std::span<float> rows);
  void failed(const std::vector<Entry*>& planned, const std::exception& e);
  void close(Entry& entry);
  void close_done();

  Model& model_;
  KeptStates& kept_;
  SchedulerOptions options_;
  std::function<void(RequestId)> ended_;
  TaskThread masks_;  // outlives the jobs, which wait for their masks
  Pace pace_;
  std::unique_ptr<Speculator> speculator_;  // null: no guesses
  DrafterMaker make_drafter_;
  std::vector<Drafter*> drafters_;  // of the step, one a row
  LaneClock lanes_;
  std::deque<std::shared_ptr<Ticketed>> waiting_;
  std::vector<Entry> jobs_;  // in order of admission
  bool mixed_ = false;       // jobs of both kinds want a step,
  bool embeds_ = false;      // and whose turn it is
  SchedulerCounts counts_;
};

}  // namespace rapid
