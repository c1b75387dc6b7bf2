#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace rapid {
namespace {

constexpr double kMiB = 1 << 20;
constexpr uint64_t kMega = 1 << 20;
// MLX evaluates longer batches layer by layer (models/decoder.cpp); shorter
// ones are queued whole.
constexpr int kEagerRows = 64;
// How far the queue is ahead of the kernels, measured.
constexpr int kQueuedLayers = 8;
// The kernels' stacks of scratch memory, the server's threads.
constexpr uint64_t kStepSlack = 5 * kMega / 2;
constexpr int kLeastChunk = 16;
// A chunk's workspace may take this part of what is not held for good.
constexpr uint64_t kChunkShare = 4;

uint64_t held(const MemoryFacts& facts) {
  return facts.weight_bytes + facts.mapped_bytes + facts.process_bytes +
         facts.front_bytes + facts.reserve_bytes;
}

uint64_t less(uint64_t from, uint64_t bytes) {
  return from > bytes ? from - bytes : 0;
}

uint64_t room(const MemoryFacts& facts, int choices) {
  return less(
      facts.limit,
      held(facts) +
          workspace_bytes(
              facts, facts.prefill_chunk, choices, facts.model_context));
}

}  // namespace

void StateCost::add(const Layers& layer) {
  Layers same = layer;
  if (!layers.empty()) {
    same.count = layers.back().count;
  }
  if (!layers.empty() && layers.back() == same) {
    layers.back().count += layer.count;
  } else {
    layers.push_back(layer);
  }
}

uint64_t StateCost::bytes(int64_t tokens, int64_t chunk) const {
  uint64_t sum = fixed_bytes;
  for (const Layers& layer : layers) {
    // A window holds its tokens and a page that it has partly left.
    const int64_t kept =
        layer.window > 0
            ? std::min(tokens, layer.window + layer.page_tokens + chunk)
            : tokens;
    sum += layer.count * layer.page_bytes *
           ((kept + layer.page_tokens - 1) / layer.page_tokens);
  }
  return sum;
}

uint64_t StateCost::snapshot_bytes() const {
  uint64_t sum = fixed_bytes;
  for (const Layers& layer : layers) {
    if (layer.window > 0) {
      sum += layer.count * layer.page_bytes *
             (layer.window / layer.page_tokens + 2);
    }
  }
  return sum;
}

uint64_t workspace_bytes(
    const MemoryFacts& facts, int prompt, int choices, int longest) {
  const auto rows = static_cast<uint64_t>(prompt + choices);
  const uint64_t queued =
      std::min<uint64_t>(rows, kEagerRows) * facts.row_bytes *
      static_cast<uint64_t>(std::min(facts.layers, kQueuedLayers));
  const uint64_t eager = rows * facts.row_bytes;
  // A sampler works on a copy of its row.
  return std::max(queued, eager) +
         2 * static_cast<uint64_t>(choices) * facts.logits_bytes +
         facts.states.bytes(longest, prompt) - facts.states.bytes(longest) +
         kStepSlack;
}

uint64_t state_budget(const MemoryFacts& facts) {
  return room(facts, facts.most_choices);
}

int affordable_chunk(const MemoryFacts& facts, int wanted) {
  const uint64_t most = less(facts.limit, held(facts)) / kChunkShare;
  int chunk = std::max(wanted, 1);
  while (facts.limit > 0 && chunk > kLeastChunk &&
         workspace_bytes(facts, chunk, 1, facts.model_context) > most) {
    chunk = std::max(chunk / 2, kLeastChunk);
  }
  return chunk;
}

int longest_context(const StateCost& cost, uint64_t bytes, int most) {
  if (cost.bytes(most) <= bytes) {
    return most;
  }
  int low = 0;  // fits
  int high = most;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (cost.bytes(middle) <= bytes ? low : high) = middle;
  }
  return low;
}

