#include <algorithm>
#include <atomic>
#include <charconv>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "engine/replay_model.h"
#include "engine/task_thread.h"

namespace rapid {
namespace {

using Reason = EngineChoiceEnd::Reason;

class ReplayEngine final : public Engine {
 public:
  explicit ReplayEngine(std::shared_ptr<const ReplayShelf> shelf)
      : shelf_(std::move(shelf)) {
    const RecordedModel& about = shelf_->at(shelf_->size() - 1).model;
    info_.architecture = about.architecture;
    info_.device = "replay";
    info_.vocabulary = about.vocabulary;
    info_.context_length = about.context_length;
    info_.model_context_length = about.context_length;
    info_.adapters = about.adapters;
    info_.parameters = about.parameters;
    info_.weight_bytes = about.weight_bytes;
  }

  const EngineInfo& info() const override { return info_; }

  RequestId submit(GenerateRequest request, EngineSink sink) override {
    const RequestId id = ++last_id_;
    thread_.push([this, id, request = std::move(request), sink] {
      const auto run = find(request);
      if (!run) {
        sink(EngineFailed{
            {ErrorCode::not_found,
             "the recording ends here: it has no such continuation",
             "record the request again with this version"}});
      } else {
        tell(*run, id, sink);
      }
    });
    return id;
  }

  void cancel(RequestId id, int choice) override {
    std::lock_guard lock(mutex_);
    cancelled_.insert({id, choice});
  }

  EngineStats stats() const override { return {}; }

 private:
  // The first run of its kind that this request has not had yet.
  std::optional<RecordedRun> find(const GenerateRequest& request) {
    int number = -1;
    const std::string& lane = request.lane;
    std::from_chars(lane.data(), lane.data() + lane.size(), number);
    if (number < 0 || number >= shelf_->size()) {
      return std::nullopt;
    }
    std::set<size_t>& used = used_[request.origin];
    const auto& runs = shelf_->at(number).runs;
    for (size_t i = 0; i < runs.size(); ++i) {
      const GenerateRequest& recorded = runs[i].request;
      const bool fits =
          request.resume
              ? recorded.resume &&
                    recorded.resume->choice == request.resume->choice
              : !recorded.resume && recorded.prompt == request.prompt;
      if (fits && used.insert(i).second) {
        return runs[i];
      }
    }
    return shelf_->is_script() ? rest_of(runs.at(0), request) : std::nullopt;
  }

  // A writer of scripts knows nothing of detours: what was written goes on.
  static std::optional<RecordedRun> rest_of(
      const RecordedRun& run, const GenerateRequest& request) {
    if (!request.resume) {
      return std::nullopt;
    }
    RecordedRun out = run;
    std::vector<int32_t>& tokens = out.choices.at(0).tokens;
    const auto answered = static_cast<size_t>(request.resume->answered);
    if (answered > tokens.size() || answered > request.prompt.size() ||
        !std::equal(
            tokens.begin(),
            tokens.begin() + answered,
            request.prompt.end() - answered)) {
      return std::nullopt;
    }
    tokens.erase(tokens.begin(), tokens.begin() + answered);
    return out;
  }

  bool is_cancelled(RequestId id, int choice) {
    std::lock_guard lock(mutex_);
    return cancelled_.contains({id, -1}) || cancelled_.contains({id, choice});
  }

  void tell(const RecordedRun& run, RequestId id, const EngineSink& sink) {
    if (run.prefilled) {
      sink(*run.prefilled);
    }
    size_t longest = 0;
    for (const RecordedChoice& choice : run.choices) {
      longest = std::max(longest, choice.tokens.size());
    }
    int generated = 0;
    for (size_t i = 0; i <= longest; ++i) {
      for (size_t c = 0; c < run.choices.size(); ++c) {
        if (i < run.choices[c].tokens.size()) {
          give(run.choices[c], static_cast<int>(c), i, sink);
          ++generated;
        } else if (i == run.choices[c].tokens.size()) {
          end(run, static_cast<int>(c), id, sink);
        }
      }
    }
    if (run.error) {
      sink(EngineFailed{*run.error});
    } else {
      sink(EngineDone{0, 0, generated});
    }
  }

  static void give(
      const RecordedChoice& choice,
      int number,
      size_t index,
      const EngineSink& sink) {
    EngineToken token{number, choice.tokens[index], {}};
    if (index < choice.logprobs.size()) {
      token.logprob = choice.logprobs[index];
    }
    sink(token);
  }

  void end(
      const RecordedRun& run,
      int number,
      RequestId id,
      const EngineSink& sink) {
    const RecordedChoice& choice = run.choices[static_cast<size_t>(number)];
    if (!choice.end && run.error) {
      return;  // it was in the middle of it
    }
    if (is_cancelled(id, number)) {
      return sink(EngineChoiceEnd{number, Reason::cancelled, -1});
    }
    sink(EngineChoiceEnd{
        number, choice.end.value_or(Reason::length), choice.end_token});
  }

  std::shared_ptr<const ReplayShelf> shelf_;
  EngineInfo info_;
  std::atomic<RequestId> last_id_ = 0;
  std::mutex mutex_;
  std::set<std::pair<RequestId, int>> cancelled_;
  // Only the thread's: what requests of the front have had.
  std::map<uint64_t, std::set<size_t>> used_;
  TaskThread thread_;  // last: its tasks use the rest
};

}  // namespace

std::shared_ptr<Engine> replay_engine(
    std::shared_ptr<const ReplayShelf> shelf) {
  return std::make_shared<ReplayEngine>(std::move(shelf));
}

}  // namespace rapid
