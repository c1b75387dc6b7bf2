#include "engine/mlx_scheduler.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "kernels/host_floats.h"
#include "speculation/ngram_proposer.h"

namespace rapid {
namespace {

// A common beginning that is worth waiting for.
constexpr int kWorthWaiting = 64;

int common_prefix(
    std::span<const int32_t> left, std::span<const int32_t> right) {
  return static_cast<int>(
      std::mismatch(left.begin(), left.end(), right.begin(), right.end())
          .first -
      left.begin());
}

}  // namespace

Scheduler::Scheduler(
    Model& model,
    KeptStates& kept,
    const SchedulerOptions& options,
    std::function<void(RequestId)> ended)
    : model_(model),
      kept_(kept),
      options_(options),
      ended_(std::move(ended)),
      pace_(options.prefill_chunk),
      speculator_(
          options.speculating != Speculating::off
              ? std::make_unique<Speculator>(options.speculating)
              : nullptr) {
  make_drafter_ = [this](std::span<const int32_t> known) {
    std::unique_ptr<Proposer> proposer = std::make_unique<NgramProposer>(known);
    if (options_.draft != nullptr) {
      proposer = options_.draft->proposer(std::move(proposer));
    }
    return std::make_unique<Drafter>(
        std::move(proposer), speculator_->acceptance());
  };
}

Scheduler::~Scheduler() = default;

void Scheduler::add(std::shared_ptr<Ticketed> ticketed) {
  lanes_.enter(ticketed->lane);
  waiting_.push_back(std::move(ticketed));
}

void Scheduler::step() {
  drop_cancelled();
  unpark();
  admit();
  make_room();
  std::vector<Entry*> planned = order();
  keep_one_kind(planned);
  give_states(planned);
  draft(planned);
  const double begin = now_seconds();
  Batch batch;
  const int prompt = plan(planned, batch);
  if (!batch.empty()) {
    try {
      forward(planned, batch, prompt);
      if (speculator_) {
        speculator_->measured(drafters_, now_seconds() - begin);
      }
    } catch (const std::exception& e) {
      failed(planned, e);
    }
  } else if (!planned.empty()) {
    const auto waits = std::ranges::find_if(
        planned, [](const Entry* each) { return each->job->awaits_grammar(); });
    if (waits != planned.end()) {
      (*waits)->job->await_grammar();
    }
  }
  close_done();
}

void Scheduler::drop_cancelled() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if ((*it)->all_cancelled()) {
      const auto ticketed = std::move(*it);
      it = waiting_.erase(it);
      ticketed->end_cancelled();
      lanes_.leave(ticketed->lane);
      ended_(ticketed->id);
    } else {
      ++it;
    }
  }
  for (Entry& entry : jobs_) {
    entry.job->honour_cancels();
  }
  close_done();
}

// Who goes on in mid-stream comes first, then the lane that has got least.
std::deque<std::shared_ptr<Ticketed>>::iterator Scheduler::next_waiting() {
  auto best = waiting_.end();
  const auto before = [this](const Ticketed& left, const Ticketed& right) {
    const bool resumes = left.request.resume.has_value();
    return resumes != right.request.resume.has_value()
               ? resumes
               : lanes_.at(left.lane) < lanes_.at(right.lane);
  };
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if ((best == waiting_.end() || before(**it, **best)) &&
        !awaits_prefix(**it)) {
      best = it;
    }
  }
  return best;
}

void Scheduler::admit() {
  for (auto next = next_waiting(); next != waiting_.end();
       next = next_waiting()) {
    const GenerateRequest& request = (*next)->request;
    const auto limits = kept_.limits(request, options_.context);
    if (limits && !may_run(request, *limits)) {
      return;  // nobody overtakes it
    }
    const auto ticketed = std::move(*next);
    waiting_.erase(next);
    if (!limits) {
      ticketed->sink(EngineFailed{limits.error()});
      lanes_.leave(ticketed->lane);
      ended_(ticketed->id);
      continue;
    }
    jobs_.push_back({std::make_unique<Job>(ticketed, *limits, masks_)});
  }
}

