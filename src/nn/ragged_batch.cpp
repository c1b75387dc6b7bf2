#include "nn/ragged_batch.h"

namespace rapid {

RaggedBatch RaggedBatch::lay_out(
    std::span<SequenceState* const> states,
    std::span<const int> counts,
    std::span<const AdapterPtr> adapters) {
  RaggedBatch out;
  int first = 0;
  for (size_t i = 0; i < states.size(); ++i) {
    out.sequences.push_back({states[i], first, counts[i]});
    if (i < adapters.size() && adapters[i]) {
      out.adapted.push_back({adapters[i], first, counts[i]});
    }
    first += counts[i];
  }
  return out;
}

}  // namespace rapid
