#include "engine/mlx_sequence.h"

#include "state/compressed_kv.h"
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
  form = options.form;
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
  out.form = form;
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

namespace {

// What a layer of compressed attention holds, list by list.
void add_compressed(StateCost& out, const CompressedShape& s) {
  const auto page = [](int width) {
    return static_cast<uint64_t>(kRowsOfPage) * static_cast<uint64_t>(width) *
           sizeof(float);
  };
  out.add({1, page(s.dim), kRowsOfPage, s.window});
  if (s.rate > 0) {
    out.add(
        {1,
         page(s.pending_width()),
         kRowsOfPage,
         int64_t{s.series()} * s.rate});
    out.add(
        {1, page(s.dim) + page(s.index_dim), int64_t{kRowsOfPage} * s.rate, 0});
  }
}

}  // namespace

StateCost state_cost(const SequenceState& after_one_token) {
  StateCost out;
  for (const auto& state : after_one_token) {
    if (dynamic_cast<const Recurrent*>(state.get()) != nullptr) {
      out.fixed_bytes += state->bytes();
      continue;
    }
    if (const auto* kv = dynamic_cast<const CompressedKv*>(state.get())) {
      add_compressed(out, kv->shape());
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
