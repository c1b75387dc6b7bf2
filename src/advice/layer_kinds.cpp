#include "advice/layer_kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace rapid {
namespace {

class LayerReader {
 public:
  explicit LayerReader(const ConfigFields& fields) : fields_(fields) {}

  Result<std::vector<LayerKind>> read() {
    for (const char* odd : {
             "hidden_size_per_layer_input",
             "per_layer_config",
             "altup_num_inputs",
             "index_topk",
         }) {
      const bool known = odd == std::string_view("index_topk") &&
                         has_compressed_attention(fields_);
      if (!known && (fields_.number({odd}) > 0 || fields_.holds(odd))) {
        return Error{
            ErrorCode::unsupported,
            fmt::format("shapes with {} are not computed", odd)};
      }
    }
    if (const std::string pattern = fields_.text("hybrid_override_pattern");
        !pattern.empty()) {
      read_pattern(pattern);
      return layers_;
    }
    const auto count = fields_.number({"num_hidden_layers"});
    for (int i = 0; i < static_cast<int>(std::min<int64_t>(count, 4096)); ++i) {
      const bool experts = has_experts(i);
      layers_.push_back({mixer_of(i), !experts, experts});
      if (has_compressed_attention(fields_)) {
        read_entries(i, layers_.back());
      }
    }
    return layers_;
  }

 private:
  // By the name of the layer's kind, by its rate, or in the family's order.
  void read_entries(int i, LayerKind& layer) const {
    layer.mixer = Mixer::compressed;
    const auto rate_of = [&](const char* kind, int64_t otherwise) {
      const Json said_rates = fields_.object("compress_rates");
      const int64_t said = ConfigFields(said_rates).number({kind});
      return static_cast<uint64_t>(said > 0 ? said : otherwise);
    };
    const auto at = static_cast<size_t>(i);
    const Json* types = fields_.list("layer_types");
    const Json* ratios = fields_.list("compress_ratios");
    std::string kind = i < 2 || i % 2 == 0 ? "heavily_compressed_attention"
                                           : "compressed_sparse_attention";
    if (types != nullptr && at < types->size() && (*types)[at].is_string()) {
      kind = (*types)[at].get<std::string>();
    } else if (ratios != nullptr && at < ratios->size()) {
      const Json& ratio = (*ratios)[at];
      kind = ratio == 128 ? "heavily_compressed_attention"
             : ratio == 4 ? "compressed_sparse_attention"
                          : "sliding_attention";
    }
    layer.indexed = kind == "compressed_sparse_attention";
    layer.rate = kind == "sliding_attention" ? 0
                 : layer.indexed             ? rate_of(kind.c_str(), 4)
                                             : rate_of(kind.c_str(), 128);
  }

  // One letter a layer, each of which is one block.
  void read_pattern(const std::string& pattern) {
    for (const char letter : pattern) {
      LayerKind layer{Mixer::none, letter == '-', letter == 'E'};
      if (letter == 'M') {
        layer.mixer = Mixer::mamba;
      } else if (letter == '*') {
        layer.mixer = Mixer::attention;
      }
      layers_.push_back(layer);
    }
  }

  Mixer mixer_of(int i) const {
    const bool delta = fields_.size({"linear_num_value_heads"}) > 0;
    const bool window = fields_.size({"sliding_window"}) > 0 &&
                        fields_.flag("use_sliding_window", true);
    if (const Json* types = fields_.list("layer_types");
        types != nullptr && static_cast<size_t>(i) < types->size() &&
        (*types)[i].is_string()) {
      const auto name = (*types)[i].get<std::string>();
      return name == "linear_attention"              ? Mixer::delta
             : name == "mamba"                       ? Mixer::mamba
             : name == "conv"                        ? Mixer::conv
             : name == "sliding_attention" && window ? Mixer::sliding
             : name == "chunked_attention"           ? Mixer::sliding
                                                     : Mixer::attention;
    }
    if (const Json* full = fields_.list("full_attn_idxs")) {
      return std::ranges::find(*full, Json(i)) != full->end() ? Mixer::attention
                                                              : Mixer::conv;
    }
    if (delta) {
      const auto every =
          std::max<int64_t>(fields_.number({"full_attention_interval"}), 1);
      return (i + 1) % every == 0 ? Mixer::attention : Mixer::delta;
    }
    if (window) {
      const int64_t every =
          fields_.number({"sliding_window_pattern", "_sliding_window_pattern"});
      return every > 0 && (i + 1) % every == 0 ? Mixer::attention
                                               : Mixer::sliding;
    }
    return Mixer::attention;
  }

  bool has_experts(int i) const {
    if (expert_count(fields_) == 0) {
      return false;
    }
    const int64_t first = fields_.number(
        {"first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"});
    const int64_t last = fields_.number({"moe_layer_end_index"});
    const int64_t every = std::max<int64_t>(
        fields_.number({"moe_layer_interval", "decoder_sparse_step"}), 1);
    const Json* dense = fields_.list("mlp_only_layers");
    return i >= first && (last == 0 || i <= last) && (i + 1) % every == 0 &&
           (dense == nullptr ||
            std::ranges::find(*dense, Json(i)) == dense->end());
  }

  const ConfigFields& fields_;
  std::vector<LayerKind> layers_;
};

}  // namespace

uint64_t expert_count(const ConfigFields& fields) {
  return fields.size(
      {"num_experts",
       "n_routed_experts",
       "num_local_experts",
       "moe_num_experts"});
}

bool has_compressed_attention(const ConfigFields& fields) {
  return fields.size({"o_lora_rank"}) > 0;
}

Result<std::vector<LayerKind>> layer_kinds(const ConfigFields& fields) {
  return LayerReader(fields).read();
}

}  // namespace rapid
