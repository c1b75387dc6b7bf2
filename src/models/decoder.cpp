#include "models/decoder.h"

#include <fmt/format.h>

#include <stdexcept>

#include "state/paged_kv.h"

namespace rapid {

namespace {

// MLX allocates what a node will write when it queues the node, far ahead of
// the CPU. So many rows are evaluated layer by layer, which takes long enough
// that the pause does not show. (A memory limit makes MLX's thread spin.)
constexpr int kEagerRows = 64;

// Parameters as trained: packed words count as what they hold.
int64_t count_parameters(const ModelFiles& files) {
  int64_t out = 0;
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    if (name.ends_with(".scales") || name.ends_with(".biases")) {
      continue;
    }
    int64_t count = tensor.elements();
    if (tensor.type == TensorType::u32 && name.ends_with(".weight")) {
      const auto scheme = files.quantisation.scheme_for(
          name.substr(0, name.size() - std::string_view(".weight").size()));
      count = scheme ? count * 32 / scheme->bits : count;
    }
    out += count;
  }
  return out;
}

// The rows whose logits are asked for, in order.
std::vector<int32_t> asked_rows(std::span<const SequenceInput> batch) {
  std::vector<int32_t> out;
  int32_t first = 0;
  for (const SequenceInput& input : batch) {
    const auto count = static_cast<int32_t>(input.tokens.size());
    if (input.logits == SequenceInput::Logits::all) {
      for (int32_t i = 0; i < count; ++i) {
        out.push_back(first + i);
      }
    } else if (input.logits == SequenceInput::Logits::last) {
      out.push_back(first + count - 1);
    }
    first += count;
  }
  return out;
}

mx::array take_rows(const mx::array& x, const std::vector<int32_t>& rows) {
  const auto count = static_cast<int>(rows.size());
  if (count == x.shape(0)) {
    return x;  // rows are ascending: all of them, in place
  }
  if (rows.back() - rows.front() + 1 == count) {
    return mx::slice(x, {rows.front(), 0}, {rows.back() + 1, x.shape(1)});
  }
  return mx::take(x, mx::array(rows.data(), {count}, mx::int32), 0);
}

}  // namespace

Result<DecoderSpine> DecoderSpine::load(
    const ModelFiles& files,
    const DecoderConfig& config,
    const WeightCursor& root,
    const WeightCursor& model,
    float norm_offset) {
  RAPID_TRY(
      Embedding embedding,
      Embedding::load(model, "embed_tokens", config.vocabulary, config.hidden));
  auto head = std::make_shared<Projection>();
  head->fine = true;
  RAPID_TRY(
      head->before,
      load_rms_norm(
          model, "norm", {config.hidden, config.norm_eps, norm_offset}));
  if (config.tied.value_or(!root.has("lm_head.weight"))) {
    head->parts.push_back(embedding.as_linear());
  } else {
    RAPID_TRY(
        Linear matrix,
        load_linear(root, {"lm_head", config.hidden, config.vocabulary}));
    head->parts.push_back(std::move(matrix));
  }
  ModelInfo info;
  info.architecture = files.architecture;
  info.vocabulary = config.vocabulary;
  info.context_length = config.context_length;
  info.layers = config.layers;
  info.hidden = config.hidden;
  info.parameters = count_parameters(files);
  info.weight_bytes = files.bytes();
  info.end_tokens = config.end_tokens;
  return DecoderSpine{
      .info = std::move(info),
      .embedding = std::move(embedding),
      .head = std::move(head)};
}

SequenceState Decoder::make_states(const StateOptions& options) const {
  SequenceState out;
  out.reserve(spine_.states.size());
  for (const KvLayer& layer : spine_.states) {
    out.push_back(std::make_unique<PagedKv>(
        KvShape{layer.heads, layer.dim, options.kv_dtype}, layer.window));
  }
  return out;
}

void Decoder::check(std::span<const SequenceInput> batch) const {
  if (batch.empty()) {
    throw std::invalid_argument("forward: expected at least one sequence");
  }
  for (const SequenceInput& input : batch) {
    if (input.tokens.empty() || !input.states ||
        input.states->size() != spine_.states.size()) {
      throw std::invalid_argument(
          "forward: expected tokens and the states that make_states gave");
    }
    for (const int32_t id : input.tokens) {
      if (id < 0 || id >= spine_.info.vocabulary) {
        throw std::invalid_argument(fmt::format(
            "forward: token {} is outside the vocabulary of {}",
            id,
            spine_.info.vocabulary));
      }
    }
  }
}

mx::array Decoder::logits(const mx::array& rows) const {
  const mx::array out = project(rows, spine_.head);
  if (spine_.logit_softcap == 0.0f) {
    return out;
  }
  const mx::array cap(spine_.logit_softcap);
  return mx::multiply(mx::tanh(mx::divide(out, cap)), cap);
}

mx::array Decoder::forward(std::span<const SequenceInput> inputs) {
  check(inputs);
  std::vector<int32_t> ids;
  std::vector<SequenceState*> states;
  std::vector<int> counts;
  for (const SequenceInput& input : inputs) {
    ids.insert(ids.end(), input.tokens.begin(), input.tokens.end());
    states.push_back(input.states);
    counts.push_back(static_cast<int>(input.tokens.size()));
  }
  const RaggedBatch batch = RaggedBatch::lay_out(states, counts);
  const auto rows = static_cast<int>(ids.size());
  mx::array x = spine_.embedding(
      mx::array(ids.data(), {rows}, mx::int32), spine_.embedding_scale);
  for (int i = 0; i < spine_.info.layers; ++i) {
    x = layer(i, x, batch);
    if (rows >= kEagerRows && cpu_kernels_active()) {
      x.eval();
    }
  }
  const std::vector<int32_t> asked = asked_rows(inputs);
  return asked.empty() ? take_rows(x, {rows - 1}) : logits(take_rows(x, asked));
}

Status finish_weights(
    WeightMap& map, const ModelFiles& files, const DecoderConfig& config) {
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    if (name.ends_with(".rotary_emb.inv_freq") ||
        (config.tied.value_or(false) &&
         name.find("lm_head.") != std::string_view::npos)) {
      map.ignore(tensor.name);
    }
  }
  return map.check_all_taken();
}

WeightCursor layer_scope(const WeightCursor& model, int index) {
  return model.scope(fmt::format("layers.{}", index));
}

}  // namespace rapid