bool Scheduler::may_run(
    const GenerateRequest& request, const JobLimits& limits) const {
  if (jobs_.empty()) {
    return true;
  }
  uint64_t bytes = kept_.need(request, std::min(limits.max_tokens, Job::kSoon));
  int choices = request.choices;
  for (const Entry& entry : jobs_) {
    if (entry.parked || entry.suspect) {
      return false;
    }
    bytes += entry.job->soon_bytes(kept_);
    choices += entry.job->open_choices();
  }
  return choices <= options_.most_choices && kept_.fits(bytes);
}

// A running request is about to compute what this one begins with.
bool Scheduler::awaits_prefix(const Ticketed& ticketed) {
  if (!ticketed.request.use_cache || ticketed.request.prompt_logprobs ||
      ticketed.request.embedding) {
    return false;
  }
  const std::span<const int32_t> prompt = ticketed.request.prompt;
  const RotationForms& forms = model_.info().forms;
  bool out = false;
  for (Entry& entry : jobs_) {
    Job& job = *entry.job;
    if (!job.prefilling() || !job.request().use_cache ||
        job.request().adapter != ticketed.request.adapter ||
        forms.of(job.request().prompt.size()) != forms.of(prompt.size()) ||
        job.request().prompt_logprobs || job.request().embedding) {
      continue;
    }
    const int common = std::min(
        common_prefix(prompt, job.request().prompt),
        static_cast<int>(prompt.size()) - 1);
    const int consumed = static_cast<int>(job.root().consumed);
    if (common > consumed &&
        common >= kept_.known(ticketed.request, prompt) + kWorthWaiting) {
      job.cut_at(common);
      out = true;
    }
  }
  return out;
}

// The oldest first, as soon as there is room; alone it always fits.
void Scheduler::unpark() {
  for (Entry& entry : jobs_) {
    if (!entry.parked) {
      continue;
    }
    const uint64_t soon = entry.job->soon_bytes(kept_);
    const bool alone =
        std::all_of(jobs_.begin(), jobs_.end(), [](const Entry& each) {
          return each.parked;
        });
    if (!alone && !kept_.fits(held_bytes() + soon)) {
      return;
    }
    entry.parked = false;
  }
}

uint64_t Scheduler::held_bytes() const {
  uint64_t sum = 0;
  for (const Entry& entry : jobs_) {
    if (!entry.parked) {
      sum += entry.job->prefilling()
                 ? entry.job->soon_bytes(kept_)
                 : entry.job->state_bytes() +
                       entry.job->open_choices() * kept_.page_bytes();
    }
  }
  return sum;
}

void Scheduler::make_room() {
  const auto runs = [](const Entry& entry) { return !entry.parked; };
  while (!kept_.fits(held_bytes()) &&
         std::count_if(jobs_.begin(), jobs_.end(), runs) > 1) {
    Entry& youngest = *std::find_if(jobs_.rbegin(), jobs_.rend(), runs);
    kept_.remember(
        youngest.job->request(),
        youngest.job->ticketed().lane,
        youngest.job->root());
    youngest.job->drop_states();
    youngest.parked = true;
    ++counts_.parked;
    spdlog::info(
        "request {} waits for memory and then goes on",
        youngest.job->ticketed().id);
  }
  kept_.make_room(held_bytes());
}

// Those with a share in the step: one alone while there are suspects, else
// who consumes a prompt in the order of their lanes, then who decodes.
std::vector<Scheduler::Entry*> Scheduler::order() {
  std::vector<Entry*> out;
  for (Entry& entry : jobs_) {
    if (entry.suspect && !entry.parked) {
      return {&entry};
    }
    if (!entry.parked) {
      out.push_back(&entry);
    }
  }
  const auto time = [this](const Entry* entry) {
    return entry->job->backlog() > 0 ? lanes_.at(entry->job->ticketed().lane)
                                     : std::numeric_limits<double>::infinity();
  };
  std::stable_sort(
      out.begin(), out.end(), [&](const Entry* left, const Entry* right) {
        return time(left) < time(right);
      });
  return out;
}

