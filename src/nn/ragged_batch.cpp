#include "nn/ragged_batch.h"

namespace rapid {

RaggedBatch RaggedBatch::lay_out(
    std::span<SequenceState* const> states, std::span<const int> counts) {
  RaggedBatch out;
  std::vector<int32_t> positions;
  for (size_t i = 0; i < states.size(); ++i) {
    const int first = static_cast<int>(positions.size());
    out.sequences.push_back({states[i], first, counts[i]});
    const int start = states[i]->empty() ? 0 : states[i]->front()->length();
    for (int t = 0; t < counts[i]; ++t) {
      positions.push_back(start + t);
    }
  }
  const auto rows = static_cast<int>(positions.size());
  out.positions = mx::array(positions.data(), {rows}, mx::int32);
  return out;
}

}  // namespace rapid
