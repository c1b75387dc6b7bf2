#include "speculation/ngram_proposer.h"

#include <algorithm>
#include <array>

namespace rapid {

NgramProposer::NgramProposer(std::span<const int32_t> known)
    : tokens_(known.begin(), known.end()), known_(known.size()) {}

uint8_t NgramProposer::kind(int matched) {
  constexpr std::array kUpTo = {3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
  const auto at = std::ranges::lower_bound(kUpTo, matched);
  return static_cast<uint8_t>(at - kUpTo.begin());
}

Draft NgramProposer::propose(
    std::span<const int32_t> tokens, int most, const DraftTerms&) {
  take(tokens);
  Draft out;
  const size_t size = tokens_.size();
  if (most <= 0 || size < kLeast) {
    return out;
  }
  int best = 0;
  size_t source = 0;
  int32_t place = heads_[slot(size)];
  for (int i = 0; i < kTries && place >= 0 && best < kLongest; ++i) {
    const int length = matched(static_cast<size_t>(place));
    if (length > best) {
      best = length;
      source = static_cast<size_t>(place);
    }
    place = earlier_[static_cast<size_t>(place)];
  }
  if (best < kLeast) {
    return out;
  }
  for (int i = 0; i < most; ++i) {
    const size_t from = source + static_cast<size_t>(i);
    out.tokens.push_back(from < size ? tokens_[from] : out.tokens[from - size]);
    out.kinds.push_back(kind(best + i));
  }
  return out;
}

// Tokens that end right before both the place and the end of the row.
int NgramProposer::matched(size_t place) const {
  const size_t size = tokens_.size();
  const int most = static_cast<int>(std::min<size_t>(place, kLongest));
  int length = 0;
  while (length < most && tokens_[place - 1 - static_cast<size_t>(length)] ==
                              tokens_[size - 1 - static_cast<size_t>(length)]) {
    ++length;
  }
  return length;
}

void NgramProposer::take(std::span<const int32_t> tokens) {
  if (tokens.size() < tokens_.size() - known_) {  // another row
    tokens_.resize(known_);
    heads_.clear();
    earlier_.clear();
  }
  const auto rest = tokens.subspan(tokens_.size() - known_);
  tokens_.insert(tokens_.end(), rest.begin(), rest.end());
  grow();
  // The row's end is no place yet: nothing stands behind it.
  for (size_t place = earlier_.size(); place < tokens_.size(); ++place) {
    index(place);
  }
}

void NgramProposer::grow() {
  size_t wanted = std::max<size_t>(heads_.size(), 256);
  while (wanted < tokens_.size()) {
    wanted *= 2;
  }
  if (wanted != heads_.size()) {
    heads_.assign(wanted, -1);
    earlier_.clear();
    earlier_.reserve(wanted);
    tokens_.reserve(wanted);
  }
}

// Of the kLeast tokens before `end`.
size_t NgramProposer::slot(size_t end) const {
  uint64_t hash = 0;
  for (size_t i = end - kLeast; i < end; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens_[i])) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash & (heads_.size() - 1);
}

void NgramProposer::index(size_t place) {
  earlier_.push_back(-1);
  if (place >= kLeast) {
    int32_t& head = heads_[slot(place)];
    earlier_.back() = head;
    head = static_cast<int32_t>(place);
  }
}

}  // namespace rapid
