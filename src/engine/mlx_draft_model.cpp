#include "engine/mlx_draft_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "engine/text_codec.h"
#include "hub/model_files.h"
#include "kernels/host_floats.h"
#include "sampling/sampler.h"
#include "speculation/ngram_proposer.h"

namespace rapid {
namespace {

constexpr double kNewest = 0.2;
// From this length of a match on, text is a better guess than a model's.
constexpr int kLongMatch = 6;
// Kinds of a model's guesses, behind those of matches.
constexpr int kFirstKind = 11;

uint8_t kind_of(float probability) {
  const int step = probability < 0.4f   ? 0
                   : probability < 0.7f ? 1
                   : probability < 0.9f ? 2
                                        : 3;
  return static_cast<uint8_t>(kFirstKind + step);
}

}  // namespace

// The model's own memory of one row.
class DraftModel::Row final : public Proposer {
 public:
  Row(DraftModel& owner, std::unique_ptr<Proposer> first)
      : owner_(owner), first_(std::move(first)) {}

  Draft propose(
      std::span<const int32_t> tokens,
      int most,
      const DraftTerms& terms) override {
    learn(tokens);
    spent_ = 0;
    Draft found = first_->propose(tokens, most, terms);
    if (broken_ || most <= 0 || tokens.empty() ||
        (!found.kinds.empty() &&
         found.kinds.front() >= NgramProposer::kind(kLongMatch)) ||
        cost(way(tokens)) > terms.budget || !pays(1, right_, terms) ||
        (!taken_ && owner_.rows_ >= owner_.most_rows_)) {
      return found;
    }
    const double begin = now_seconds();
    Draft out;
    try {
      out = think(tokens, most, terms);
    } catch (const std::exception& e) {
      spdlog::warn("the draft model guesses no more for a row: {}", e.what());
      held_.drop();
      broken_ = true;
    }
    spent_ = now_seconds() - begin;
    return out;
  }
  ~Row() override { owner_.rows_ -= taken_ ? 1 : 0; }
  double spent() const override { return spent_; }

 private:
  // How the row's tokens get in: behind `keep` of those held, or anew.
  struct Way {
    bool anew = true;
    size_t keep = 0;
    size_t read = 0;
  };
  Way way(std::span<const int32_t> tokens) const {
    if (!held_.states.empty() && tokens.size() > start_) {
      const auto row = tokens.subspan(start_);
      const auto known = held_.known();
      const auto same = static_cast<size_t>(
          std::mismatch(known.begin(), known.end(), row.begin(), row.end())
              .first -
          known.begin());
      // The last one is read again: it gives the guess.
      const size_t keep = std::min(same, row.size() - 1);
      const size_t left = row.size() - keep;
      if (left <= kRead && row.size() <= kMostHeld) {
        return {false, keep, left};
      }
    }
    return {true, 0, std::min<size_t>(tokens.size(), kRead)};
  }
  double cost(const Way& way) const {
    return way.read == 1 ? owner_.token_seconds_
                         : static_cast<double>(way.read) * owner_.read_seconds_;
  }
  // One guess more, where all before it are right with `sofar`.
  bool pays(double sofar, double chance, const DraftTerms& terms) const {
    return sofar * chance * terms.plain_seconds >
           owner_.token_seconds_ + terms.guess_seconds;
  }

  // What it said last time, and what came.
  void learn(std::span<const int32_t> tokens) {
    if (said_.empty() || tokens.size() <= said_at_) {
      return;
    }
    const bool right = tokens[said_at_] == said_.front();
    right_ += 0.1 * ((right ? 1 : 0) - right_);
    said_.clear();
  }

  std::span<const int32_t> go(std::span<const int32_t> tokens, const Way& way) {
    if (!way.anew) {
      held_.take_back(static_cast<int>(held_.consumed - way.keep));
    }
    if (way.anew || held_.states.empty()) {
      owner_.rows_ += taken_ ? 0 : 1;
      taken_ = true;
      held_ = owner_.begin();
      start_ = tokens.size() - std::min<size_t>(tokens.size(), kRead);
      return tokens.subspan(start_);
    }
    held_.tokens.resize(way.keep);
    held_.consumed = way.keep;
    return tokens.last(way.read);
  }

