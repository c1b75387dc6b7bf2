#include "models/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "state/compressed_kv.h"
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

mx::array ids_of(std::span<const SequenceInput> batch) {
  std::vector<int32_t> out;
  for (const SequenceInput& input : batch) {
    out.insert(out.end(), input.tokens.begin(), input.tokens.end());
  }
  return mx::array(out.data(), {static_cast<int>(out.size())}, mx::int32);
}

// The batch as a step that may run again: a token of each sequence, whose
// states are all keys and values, of one form.
std::optional<CudaSteps::Inputs> step_of(std::span<const SequenceInput> batch) {
  CudaSteps::Inputs out;
  for (const SequenceInput& input : batch) {
    if (input.tokens.size() != 1 || input.adapter ||
        input.logits != SequenceInput::Logits::last) {
      return std::nullopt;
    }
    out.ids.push_back(input.tokens[0]);
  }
  for (size_t i = 0; i < batch.front().states->size(); ++i) {
    for (const SequenceInput& input : batch) {
      auto* state = dynamic_cast<PagedKv*>(input.states->at(i).get());
      if (!state) {
        return std::nullopt;
      }
      out.pages.push_back(state->prepare(1));
      if (out.pages.back()->form != out.pages.front()->form) {
        return std::nullopt;
      }
    }
  }
  return out.pages.empty() ? std::nullopt : std::optional(std::move(out));
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
    Linear matrix = embedding.as_linear();
    if (root.has("lm_head.bias")) {
      RAPID_TRY(matrix.bias, root.vector("lm_head.bias", config.vocabulary));
    }
    head->parts.push_back(std::move(matrix));
  } else {
    RAPID_TRY(
        Linear matrix,
        load_linear(
            root,
            {"lm_head", config.hidden, config.vocabulary, Bias::if_present}));
    head->parts.push_back(std::move(matrix));
  }
  ModelInfo info;
  info.architecture = files.architecture;
  info.vocabulary = config.vocabulary;
  info.context_length = config.context_length;
  info.layers = config.layers;
  info.hidden = config.hidden;
  // q, k and v; q once more and what attention makes of it; the residual
  // stream before and after, twice a layer.
  info.row_floats = 3 * config.heads * config.head_dim +
                    2 * config.kv_heads * config.head_dim + 3 * config.hidden;
  info.parameters = count_parameters(files);
  info.weight_bytes = files.bytes();
  info.end_tokens = config.end_tokens;
  return DecoderSpine{
      .info = std::move(info),
      .embedding = std::move(embedding),
      .head = std::move(head),
      .adaptable = root.adaptable()};
}

Decoder::Decoder(DecoderSpine spine) : spine_(std::move(spine)) {
  int& border = spine_.info.forms.border;
  for (const KvLayer& layer : spine_.states) {
    border = std::max(border, layer.border);
  }
}

SequenceState Decoder::make_states(const StateOptions& options) const {
  SequenceState out;
  out.reserve(spine_.states.size());
  for (const KvLayer& layer : spine_.states) {
    if (layer.rule) {
      out.push_back(
          std::make_unique<Recurrent>(layer.rule, options.rewind_tokens));
      continue;
    }
    if (layer.compressed) {
      out.push_back(std::make_unique<CompressedKv>(
          *layer.compressed, options.rewind_tokens));
      continue;
    }
    const int bits =
        layer.far_keys && options.kv_bits == 4 ? 8 : options.kv_bits;
    out.push_back(std::make_unique<PagedKv>(
        KvShape::of(layer.heads, layer.dim, options.kv_dtype, bits),
        layer.window,
        options.form));
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

mx::array Decoder::run(
    std::span<const SequenceInput> inputs, const mx::array& ids) {
  std::vector<SequenceState*> states;
  std::vector<int> counts;
  std::vector<AdapterPtr> adapters;
  for (const SequenceInput& input : inputs) {
    states.push_back(input.states);
    counts.push_back(static_cast<int>(input.tokens.size()));
    adapters.push_back(input.adapter);
  }
  RaggedBatch batch = RaggedBatch::lay_out(states, counts, adapters);
  const int rows = ids.shape(0);
  mx::array x = spine_.embedding(ids, spine_.embedding_scale);
  batch.beside = beside(ids, x);
  x = widen(x);
  for (int i = 0; i < spine_.info.layers; ++i) {
    x = layer(i, x, batch);
    if (rows >= kEagerRows && cpu_kernels_active()) {
      x.eval();
    }
  }
  return narrow(x);
}

mx::array Decoder::graph(
    std::span<const SequenceInput> inputs, const mx::array& ids) {
  const mx::array x = run(inputs, ids);
  const std::vector<int32_t> asked = asked_rows(inputs);
  return asked.empty() ? take_rows(x, {x.shape(0) - 1})
                       : logits(take_rows(x, asked));
}

mx::array Decoder::forward(std::span<const SequenceInput> inputs) {
  check(inputs);
  if (steps_.takes(static_cast<int>(inputs.size()))) {
    if (const auto step = step_of(inputs)) {
      return steps_.run(
          *step, [&](const mx::array& ids) { return graph(inputs, ids); });
    }
  }
  return graph(inputs, ids_of(inputs));
}

mx::array Decoder::hidden(std::span<const SequenceInput> inputs) {
  check(inputs);
  const mx::array rows =
      take_rows(run(inputs, ids_of(inputs)), asked_rows(inputs));
  const auto& norm = spine_.head->before;
  return mx::astype(norm ? rms_norm_reference(rows, *norm) : rows, mx::float32);
}

Status finish_weights(
    WeightMap& map, const ModelFiles& files, const DecoderConfig& config) {
  for (const TensorView& tensor : files.tensors) {
    const std::string_view name = tensor.name;
    // Those of GGUF are read with the configuration.
    if (name.ends_with(".rotary_emb.inv_freq") || name.starts_with("rope_f") ||
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
