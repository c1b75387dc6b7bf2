#include <algorithm>
#include <limits>
#include <utility>

#include "engine/choice_grammar.h"

namespace rapid {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void forbid(std::span<const uint32_t> bits, std::span<float> row) {
  for (size_t w = 0; w * 32 < row.size(); ++w) {
    const uint32_t word = w < bits.size() ? bits[w] : 0;
    const size_t begin = w * 32;
    const size_t end = std::min(begin + 32, row.size());
    if (word == 0) {
      std::fill(row.begin() + begin, row.begin() + end, kForbidden);
    } else if (word != ~0u) {
      for (size_t i = begin; i < end; ++i) {
        row[i] = (word >> (i - begin) & 1) != 0 ? row[i] : kForbidden;
      }
    }
  }
}

}  // namespace

ChoiceGrammar::ChoiceGrammar(
    std::shared_ptr<const Grammar> grammar,
    std::vector<int32_t> after,
    std::vector<int32_t> end_tokens,
    TaskThread& masks)
    : state_(grammar),
      after_(std::move(after)),
      end_tokens_(std::move(end_tokens)),
      masks_(&masks),
      free_(!after_.empty()),
      bits_(grammar->vocabulary().mask_words()) {
  const auto& ends = grammar->vocabulary().end_tokens();
  if (free_) {
    // These end a turn even where the request does not list them.
    end_tokens_.insert(end_tokens_.end(), ends.begin(), ends.end());
  }
}

ChoiceGrammar::ChoiceGrammar(const ChoiceGrammar& other, GrammarState state)
    : state_(std::move(state)),
      after_(other.after_),
      end_tokens_(other.end_tokens_),
      masks_(other.masks_),
      tail_(other.tail_),
      free_(other.free_),
      ready_(other.ready_),
      filled_(other.filled_),
      bits_(other.bits_) {}

std::unique_ptr<ChoiceGrammar> ChoiceGrammar::clone() {
  wait();
  return std::unique_ptr<ChoiceGrammar>(
      new ChoiceGrammar(*this, state_.clone()));
}

void ChoiceGrammar::wait() {
  if (pending_.valid()) {
    pending_.get();
  }
}

void ChoiceGrammar::fill() {
  filled_ = state_.fill_mask(bits_);
  const bool accepting = filled_ && state_.accepting();
  for (const int32_t end : end_tokens_) {
    if (end < 0 || static_cast<size_t>(end) >= bits_.size() * 32) {
      continue;
    }
    const uint32_t bit = 1u << (end % 32);
    uint32_t& word = bits_[end / 32];
    word = accepting ? word | bit : word & ~bit;
  }
  ready_ = true;
}

void ChoiceGrammar::prepare() {
  if (free_ || ready_ || pending_.valid()) {
    return;
  }
  auto task = std::make_shared<std::packaged_task<void()>>([this] { fill(); });
  pending_ = task->get_future();
  masks_->push([task] { (*task)(); });
}

Status ChoiceGrammar::constrain(std::span<float> row) {
  if (free_) {
    for (const int32_t end : end_tokens_) {
      if (end >= 0 && static_cast<size_t>(end) < row.size()) {
        row[end] = kForbidden;
      }
    }
    return {};
  }
  prepare();
  wait();
  if (filled_) {
    forbid(bits_, row);
  }
  return filled_;
}

Status ChoiceGrammar::accept(int32_t token) {
  wait();
  ready_ = false;
  if (!free_) {
    return state_.accept(token);
  }
  tail_.push_back(token);
  if (tail_.size() > after_.size()) {
    tail_.erase(tail_.begin());
  }
  free_ = tail_ != after_;
  return {};
}

std::vector<int32_t> ChoiceGrammar::forced() {
  wait();
  return free_ ? std::vector<int32_t>() : state_.forced();
}

bool ChoiceGrammar::ended() {
  wait();
  return !free_ && state_.stopped();
}

}  // namespace rapid