MemoryPlan plan_memory(const MemoryFacts& facts, int context, int batch) {
  MemoryPlan out;
  out.batch = std::max(batch, 1);
  const auto sequences = static_cast<uint64_t>(out.batch);
  out.limit = facts.limit;
  out.weights = facts.weight_bytes;
  out.mapped_weights = facts.mapped_bytes;
  out.process = facts.process_bytes;
  out.front = facts.front_bytes;
  out.reserve = facts.reserve_bytes;
  out.effective_context = facts.model_context;
  const int choices = std::min(out.batch, std::max(facts.most_choices, 1));
  // What the engine gives to states does not depend on the load.
  out.available = facts.limit > 0 ? state_budget(facts) : 0;
  if (facts.limit > 0) {
    out.effective_context = longest_context(
        facts.states, out.available / sequences, facts.model_context);
  }
  out.context = context > 0 ? context : out.effective_context;
  const int64_t prompts = int64_t{out.context} * out.batch;
  const auto chunk =
      static_cast<int>(std::min<int64_t>(facts.prefill_chunk, prompts));
  out.workspace = workspace_bytes(facts, chunk, choices, out.context);
  out.states = sequences * facts.states.bytes(out.context);
  // A prompt is kept when it is in, and its answer goes on in a copy of the
  // last page; gone first when memory is short.
  out.kept_prompts = sequences * facts.states.bytes(1);
  if (facts.limit > 0) {
    out.kept_prompts =
        std::min(out.kept_prompts, less(out.available, out.states));
  }
  out.total = out.weights + out.mapped_weights + out.process + out.front +
              out.workspace + out.states + out.kept_prompts;
  out.fits = out.context <= facts.model_context &&
             (facts.limit == 0 || out.states <= out.available);
  if (facts.limit > 0) {
    out.cache =
        std::min(less(out.available, out.states), out.available / kCacheShare);
  }
  return out;
}

Status check_weights_fit(uint64_t weights, uint64_t limit) {
  if (limit == 0 || weights < limit) {
    return {};
  }
  return Error{
      ErrorCode::too_large,
      fmt::format(
          "the weights need {:.0f} MiB, the memory limit is {:.0f} MiB",
          weights / kMiB,
          limit / kMiB),
      "take a smaller model, or a larger --memory-limit"};
}

Status check_room(const MemoryFacts& facts) {
  const MemoryPlan least = plan_memory(facts, 2, 1);
  if (least.fits && facts.limit > held(facts)) {
    return {};
  }
  const uint64_t step = workspace_bytes(
      facts, facts.prefill_chunk, facts.most_choices, facts.model_context);
  return Error{
      ErrorCode::too_large,
      fmt::format(
          "the model needs {:.0f} MiB before a token is kept ({:.0f} of "
          "weights), the memory limit is {:.0f} MiB",
          (held(facts) + step + least.states) / kMiB,
          (facts.weight_bytes + facts.mapped_bytes) / kMiB,
          facts.limit / kMiB),
      "take a smaller model, a smaller --parallel or a larger --memory-limit"};
}

Error prompt_too_long(
    const MemoryFacts& facts, int length, uint64_t available) {
  if (length >= facts.model_context) {
    return {
        ErrorCode::context_length,
        fmt::format(
            "the prompt has {} tokens, the context holds {}",
            length,
            facts.model_context),
        "shorten the prompt, or start with a larger --ctx"};
  }
  return {
      ErrorCode::context_length,
      fmt::format(
          "the prompt has {} tokens, memory holds a context of {}: {:.1f} MiB "
          "are needed, {:.1f} MiB are available",
          length,
          longest_context(facts.states, available, facts.model_context),
          facts.states.bytes(length + 1) / kMiB,
          available / kMiB),
      "shorten the prompt, or start with a larger --memory-limit"};
}

std::optional<uint64_t> parse_memory(const std::string& text) {
  if (text.empty() ||
      !(std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '.')) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double amount = std::strtod(text.c_str(), &end);
  std::string unit;
  for (; *end != '\0'; ++end) {
    if (*end != ' ') {
      unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*end)));
    }
  }
  double scale = 0;
  if (unit.empty() || unit == "g" || unit == "gib") {
    scale = kMiB * 1024;
  } else if (unit == "gb") {
    scale = 1e9;
  } else if (unit == "m" || unit == "mib") {
    scale = kMiB;
  } else if (unit == "mb") {
    scale = 1e6;
  }
  const double bytes = amount * scale;
  if (!std::isfinite(bytes) || bytes < 1 || bytes > 1e18) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(bytes);
}

}  // namespace rapid
