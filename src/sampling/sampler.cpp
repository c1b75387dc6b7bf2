#include "sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sampling/philox.h"
#include "simd/simd.h"

namespace rapid {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// First index of the largest value that is not NaN; 0 when there is none.
// The lanes let the compiler use vector maxima; a NaN never wins.
int32_t best(std::span<const float> logits) {
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> lanes;
  lanes.fill(kMinusInfinity);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
    }
  }
  for (; i < logits.size(); ++i) {
    lanes[0] = logits[i] > lanes[0] ? logits[i] : lanes[0];
  }
  const float max = *std::max_element(lanes.begin(), lanes.end());
  const auto found = std::find(logits.begin(), logits.end(), max);
  return found == logits.end() ? 0
                               : static_cast<int32_t>(found - logits.begin());
}

// Of exp((x - max) * scale) over the row.
double exp_sum(std::span<const float> row, float max, float scale) {
  return kernel_table().exp_sum(
      row.data(), static_cast<int64_t>(row.size()), max, scale);
}

// Higher logit first, then lower id: a total order, so cuts are reproducible.
bool before(
    const std::pair<float, int32_t>& a, const std::pair<float, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

float uniform_draw(uint64_t seed, uint64_t choice, uint64_t position) {
  const auto words = philox4x32(
      {static_cast<uint32_t>(position),
       static_cast<uint32_t>(position >> 32),
       static_cast<uint32_t>(choice),
       static_cast<uint32_t>(choice >> 32)},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return static_cast<float>(words[0] >> 8) * 0x1p-24f;
}

Sampler::Sampler(
    SamplingOptions options, uint64_t choice, std::span<const int32_t> prompt)
    : options_(std::move(options)), choice_(choice) {
  for (const int32_t token : prompt) {
    see(token);
  }
}

void Sampler::see(int32_t token) {
  if (options_.repetition_penalty == 1.0f || token < 0) {
    return;
  }
  if (static_cast<size_t>(token) >= seen_.size()) {
    seen_.resize(token + 1);
  }
  if (!seen_[token]) {
    seen_[token] = true;
    seen_ids_.push_back(token);
  }
}

void Sampler::accept(int32_t token) {
  see(token);
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) {
    ++output_counts_[token];
  }
}

void Sampler::apply_bias(std::span<float> logits) const {
  for (const auto& [id, bias] : options_.logit_bias) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) {
      logits[id] += bias;
    }
  }
}

void Sampler::apply_penalties(std::span<float> logits) const {
  for (const int32_t id : seen_ids_) {
    if (static_cast<size_t>(id) < logits.size()) {
      float& x = logits[id];
      x = x > 0 ? x / options_.repetition_penalty
                : x * options_.repetition_penalty;
    }
  }
  for (const auto& [id, count] : output_counts_) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) {
      logits[id] -= options_.presence_penalty +
                    options_.frequency_penalty * static_cast<float>(count);
    }
  }
}

bool Sampler::cuts() const {
  return options_.top_k > 0 || options_.top_p < 1 || options_.min_p > 0;
}

int32_t Sampler::sample(std::span<float> logits, uint64_t position) {
  // Only a bias or a penalty can ban what was finite, so the raw best is
  // needed only when there is one.
  const bool changes = !options_.logit_bias.empty() || !seen_ids_.empty() ||
                       !output_counts_.empty();
  const int32_t fallback = changes ? best(logits) : 0;
  if (changes) {
    apply_bias(logits);
    apply_penalties(logits);
  }
  const int32_t top = best(logits);
  const float max = logits[top];
  if (!(max > kMinusInfinity)) {
    return fallback;
  }
  if (!(options_.temperature > 0) || std::isinf(max)) {
    return top;
  }
  const float u = uniform_draw(options_.seed, choice_, position);
  return cuts() ? draw_cut(logits, max, u) : draw_any(logits, max, u);
}

// Inverse of the cumulative distribution, in id order: first the block of ids
// that holds the target, then the id. NaN and -inf weigh 0: exp of a NaN never
// compares above 0.
int32_t Sampler::draw_any(
    std::span<const float> logits, float max, float u) const {
  constexpr size_t kBlock = 4096;
  const float scale = 1.0f / options_.temperature;
  std::vector<double> sums;
  double total = 0;
  for (size_t at = 0; at < logits.size(); at += kBlock) {
    const size_t count = std::min(kBlock, logits.size() - at);
    sums.push_back(exp_sum(logits.subspan(at, count), max, scale));
    total += sums.back();
  }
  const double target = u * total;
  double sum = 0;
  int32_t last = 0;
  for (size_t b = 0; b < sums.size(); ++b) {
    // Rounding may leave the target just beyond its block: then the next.
    if (sums[b] <= 0 || (sum + sums[b] <= target && b + 1 < sums.size())) {
      sum += sums[b];
      continue;
    }
    const size_t end = std::min((b + 1) * kBlock, logits.size());
    for (size_t i = b * kBlock; i < end; ++i) {
      const float w = std::exp((logits[i] - max) * scale);
      if (w > 0) {
        last = static_cast<int32_t>(i);
        sum += w;
        if (sum > target) {
          return last;
        }
      }
    }
  }
  return last;
}