  Draft think(
      std::span<const int32_t> tokens, int most, const DraftTerms& terms) {
    const double begin = now_seconds();
    Draft out;
    double sofar = 1;
    Guess guess = owner_.forward(held_, go(tokens, way(tokens)));
    while (guess.token < owner_.vocabulary_) {
      out.tokens.push_back(guess.token);
      out.kinds.push_back(kind_of(guess.probability));
      sofar *= guess.probability;
      const double thought = now_seconds() - begin + owner_.token_seconds_;
      if (static_cast<int>(out.tokens.size()) >= most ||
          thought > terms.budget || !pays(sofar, 1, terms)) {
        break;
      }
      guess = owner_.forward(held_, std::span(&out.tokens.back(), 1));
    }
    said_ = out.tokens;
    said_at_ = tokens.size();
    return out;
  }

  DraftModel& owner_;
  std::unique_ptr<Proposer> first_;
  Sequence held_;       // tokens from start_ on, and guesses
  size_t start_ = 0;    // of the row's tokens
  bool taken_ = false;  // one of the owner's rows
  std::vector<int32_t> said_;
  size_t said_at_ = 0;
  bool broken_ = false;
  double right_ = 0.7;  // its first guess, lately
  double spent_ = 0;
};

DraftModel::DraftModel(
    std::unique_ptr<Model> model,
    const StateOptions& states,
    int vocabulary,
    int most_rows)
    : model_(std::move(model)),
      states_(states),
      vocabulary_(vocabulary),
      most_rows_(most_rows) {
  // Guesses that were wrong are taken back, of whatever kind of state.
  states_.rewind_tokens = Drafter::kMost + 1;
  const std::vector<int32_t> some(64, 0);
  for (int i = 0; i < 2; ++i) {  // the first pass warms up
    Sequence row = begin();
    double begin = now_seconds();
    forward(row, some);
    read_seconds_ = (now_seconds() - begin) / static_cast<double>(some.size());
    begin = now_seconds();
    forward(row, std::span(some).first(1));
    token_seconds_ = now_seconds() - begin;
    row_bytes_ = state_cost(row.states).bytes(kMostHeld + Drafter::kMost);
  }
}

Sequence DraftModel::begin() const {
  Sequence out;
  out.states = model_->make_states(states_);
  return out;
}

DraftModel::Guess DraftModel::forward(
    Sequence& row, std::span<const int32_t> tokens) {
  const double begin = now_seconds();
  row.tokens.insert(row.tokens.end(), tokens.begin(), tokens.end());
  const SequenceInput input{
      std::span<const int32_t>(row.tokens).last(tokens.size()), &row.states};
  mx::array logits = model_->forward(std::span(&input, 1));
  std::vector<mx::array> outputs = {logits};
  for (const auto& state : row.states) {
    state->collect(outputs);
  }
  mx::eval(outputs);
  if (!logits.flags().row_contiguous) {
    logits = mx::contiguous(logits);
    logits.eval();
  }
  row.consumed += tokens.size();
  const auto width = static_cast<size_t>(model_->info().vocabulary);
  const auto best = std::span(host_floats(logits), width);
  Sampler sampler({.temperature = 0}, 0, {});
  Guess out;
  out.token = sampler.sample(best, 0);
  out.probability = std::exp(row_logprobs(best, out.token, 0).logprob);
  if (tokens.size() == 1 && token_seconds_ > 0) {
    token_seconds_ += kNewest * (now_seconds() - begin - token_seconds_);
  }
  return out;
}

std::unique_ptr<Proposer> DraftModel::proposer(
    std::unique_ptr<Proposer> first) {
  return std::make_unique<Row>(*this, std::move(first));
}

Status same_vocabulary(
    const std::string& draft_path, const std::string& model_path) {
  RAPID_TRY(auto draft_files, ModelFiles::open(draft_path));
  RAPID_TRY(auto files, ModelFiles::open(model_path));
  RAPID_TRY(const auto draft, open_tokenizer(*draft_files));
  RAPID_TRY(const auto model, open_tokenizer(*files));
  const auto other = [&](const std::string& how) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} cannot guess for {}: {}", draft_path, model_path, how),
        "a draft model must have the vocabulary of the model that answers",
        "draft"};
  };
  if (draft->size() != model->size()) {
    return other(
        fmt::format("it has {} tokens, not {}", draft->size(), model->size()));
  }
  for (int32_t id = 0; id < model->size(); ++id) {
    if (draft->token_bytes(id) != model->token_bytes(id)) {
      return other(fmt::format(
          "token {} is \"{}\", not \"{}\"",
          id,
          draft->token_bytes(id),
          model->token_bytes(id)));
    }
  }
  return {};
}

}  // namespace rapid