// Hidden rows and logits come of different steps, which take turns.
void Scheduler::keep_one_kind(std::vector<Entry*>& order) {
  const auto embeds = [](const Entry* entry) { return entry->job->embeds(); };
  const auto count = std::count_if(order.begin(), order.end(), embeds);
  mixed_ = count > 0 && count < static_cast<int64_t>(order.size());
  embeds_ = mixed_ ? !embeds_ : count > 0;
  std::erase_if(
      order, [&](const Entry* entry) { return embeds(entry) != embeds_; });
}

// What goes wrong in there is this request's alone.
template <typename Part>
void Scheduler::guarded(Job& job, Part part) {
  try {
    part();
  } catch (const std::exception& e) {
    spdlog::error("request {} failed: {}", job.ticketed().id, e.what());
    job.fail(
        {ErrorCode::internal, std::string("the step failed: ") + e.what()});
  }
}

void Scheduler::restore(Entry& entry) {
  Job& job = *entry.job;
  const bool first = !job.started();
  while (job.restore(kept_, model_, options_.states)) {
  }
  if (first && job.started()) {
    counts_.prompt_tokens += job.request().prompt.size();
    counts_.cached_tokens += job.cached();
  }
}

void Scheduler::give_states(const std::vector<Entry*>& order) {
  for (Entry* entry : order) {
    entry->job->leave_form();
    if (entry->job->lacks_states()) {
      guarded(*entry->job, [&] { restore(*entry); });
    }
  }
}

// Rows of logits are planned memory (Job::kScoredRows): none for guesses beside
// a prompt that is scored.
void Scheduler::draft(const std::vector<Entry*>& order) {
  drafters_.clear();
  if (!speculator_ || embeds_) {
    return;
  }
  bool alone = true;
  bool scores = false;
  for (Entry* entry : order) {
    Job& job = *entry->job;
    job.drafters(make_drafter_, drafters_);
    alone = alone && job.backlog() == 0;
    scores = scores || (job.scores() && job.prefilling());
  }
  const bool room = !scores && may_go_back(drafters_.size());
  const DraftTerms terms = speculator_->begin(drafters_, alone);
  for (Entry* entry : order) {
    guarded(
        *entry->job, [&] { entry->job->draft(room ? terms : DraftTerms{}); });
  }
  if (room) {
    speculator_->choose(drafters_);
  }
}

// States that cannot be trimmed are there twice for a step with guesses. Kept
// prompts don't go for that.
bool Scheduler::may_go_back(size_t rows) const {
  const uint64_t more = rows * kept_.fixed_bytes();
  return more == 0 || kept_.fits(held_bytes() + kept_.stats().bytes + more);
}

// Prompt tokens in the batch.
int Scheduler::plan(const std::vector<Entry*>& order, Batch& batch) {
  bool beside = mixed_;
  for (Entry* entry : order) {
    Job& job = *entry->job;
    beside = beside || (!job.prefilling() && job.backlog() == 0);
  }
  int left = pace_.chunk(beside);
  int sum = 0;
  for (Entry* entry : order) {
    Job& job = *entry->job;
    const int taken = job.plan(left, batch);
    lanes_.charge(
        job.ticketed().lane, job.inputs() > 0 ? taken + job.rows() : 0);
    left -= taken;
    sum += taken;
  }
  return sum;
}