int32_t Sampler::draw_cut(std::span<const float> logits, float max, float u) {
  const float scale = 1.0f / options_.temperature;
  if (options_.top_k > 0) {
    collect_top_k(logits, max);
  } else if (options_.top_p < 1) {
    collect_nucleus(logits, max);
  } else {
    // min_p alone: p >= min_p * p_max is a threshold on the logit.
    collect(logits, max + std::log(options_.min_p) * options_.temperature);
  }
  if (options_.min_p > 0) {
    const float limit = std::log(options_.min_p);
    std::erase_if(candidates_, [&](const Candidate& c) {
      return c.first < max && (c.first - max) * scale < limit;
    });
  }
  double total = 0;
  for (const auto& [logit, id] : candidates_) {
    total += std::exp((logit - max) * scale);
  }
  const double target = u * total;
  double sum = 0;
  for (const auto& [logit, id] : candidates_) {
    sum += std::exp((logit - max) * scale);
    if (sum > target) {
      return id;
    }
  }
  return candidates_.back().second;
}

void Sampler::collect(std::span<const float> logits, float threshold) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= threshold && logits[i] > kMinusInfinity) {
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
}

// The k best in order; then top_p among them.
void Sampler::collect_top_k(std::span<const float> logits, float max) {
  const size_t k = options_.top_k;
  candidates_.clear();
  if (k >= logits.size()) {
    collect(logits, kMinusInfinity);
  } else {
    // A heap whose front is the worst kept. Ids rise, so an equal logit that
    // comes later loses, as `before` wants it.
    for (size_t i = 0; i < logits.size(); ++i) {
      if (!(logits[i] > kMinusInfinity)) {
        continue;
      }
      const Candidate c{logits[i], static_cast<int32_t>(i)};
      if (candidates_.size() < k) {
        candidates_.push_back(c);
        std::push_heap(candidates_.begin(), candidates_.end(), before);
      } else if (c.first > candidates_.front().first) {
        std::pop_heap(candidates_.begin(), candidates_.end(), before);
        candidates_.back() = c;
        std::push_heap(candidates_.begin(), candidates_.end(), before);
      }
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), before);
  if (options_.top_p < 1) {
    const float scale = 1.0f / options_.temperature;
    double total = 0;
    for (const auto& [logit, id] : candidates_) {
      total += std::exp((logit - max) * scale);
    }
    keep_top_p(total, max);
  }
}

// The smallest set of best tokens whose mass is at least top_p. Only tokens
// near the maximum are sorted; the margin doubles until they carry the mass.
void Sampler::collect_nucleus(std::span<const float> logits, float max) {
  const float scale = 1.0f / options_.temperature;
  const double total = exp_sum(logits, max, scale);
  for (float margin = 4;; margin *= 2) {
    const bool all = margin > 1000;
    collect(logits, all ? kMinusInfinity : max - margin * options_.temperature);
    double mass = 0;
    for (const auto& [logit, id] : candidates_) {
      mass += std::exp((logit - max) * scale);
    }
    if (all || mass >= options_.top_p * total) {
      break;
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), before);
  keep_top_p(total, max);
}

void Sampler::keep_top_p(double total, float max) {
  const float scale = 1.0f / options_.temperature;
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates_.size()) {
    mass += std::exp((candidates_[kept++].first - max) * scale);
    if (mass >= options_.top_p * total) {
      break;
    }
  }
  candidates_.resize(kept);
}

RowLogprobs row_logprobs(
    std::span<const float> logits, int32_t token, int top) {
  float max = kMinusInfinity;
  for (const float x : logits) {
    max = x > max ? x : max;
  }
  const double log_sum = std::log(exp_sum(logits, max, 1.0f));
  const auto logprob = [&](float x) {
    return static_cast<float>(static_cast<double>(x) - max - log_sum);
  };
  RowLogprobs out;
  out.logprob = logprob(logits[token]);
  const size_t k = std::min<size_t>(std::max(top, 0), logits.size());
  std::vector<std::pair<float, int32_t>> heap;
  for (size_t i = 0; k > 0 && i < logits.size(); ++i) {
    const std::pair<float, int32_t> c{logits[i], static_cast<int32_t>(i)};
    if (heap.size() < k) {
      heap.push_back(c);
      std::push_heap(heap.begin(), heap.end(), before);
    } else if (c.first > heap.front().first) {
      std::pop_heap(heap.begin(), heap.end(), before);
      heap.back() = c;
      std::push_heap(heap.begin(), heap.end(), before);
    }
  }
  std::sort(heap.begin(), heap.end(), before);
  for (const auto& [logit, id] : heap) {
    out.top.push_back({id, logprob(logit)});
  }
  return out;
}

}  // namespace rapid
