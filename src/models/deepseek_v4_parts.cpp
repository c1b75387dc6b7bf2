#include "models/deepseek_v4_parts.h"

#include <fmt/format.h>

#include "models/moe_config.h"
#include "models/rope_config.h"

namespace rapid {

namespace {

constexpr const char* kSliding = "sliding_attention";
constexpr const char* kSparse = "compressed_sparse_attention";
constexpr const char* kHeavy = "heavily_compressed_attention";

// transformers' DeepseekV4Config.
const Json& family_defaults() {
  static const Json defaults = {
      {"vocab_size", 129280},
      {"hidden_size", 4096},
      {"moe_intermediate_size", 2048},
      {"num_hidden_layers", 43},
      {"num_attention_heads", 64},
      {"head_dim", 512},
      {"q_lora_rank", 1024},
      {"num_experts_per_tok", 6},
      {"n_routed_experts", 256},
      {"scoring_func", "sqrtsoftplus"},
      {"routed_scaling_factor", 1.5},
      {"max_position_embeddings", 1048576},
      {"rope_theta", 10000.0},
      {"compress_rope_theta", 160000.0},
      {"hc_mult", 4},
      {"hc_sinkhorn_iters", 20},
      {"hc_eps", 1e-6},
      {"swiglu_limit", 10.0},
      {"sliding_window", 128},
      {"o_groups", 8},
      {"o_lora_rank", 1024},
      {"index_n_heads", 64},
      {"index_head_dim", 128},
      {"index_topk", 512},
      {"num_hash_layers", 3},
      {"eos_token_id", 1},
      {"tie_word_embeddings", false}};
  return defaults;
}

Error unknown(std::string_view key, const std::string& value) {
  return Error{
      ErrorCode::unsupported,
      fmt::format("model configuration: {} in {}", value, key),
      "this build does not know that variant of the architecture",
      std::string(key)};
}

// The kind of each layer: by name, by how many tokens make an entry, or the
// family's order.
Result<std::vector<std::string>> read_kinds(const Json& config, int layers) {
  const ConfigReader in(config);
  const Json& names = in.at("layer_types");
  const Json& ratios = in.at("compress_ratios");
  std::vector<std::string> out;
  for (int i = 0; i < layers; ++i) {
    const auto at = static_cast<size_t>(i);
    if (names.is_array() && at < names.size()) {
      out.push_back(
          names[at].is_string() ? names[at].get<std::string>()
                                : dump_json(names[at]));
    } else if (names.is_null() && ratios.is_array() && at < ratios.size()) {
      const Json& ratio = ratios[at];
      out.push_back(
          ratio == 0     ? kSliding
          : ratio == 4   ? kSparse
          : ratio == 128 ? kHeavy
                         : dump_json(ratio));
    } else if (names.is_null() && ratios.is_null()) {
      out.push_back(i < 2 || i % 2 == 0 ? kHeavy : kSparse);
    } else {
      return unknown("layer_types", "not every layer");
    }
    if (out.back() != kSliding && out.back() != kSparse &&
        out.back() != kHeavy) {
      return unknown("layer_types", out.back());
    }
  }
  return out;
}

Result<int> read_rate(
    const Json& config, const char* kind, const char* older, int fallback) {
  const ConfigReader in(config);
  const ConfigReader rates(in.at("compress_rates"));
  RAPID_TRY(const int rate, rates.count_or(kind, fallback));
  return in.count_or(older, rate);
}

// The rotation of layers with entries ("compress") or without ("main").
Result<RopeOptions> read_turn(const Json& config, bool compress, int head_dim) {
  const ConfigReader in(config);
  const ConfigReader both(in.at("rope_parameters"));
  const Json& mine = both.at(compress ? "compress" : "main");
  Json rope = Json::object();
  if (mine.is_object()) {
    rope = mine;
  } else {
    const Json& one =
        in.at(in.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
    if (compress && one.is_object()) {
      rope = one;
    }
    rope["rope_theta"] = in.at(compress ? "compress_rope_theta" : "rope_theta");
    RAPID_TRY(const int dims, in.count_or("qk_rope_head_dim", 0));
    rope["partial_rotary_factor"] =
        in.has("partial_rotary_factor") ? in.at("partial_rotary_factor")
        : dims > 0 ? Json(static_cast<double>(dims) / head_dim)
                   : Json(64.0 / 512.0);
    // What stretches it leaves the amplitude.
    const ConfigReader said(rope);
    if (!said.has("attention_factor")) {
      rope["attention_factor"] = 1.0;
    }
  }
  const ConfigReader said(rope);
  if (!said.has("max_position_embeddings")) {
    rope["max_position_embeddings"] = in.at("max_position_embeddings");
  }
  RAPID_TRY(RopeOptions out, rope_from_config(rope, 10000.0f, head_dim));
  out.interleaved = true;
  return out;
}

Result<std::vector<CompressedAttentionOptions>> read_layers(
    const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  CompressedAttentionOptions base{
      .shape = {.dim = shape.head_dim, .window = shape.sliding_window},
      .hidden = shape.hidden,
      .heads = shape.heads,
      .norm_eps = shape.norm_eps};
  RAPID_TRY(base.q_rank, in.count("q_lora_rank"));
  RAPID_TRY(base.groups, in.count("o_groups"));
  RAPID_TRY(base.rank, in.count("o_lora_rank"));
  if (shape.heads % base.groups != 0) {
    return unknown("o_groups", "no divisor of num_attention_heads");
  }
  RAPID_TRY(base.rope, read_turn(config, false, shape.head_dim));
  CompressedAttentionOptions heavy = base;
  RAPID_TRY(heavy.rope, read_turn(config, true, shape.head_dim));
  CompressedAttentionOptions sparse = heavy;
  RAPID_TRY(
      heavy.shape.rate, read_rate(config, kHeavy, "compress_rate_hca", 128));
  RAPID_TRY(
      sparse.shape.rate, read_rate(config, kSparse, "compress_rate_csa", 4));
  sparse.shape.overlap = true;
  RAPID_TRY(sparse.shape.index_dim, in.count("index_head_dim"));
  RAPID_TRY(sparse.index_heads, in.count("index_n_heads"));
  RAPID_TRY(sparse.top, in.count("index_topk"));
  if (sparse.rope.dims > sparse.shape.index_dim) {
    return unknown("index_head_dim", "less than the rotated dimensions");
  }
  RAPID_TRY(const auto kinds, read_kinds(config, shape.layers));
  std::vector<CompressedAttentionOptions> out;
  for (const std::string& kind : kinds) {
    out.push_back(kind == kSliding ? base : kind == kHeavy ? heavy : sparse);
  }
  return out;
}

Result<std::vector<bool>> read_tables(const Json& config, int layers) {
  const ConfigReader in(config);
  const Json& kinds = in.at("mlp_layer_types");
  RAPID_TRY(const int first, read_whole(config, "num_hash_layers", 3));
  std::vector<bool> out;
  for (int i = 0; i < layers; ++i) {
    const auto at = static_cast<size_t>(i);
    if (!kinds.is_array() || at >= kinds.size()) {
      out.push_back(i < first);
    } else if (kinds[at] == "hash_moe" || kinds[at] == "moe") {
      out.push_back(kinds[at] == "hash_moe");
    } else {
      return unknown("mlp_layer_types", dump_json(kinds[at]));
    }
  }
  return out;
}

Result<MoeOptions> read_moe(const Json& config, const DecoderConfig& shape) {
  const ConfigReader in(config);
  MoeOptions out{.hidden = shape.hidden, .inner = shape.inner};
  RAPID_TRY(out.experts, read_expert_count(config));
  RAPID_TRY(out.top_k, in.count("num_experts_per_tok"));
  const Json& score = in.at("scoring_func");
  if (score == "sqrtsoftplus") {
    out.score = RouterScore::sqrt_softplus;
  } else if (score == "sigmoid") {
    out.score = RouterScore::sigmoid;
  } else {
    return unknown("scoring_func", dump_json(score));
  }
  out.renormalise = true;
  RAPID_TRY(out.scale, in.number_or("routed_scaling_factor", 1.0f));
  out.activation.kind = Gating::limited_silu;
  RAPID_TRY(out.activation.limit, in.number_or("swiglu_limit", 10.0f));
  out.shared_bias = in.flag_or("mlp_bias", false) ? Bias::required : Bias::none;
  RAPID_CHECK(check_experts(out));
  return out;
}

// A tensor of packed nibbles or of exponents.
Result<WeightPtr> packed_matrix(
    const WeightCursor& cursor, const std::string& name, int rows, int cols) {
  const std::string weight = name + ".weight";
  if (cols % 32 != 0) {
    return unknown("expert_dtype", "rows that are no multiple of 32");
  }
  RAPID_TRY(const TensorView data, cursor.raw(weight, {rows, cols / 2}));
  RAPID_TRY(
      const TensorView scales,
      cursor.raw(name + ".weight_scale_inv", {rows, cols / 32}));
  const bool bytes = data.type == TensorType::i8 || data.type == TensorType::u8;
  if (!bytes || scales.type != TensorType::u8) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("tensor {}: expected packed bytes and exponents", weight),
        "the file is damaged, or its quantisation is not what it says"};
  }
  auto out = std::make_shared<Weight>();
  out->name = cursor.name(weight);
  out->rows = rows;
  out->cols = cols;
  out->exact = cursor.exact();
  out->scheme = QuantScheme{QuantMode::mxfp4, 4, 32};
  out->data = data;
  out->data.type = TensorType::u32;
  out->data.shape = {rows, cols / 8};
  out->scales = scales;
  return WeightPtr(std::move(out));
}

}  // namespace

