#include "engine/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace rapid {
namespace {

using Reason = EngineChoiceEnd::Reason;

struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<RecordedChoice> choices;
  std::optional<Error> error;
  bool over = false;

  void note(const EngineEvent& event) {
    std::lock_guard lock(mutex);
    if (const auto* token = std::get_if<EngineToken>(&event)) {
      choices.at(static_cast<size_t>(token->choice))
          .tokens.push_back(token->token);
    } else if (const auto* end = std::get_if<EngineChoiceEnd>(&event)) {
      auto& choice = choices.at(static_cast<size_t>(end->choice));
      choice.end = end->reason;
      choice.end_token = end->end_token;
    } else if (const auto* failed = std::get_if<EngineFailed>(&event)) {
      error = failed->error;
      over = true;
    } else if (std::holds_alternative<EngineDone>(event)) {
      over = true;
    }
    changed.notify_all();
  }
};

// Its end was the engine's own, not a stop string's or the client's.
bool ended_itself(const RecordedChoice& choice) {
  return choice.end && *choice.end != Reason::cancelled;
}

// No more than was recorded.
int tokens_of(const RecordedRun& run) {
  size_t most = 0;
  for (const RecordedChoice& choice : run.choices) {
    if (ended_itself(choice)) {
      return run.request.max_tokens;
    }
    most = std::max(most, choice.tokens.size());
  }
  return static_cast<int>(most);
}

Result<std::vector<RecordedChoice>> run_again(
    Engine& engine,
    const RecordedRun& run,
    const std::function<bool()>& stopped) {
  auto heard = std::make_shared<Heard>();
  heard->choices.resize(run.choices.size());
  GenerateRequest request = run.request;
  request.max_tokens = tokens_of(run);
  request.lane.clear();
  const RequestId id = engine.submit(
      std::move(request),
      [heard](const EngineEvent& event) { heard->note(event); });
  std::unique_lock lock(heard->mutex);
  while (!heard->over) {
    heard->changed.wait_for(lock, std::chrono::milliseconds(100));
    if (!heard->over && stopped()) {
      lock.unlock();
      engine.cancel(id);
      return Error{ErrorCode::cancelled, "stopped"};
    }
  }
  if (heard->error) {
    return *heard->error;
  }
  return heard->choices;
}

// "" when they are the same as far as the recording goes.
std::string difference(
    const RecordedChoice& recorded, const RecordedChoice& now) {
  const size_t common = std::min(recorded.tokens.size(), now.tokens.size());
  for (size_t i = 0; i < common; ++i) {
    if (recorded.tokens[i] != now.tokens[i]) {
      return fmt::format(
          "token {}: {}, recorded {}", i, now.tokens[i], recorded.tokens[i]);
    }
  }
  if (now.tokens.size() < recorded.tokens.size()) {
    return fmt::format(
        "ends at token {}, recorded {}", common, recorded.tokens.size());
  }
  if (!ended_itself(recorded)) {
    return "";
  }
  if (now.tokens.size() > common || now.end != recorded.end ||
      now.end_token != recorded.end_token) {
    return fmt::format("token {}: does not end as recorded", common);
  }
  return "";
}

}  // namespace

Result<ReplayResult> replay(
    Engine& engine,
    const Recording& recording,
    const std::function<bool()>& stopped) {
  ReplayResult out;
  for (const RecordedRun& run : recording.runs) {
    const int number = out.runs++;
    auto now = run_again(engine, run, stopped);
    if (!now && run.error && now.error().code == run.error->code) {
      continue;  // refused then, refused now
    }
    if (!now) {
      return now.error();
    }
    for (size_t i = 0; i < run.choices.size(); ++i) {
      out.tokens += static_cast<int>(run.choices[i].tokens.size()) +
                    (run.choices[i].end_token >= 0 ? 1 : 0);
      const std::string what = difference(run.choices[i], (*now)[i]);
      if (!what.empty() && out.same) {
        out.same = false;
        out.difference = fmt::format("run {}, choice {}, {}", number, i, what);
      }
    }
  }
  return out;
}

}  // namespace rapid
