#include "engine/mlx_sequence.h"

#include <algorithm>

#include "state/paged_kv.h"

namespace rapid {

Sequence Sequence::take_up(
    const Model& model,
    const StateOptions& options,
    std::span<const int32_t> prompt,
    const TrieMatch& kept) {
  Sequence out;
  out.states = model.make_states(options);
  for (size_t i = 0; i < kept.states.size(); ++i) {
    out.states[i]->restore(*kept.states[i]);
  }
  out.tokens.assign(prompt.begin(), prompt.begin() + kept.length);
  return out;
}

SnapshotSet Sequence::snapshots() const {
  SnapshotSet out;
  for (const auto& state : states) {
    out.push_back(state->snapshot());
  }
  return out;
}

Sequence Sequence::fork() const {
  Sequence out;
  out.tokens = tokens;
  for (const auto& state : states) {
    out.states.push_back(state->fork());
  }
  return out;
}

uint64_t Sequence::bytes() const {
  uint64_t sum = 0;
  for (const auto& state : states) {
    sum += state->bytes();
  }
  return sum;
}

StateCost::StateCost(const SequenceState& after_one_token) {
  for (const auto& state : after_one_token) {
    Layer layer{state->bytes(), 1, 0};
    if (const auto* paged = dynamic_cast<const PagedKv*>(state.get())) {
      layer.page_tokens = kPageTokens;
      layer.window = paged->window();
    }
    layers_.push_back(layer);
  }
}

uint64_t StateCost::bytes(int64_t tokens) const {
  uint64_t sum = 0;
  for (const Layer& layer : layers_) {
    // A window holds its tokens and a page that it has partly left.
    const int64_t held =
        layer.window > 0 ? std::min(tokens, layer.window + layer.page_tokens)
                         : tokens;
    sum +=
        layer.page_bytes * ((held + layer.page_tokens - 1) / layer.page_tokens);
  }
  return sum;
}

}  // namespace rapid
