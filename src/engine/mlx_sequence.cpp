#include "engine/mlx_sequence.h"

#include "state/paged_kv.h"
#include "state/recurrent.h"

namespace rapid {

void Sequence::take_up(
    const Model& model, const StateOptions& options, const TrieMatch& kept) {
  states = model.make_states(options);
  for (size_t i = 0; i < kept.states.size(); ++i) {
    states[i]->restore(*kept.states[i]);
  }
  consumed = kept.length;
}

void Sequence::drop() {
  states.clear();
  consumed = 0;
}

void Sequence::keep_way_back(int tokens) {
  for (const auto& state : states) {
    state->keep_way_back(tokens);
  }
}

void Sequence::take_back(int count) {
  for (const auto& state : states) {
    if (!state->trim(count)) {
      return drop();
    }
  }
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
  out.consumed = consumed;
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

StateCost state_cost(const SequenceState& after_one_token) {
  StateCost out;
  for (const auto& state : after_one_token) {
    if (dynamic_cast<const Recurrent*>(state.get()) != nullptr) {
      out.fixed_bytes += state->bytes();
      continue;
    }
    StateCost::Layers layer{1, state->bytes(), 1, 0};
    if (const auto* paged = dynamic_cast<const PagedKv*>(state.get())) {
      layer.page_tokens = kPageTokens;
      layer.window = paged->window();
    }
    out.add(layer);
  }
  return out;
}

}  // namespace rapid
