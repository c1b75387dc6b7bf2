#include "engine/mlx_memory.h"

#include <algorithm>

#include "base/platform.h"
#include "engine/mlx_job.h"
#include "engine/mlx_sequence.h"
#include "kernels/cpu_matrix.h"

namespace rapid {
namespace {

// What building the first grammar takes per token, at most: a tokenizer and
// its trie (measured, three vocabularies).
constexpr uint64_t kGrammarWordBytes = 560;

uint64_t less(uint64_t from, uint64_t bytes) {
  return from > bytes ? from - bytes : 0;
}

}  // namespace

MemoryFacts measure_memory(
    const EngineSetup& setup,
    const ModelInfo& model,
    uint64_t adapter_bytes,
    const DraftModel* draft,
    const SequenceState& probe) {
  mx::clear_cache();
  release_free_memory();
  const bool on_cpu = setup.device == mx::Device::cpu;
  MemoryFacts facts;
  facts.limit = setup.memory_limit;
  facts.front_bytes = setup.front_bytes;
  facts.states = state_cost(probe);
  // Elsewhere the device holds copies of what the file holds.
  const uint64_t weights =
      model.weight_bytes + (draft ? draft->model().info().weight_bytes : 0);
  facts.weight_bytes = on_cpu ? packed_bytes() : weights;
  facts.mapped_bytes = less(weights, facts.weight_bytes);
  facts.weight_bytes += adapter_bytes;
  facts.process_bytes = less(
      current_rss_bytes(),
      facts.states.bytes(1) + (on_cpu ? facts.weight_bytes : 0));
  const auto vocabulary = static_cast<uint64_t>(model.vocabulary);
  facts.row_bytes = static_cast<uint64_t>(model.row_floats) * sizeof(float);
  facts.logits_bytes = vocabulary * sizeof(float);
  facts.reserve_bytes = Job::kScoredRows * facts.logits_bytes;
  facts.reserve_bytes += draft ? draft->bytes() : 0;
  if (setup.grammar_words) {
    facts.reserve_bytes += vocabulary * kGrammarWordBytes;
  }
  facts.layers = model.layers;
  facts.kv_bits =
      setup.states.kv_bits > 0
          ? setup.states.kv_bits
          : 8 * static_cast<int>(mx::size_of(setup.states.kv_dtype));
  facts.most_choices = setup.most_choices;
  facts.model_context = setup.context > 0 && model.context_length > 0
                            ? std::min(setup.context, model.context_length)
                            : std::max(setup.context, model.context_length);
  facts.prefill_chunk = affordable_chunk(facts, setup.prefill_chunk);
  return facts;
}

}  // namespace rapid