Result<DeepseekV4Config> read_deepseek_v4(const Json& given) {
  Json config = with_defaults(given, family_defaults());
  // Of the experts and of the shared part.
  const Json inner = config["moe_intermediate_size"];
  config["intermediate_size"] = inner;
  config["num_key_value_heads"] = 1;
  const ConfigReader in(config);
  DeepseekV4Config out;
  RAPID_TRY(out.shape, read_decoder_config(config));
  RAPID_CHECK(check_activation(config, "silu"));
  out.streams.hidden = out.shape.hidden;
  out.streams.norm_eps = out.shape.norm_eps;
  RAPID_TRY(out.streams.streams, in.count("hc_mult"));
  if (out.streams.streams > 64) {
    return unknown("hc_mult", "more than 64 streams");
  }
  RAPID_TRY(out.streams.rounds, in.count("hc_sinkhorn_iters"));
  RAPID_TRY(out.streams.eps, in.number_or("hc_eps", 1e-6f));
  RAPID_TRY(out.attention, read_layers(config, out.shape));
  RAPID_TRY(out.by_table, read_tables(config, out.shape.layers));
  RAPID_TRY(out.moe, read_moe(config, out.shape));
  return out;
}

DeepseekV4Names deepseek_v4_names(const ModelFiles& files) {
  DeepseekV4Names names;
  bool leaves = false;  // of the published kind
  for (const TensorView& tensor : files.tensors) {
    names.bare |= tensor.name.starts_with("layers.");
    leaves |= tensor.name == "head.weight";
  }
  Renames& out = names.renames;
  if (names.bare || leaves) {
    out = {
        {".scale", ".weight_scale_inv"},
        {"embed.weight", "embed_tokens.weight"},
        {"head.weight", "lm_head.weight"},
        {"hc_head_", "hc_head."}};
  }
  const Renames shared = {
      {".attn.", ".self_attn."},
      {".ffn.", ".mlp."},
      {".attn_norm.", ".input_layernorm."},
      {".ffn_norm.", ".post_attention_layernorm."},
      {".hc_attn_", ".attn_hc."},
      {".hc_ffn_", ".ffn_hc."},
      {"hc_head.hc_", "hc_head."},
      {"_hc.fn", "_hc.fn.weight"},
      {"hc_head.fn", "hc_head.fn.weight"},
      {".attn_sink", ".sinks"},
      {".indexer.compressor.", ".indexer."},
      {".compressor.indexer.", ".indexer."},
      {".scorer.", "."},
      {".self_attn.norm.", ".self_attn.kv_norm."},
      {".compressor.norm.", ".compressor.kv_norm."},
      {".indexer.norm.", ".indexer.kv_norm."},
      {".ape", ".position_bias"},
      {".wq_a.", ".q_a_proj."},
      {".wq_b.", ".q_b_proj."},
      {".wkv.", ".kv_proj."},
      {".wgate.", ".gate_proj."},
      {".wo_a.", ".o_a_proj."},
      {".wo_b.", ".o_b_proj."},
      {".q_norm.", ".q_a_norm."},
      {".gate.bias", ".gate.e_score_correction_bias"},
      {".w1.", ".gate_proj."},
      {".w2.", ".down_proj."},
      {".w3.", ".up_proj."}};
  out.insert(out.end(), shared.begin(), shared.end());
  return names;
}

Result<std::optional<ExpertBanks>> load_packed_experts(
    const WeightCursor& mlp, const MoeOptions& o) {
  const std::string first = "experts.0.down_proj.weight";
  if (mlp.shape(first) != std::vector<int64_t>{o.hidden, o.inner / 2}) {
    return std::optional<ExpertBanks>();
  }
  const auto bank = [&](const char* name, int rows, int cols) {
    return [&, name, rows, cols]() -> Result<ExpertBank> {
      ExpertBank out;
      out.rows = rows;
      for (int e = 0; e < o.experts; ++e) {
        RAPID_TRY(
            WeightPtr weight,
            packed_matrix(
                mlp, fmt::format("experts.{}.{}", e, name), rows, cols));
        out.weights.push_back(std::move(weight));
      }
      return out;
    }();
  };
  ExpertBanks out;
  RAPID_TRY(out.gate, bank("gate_proj", o.inner, o.hidden));
  RAPID_TRY(out.up, bank("up_proj", o.inner, o.hidden));
  RAPID_TRY(out.down, bank("down_proj", o.hidden, o.inner));
  return std::optional(std::move(out));
}

}  // namespace rapid
