#include "engine/mlx_sequence.h"

#include <algorithm>

#include "state/paged_kv.h"

namespace rapid {

size_t Sequence::common_prefix(std::span<const int32_t> prompt) const {
  const size_t most = std::min(tokens.size(), prompt.size());
  size_t n = 0;
  while (n < most && tokens[n] == prompt[n]) {
    ++n;
  }
  return n;
}

void Sequence::keep(size_t n, const Model& model, const StateOptions& options) {
  const int drop = static_cast<int>(tokens.size() - n);
  bool kept = !states.empty() && n > 0;
  for (const auto& state : states) {
    kept = kept && (drop == 0 || state->trim(drop));
  }
  if (kept) {
    tokens.resize(n);
  } else {
    reset(model, options);
  }
}

void Sequence::reset(const Model& model, const StateOptions& options) {
  tokens.clear();
  states = model.make_states(options);
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