void Scheduler::forward(
    const std::vector<Entry*>& planned, Batch& batch, int prompt) {
  int rows = 0;
  for (const Entry* entry : planned) {
    rows += entry->job->inputs() > 0 ? entry->job->rows() : 0;
  }
  const double begin = now_seconds();
  mx::array logits = embeds_ ? model_.hidden(batch) : model_.forward(batch);
  std::vector<mx::array> outputs = {logits};
  for (const SequenceInput& input : batch) {
    for (const auto& state : *input.states) {
      state->collect(outputs);
    }
  }
  mx::eval(outputs);
  if (rows > 0 && !logits.flags().row_contiguous) {
    logits = mx::contiguous(logits);
    logits.eval();
  }
  const auto width = static_cast<size_t>(
      embeds_ ? model_.info().hidden : model_.info().vocabulary);
  float* row = rows > 0 ? host_floats(logits) : nullptr;
  for (Entry* entry : planned) {
    Job& job = *entry->job;
    if (job.inputs() > 0) {
      const size_t floats = job.rows() * width;
      guarded(job, [&] { accept(job, std::span(row, floats)); });
      row += floats;
    }
    entry->suspect = entry->suspect && job.backlog() > 0;
  }
  for (const SequenceInput& input : batch) {
    counts_.consumed_tokens += input.tokens.size();
  }
  pace_.measured(prompt, embeds_ ? 0 : rows, now_seconds() - begin);
}

void Scheduler::accept(Job& job, std::span<float> rows) {
  const int generated = job.generated();
  const bool prefilling = job.prefilling();
  job.accept(rows, embeds_ ? model_.info().hidden : model_.info().vocabulary);
  counts_.generated_tokens += job.generated() - generated;
  if (prefilling && job.reached() && !job.done()) {
    // Conversations branch here, or somebody waits for it.
    kept_.remember(
        job.request(), job.ticketed().lane, job.root(), job.reached()->lasting);
  }
}

void Scheduler::failed(
    const std::vector<Entry*>& planned, const std::exception& e) {
  std::vector<Entry*> involved;
  for (Entry* entry : planned) {
    if (entry->job->inputs() > 0) {
      involved.push_back(entry);
    }
  }
  if (involved.size() == 1) {
    spdlog::error(
        "request {} failed: {}", involved[0]->job->ticketed().id, e.what());
    involved[0]->job->fail(
        {ErrorCode::internal, std::string("the step failed: ") + e.what()});
    return;
  }
  spdlog::warn(
      "a step of {} requests failed, they go on one by one: {}",
      involved.size(),
      e.what());
  for (Entry* entry : involved) {
    entry->job->drop_states();  // nobody knows how far they came
    entry->suspect = true;
  }
}

void Scheduler::close(Entry& entry) {
  Job& job = *entry.job;
  if (!job.failed()) {
    kept_.remember(job.request(), job.ticketed().lane, job.root());
  }
  lanes_.leave(job.ticketed().lane);
  const RequestId id = job.ticketed().id;
  entry.job.reset();
  ended_(id);
}

void Scheduler::close_done() {
  for (Entry& entry : jobs_) {
    if (entry.job->done()) {
      close(entry);
    }
  }
  std::erase_if(jobs_, [](const Entry& entry) { return !entry.job; });
}

void Scheduler::fail_all(const Error& error) {
  for (Entry& entry : jobs_) {
    entry.job->fail(error);
  }
  close_done();
  for (const auto& ticketed : std::exchange(waiting_, {})) {
    ticketed->sink(EngineFailed{error});
    lanes_.leave(ticketed->lane);
    ended_(ticketed->id);
  }
}

SchedulerCounts Scheduler::counts() const {
  SchedulerCounts out = counts_;
  out.speculation = speculator_ ? speculator_->counts() : SpeculationCounts();
  out.waiting = static_cast<int>(waiting_.size());
  for (const Entry& entry : jobs_) {
    ++(entry.parked ? out.waiting : out.running);
    out.state_bytes += entry.job->state_bytes();
  }
  return out;
}

}  // namespace rapid
