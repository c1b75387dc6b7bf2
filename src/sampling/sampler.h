// From one row of logits to one token, on host floats.
//
// Randomness is counter-based: the draw is a pure function of (seed, choice,
// position), so a stream resumed at any position goes on exactly as before.
// temperature 0 is greedy (lowest id wins a tie) and uses no randomness.
// Order: logit_bias, penalties, temperature, top_k, top_p, min_p, draw. Each
// cut keeps at least the best token, and renormalises what the cut before it
// left. A NaN counts as -inf; if nothing is left that could be drawn, the
// best raw logit is taken. Logprobs come from the raw logits. Not thread-safe;
// one per choice.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rapid {

struct SamplingOptions {
  float temperature = 1.0f;         // 0 = greedy
  float top_p = 1.0f;               // (0, 1]
  int top_k = 0;                    // 0 = off
  float min_p = 0.0f;               // [0, 1)
  float repetition_penalty = 1.0f;  // over prompt and output; 1 = off
  float presence_penalty = 0.0f;    // over output
  float frequency_penalty = 0.0f;   // over output
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
};

// A uniform float in [0, 1), a pure function of its arguments.
float uniform_draw(uint64_t seed, uint64_t choice, uint64_t position);

class Sampler {
 public:
  Sampler(
      SamplingOptions options,
      uint64_t choice,
      std::span<const int32_t> prompt);

  // `logits` is scratch: it is changed. `position` = index in the sequence of
  // the token being drawn.
  int32_t sample(std::span<float> logits, uint64_t position);

  // Counts a token into the penalties; call it for every emitted token.
  void accept(int32_t token);

 private:
  using Candidate = std::pair<float, int32_t>;  // logit, id

  void apply_bias(std::span<float> logits) const;
  void apply_penalties(std::span<float> logits) const;
  void see(int32_t token);
  bool cuts() const;
  int32_t draw_any(std::span<const float> logits, float max, float u) const;
  int32_t draw_cut(std::span<const float> logits, float max, float u);
  void collect(std::span<const float> logits, float threshold);
  void collect_top_k(std::span<const float> logits, float max);
  void collect_nucleus(std::span<const float> logits, float max);
  void keep_top_p(double total, float max);

  SamplingOptions options_;
  uint64_t choice_;
  std::unordered_map<int32_t, int> output_counts_;
  std::vector<bool> seen_;             // prompt and output...
  std::vector<int32_t> seen_ids_;      // ...the same, to walk over
  std::vector<Candidate> candidates_;  // reused scratch
};

struct ScoredToken {
  int32_t id = 0;
  float logprob = 0;
};

// Log-softmax of `logits` at `token`, and its best `top` ids, best first
// (ties: lowest id).
struct RowLogprobs {
  float logprob = 0;
  std::vector<ScoredToken> top;
};
RowLogprobs row_logprobs(std::span<const float> logits, int32_t token, int top);

}  // namespace rapid
