#include "engine/open_request.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace rapid {

OpenRequest::OpenRequest(GenerateRequest request, EngineSink sink)
    : request_(std::move(request)),
      sink_(std::move(sink)),
      choices_(std::max(request_.choices, 1)) {}

std::vector<OpenRequest::Part> OpenRequest::parts() {
  std::vector<Part> out;
  if (!prefilled_) {
    out.push_back({kWhole, request_});
  } else {
    for (size_t c = 0; c < choices_.size(); ++c) {
      if (!choices_[c].ended) {
        out.push_back(resumed(static_cast<int>(c)));
      }
    }
  }
  parts_left_ = static_cast<int>(out.size());
  return out;
}

OpenRequest::Part OpenRequest::resumed(int choice) const {
  const std::vector<int32_t>& tokens = choices_[choice].tokens;
  const int count = static_cast<int>(tokens.size());
  Part out{choice, request_};
  GenerateRequest& next = out.request;
  next.choices = 1;
  next.prompt_logprobs.reset();
  next.prompt.insert(next.prompt.end(), tokens.begin(), tokens.end());
  // With nothing left it still says how the choice ends.
  next.max_tokens = std::max(0, next.max_tokens - count);
  Resumption resume =
      request_.resume.value_or(Resumption{.choice = choice, .answered = 0});
  resume.answered += count;
  resume.grammar_replay += count;
  next.resume = resume;
  return out;
}

void OpenRequest::on(int part, const EngineEvent& event) {
  if (!over_) {
    std::visit([&](const auto& each) { on_part(part, each); }, event);
  }
}

int OpenRequest::choice_of(int part, int choice) const {
  const int out = part == kWhole ? choice : part;
  const bool open = out >= 0 && static_cast<size_t>(out) < choices_.size() &&
                    !choices_[out].ended;
  return open ? out : -1;
}

void OpenRequest::on_part(int part, const EngineProgress& event) {
  if (part == kWhole && !prefilled_ && event.done > told_) {
    told_ = event.done;
    progressed_ = true;
    sink_(event);
  }
}

void OpenRequest::on_part(int part, const EnginePrefilled& event) {
  if (part == kWhole && !prefilled_) {
    prefilled_ = true;
    prefill_seconds_ = event.seconds;
    sink_(event);
  }
}

void OpenRequest::on_part(int part, const EngineToken& event) {
  const int choice = choice_of(part, event.choice);
  if (choice < 0) {
    return;
  }
  choices_[choice].tokens.push_back(event.token);
  ++generated_;
  progressed_ = true;
  last_token_ = now_seconds();
  first_token_ = first_token_ == 0 ? last_token_ : first_token_;
  sink_(EngineToken{choice, event.token, event.logprob});
}

void OpenRequest::on_part(int part, const EngineChoiceEnd& event) {
  if (const int choice = choice_of(part, event.choice); choice >= 0) {
    end(choice, event);
  }
}

void OpenRequest::end(int choice, EngineChoiceEnd end) {
  choices_[choice].ended = true;
  generated_ += end.end_token >= 0 ? 1 : 0;
  end.choice = choice;
  sink_(end);
}

void OpenRequest::on_part(int part, const EngineDone& event) {
  if (part == kWhole) {
    over_ = true;
    sink_(event);
  } else {
    drafted_ += event.drafted;
    accepted_ += event.accepted;
    part_ended();
  }
}

void OpenRequest::part_ended() {
  if (--parts_left_ == 0) {
    finish();
  }
}

void OpenRequest::finish() {
  over_ = true;
  sink_(EngineDone{
      prefill_seconds_,
      last_token_ - first_token_,
      generated_,
      drafted_,
      accepted_});
}

void OpenRequest::on_part(int part, const EngineFailed& event) {
  // Where memory ended the choice to be, it ends.
  const bool full = part != kWhole && request_.may_shorten &&
                    event.error.code == ErrorCode::too_large;
  if (!full) {
    return fail(event.error);
  }
  end(part, {part, EngineChoiceEnd::Reason::length, -1});
  part_ended();
}

void OpenRequest::cancel(int choice) {
  for (int c = 0; c < static_cast<int>(choices_.size()); ++c) {
    choices_[c].cancelled |= choice < 0 || choice == c;
  }
}

void OpenRequest::fail(const Error& error) {
  if (!std::exchange(over_, true)) {
    sink_(EngineFailed{error});
  }
}

void OpenRequest::end_cancelled() {
  const auto gone = [](const Choice& each) {
    return each.ended || each.cancelled;
  };
  const bool all = std::all_of(choices_.begin(), choices_.end(), gone);
  // Before the prompt is in, choices end together (Job::honour_cancels).
  if (over_ || (!prefilled_ && !all)) {
    return;
  }
  for (int c = 0; c < static_cast<int>(choices_.size()); ++c) {
    if (choices_[c].cancelled && !choices_[c].ended) {
      end(c, {c, EngineChoiceEnd::Reason::cancelled, -1});
    }
  }
  if (all) {
    finish();
  }
}

void OpenRequest::engine_died() {
  died_ = true;
  fruitless_deaths_ = progressed_ ? 1 : fruitless_deaths_ + 1;
  progressed_ = false;
  end_cancelled();
}

}  // namespace rapid
