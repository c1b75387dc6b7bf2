// Job: several tokens of a choice in a step (speculation).
#include <algorithm>

#include "engine/mlx_job.h"

namespace rapid {

void Job::drafters(const DrafterMaker& make, std::vector<Drafter*>& rows) {
  if (!branched_ || done_) {
    return;
  }
  for (Branch& branch : branches_) {
    if (branch.open && branch.decodes()) {
      if (!branch.drafter) {
        branch.drafter = make(request().prediction);
      }
      rows.push_back(branch.drafter.get());
    }
  }
}

void Job::draft(const DraftTerms& terms) {
  if (!branched_ || done_) {
    return;
  }
  for (Branch& branch : branches_) {
    if (branch.open && branch.decodes() && branch.drafter) {
      const auto& tokens = branch.sequence.tokens;
      // The token behind the last guess comes with it. All that a step
      // consumes of a sequence has one form.
      branch.drafter->draft(
          tokens,
          std::min(
              limits_.max_tokens - branch.generated - 1,
              limits_.forms.room(tokens.size())),
          terms,
          branch.forced);
    }
  }
}

bool Job::add_guesses(int choice, std::vector<SequenceInput>& batch) {
  Branch& branch = branches_[choice];
  if (!branch.drafter || branch.drafter->kept().empty() || !branch.decodes()) {
    return false;
  }
  const auto kept = branch.drafter->kept();
  const int count = 1 + static_cast<int>(kept.size());
  branch.step.assign(1, branch.sequence.tokens.back());
  branch.step.insert(branch.step.end(), kept.begin(), kept.end());
  branch.sequence.keep_way_back(count);
  batch.push_back(
      {branch.step,
       &branch.sequence.states,
       SequenceInput::Logits::all,
       ticketed_->adapter});
  planned_.push_back({choice, count, count, count - 1});
  rows_ += count;
  return true;
}

// Row i is what plain decode would have got, as long as the guesses before it
// are the tokens that were drawn. So each token is drawn as ever, and the first
// that is not the guess ends it; what the states took too much goes back.
void Job::accept_guesses(
    const Planned& each, std::span<float> rows, int width) {
  Branch& branch = branches_[each.choice];
  Sequence& sequence = branch.sequence;
  drafted_ += each.guesses;  // before sample() may tell it
  int taken = 0;
  bool right = true;
  while (right && branch.open && !done_) {
    ++sequence.consumed;
    sample(
        each.choice, rows.subspan(static_cast<size_t>(taken) * width, width));
    ++taken;
    right = taken < each.count &&
            sequence.tokens.back() == branch.step[static_cast<size_t>(taken)] &&
            !ticketed_->cancelled && !ticketed_->cancelled_choices[each.choice];
    accepted_ += right ? 1 : 0;
  }
  if (taken < each.count) {
    sequence.take_back(each.count - taken);
  }
  sequence.keep_way_back(0);
}

}  // namespace rapid
