#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "engine/convert_names.h"
#include "models/convert_rules.h"

namespace rapid {

// The number behind "layers." in a module's path; 0 where there is none.
int layer_of(std::string_view module) {
  const size_t at = module.find("layers.");
  if (at == std::string_view::npos) {
    return 0;
  }
  const std::string_view rest = module.substr(at + 7);
  int out = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), out);
  return out;
}

namespace {

// What MLX-LM drops: rotary tables, a head tied to the embedding, and the
// parts of a checkpoint that read images and sound.
bool is_dropped(std::string_view name, const ConvertRules& rules, bool tied) {
  for (const std::string_view part : rules.dropped) {
    if (contains(name, part)) {
      return true;
    }
  }
  for (const auto* part :
       {"rotary_emb.inv_freq",
        "vision_tower.",
        "multi_modal_projector.",
        "audio_tower.",
        "embed_vision.",
        "embed_audio.",
        "vision_embedder."}) {
    if (contains(name, part)) {
      return true;
    }
  }
  return tied && !rules.never_tied && contains(name, "lm_head.");
}

// A text model inside another one lies below language_model.
std::string outer_name(
    std::string_view name, const ConvertRules& rules, bool inside) {
  constexpr std::string_view kInside = "model.language_model.";
  if (name.starts_with(kInside)) {
    return "language_model.model." + std::string(name.substr(kInside.size()));
  }
  if (inside && name.starts_with("lm_head.")) {
    return "language_model." + std::string(name);
  }
  const bool has = rules.prefix.empty() || name.starts_with(rules.prefix);
  return std::string(has ? "" : rules.prefix) + std::string(name);
}

std::string with_ending(
    std::string_view name, std::string_view end, std::string_view other) {
  return std::string(name.substr(0, name.size() - end.size())) +
         std::string(other);
}

// One of many experts' tensors: <before>experts.<e>.<part>.weight.
struct ExpertName {
  std::string before;
  std::string part;
  int expert = 0;
};

std::optional<ExpertName> expert_name(std::string_view name) {
  constexpr std::string_view kMark = ".experts.";
  constexpr std::string_view kEnd = ".weight";
  const size_t at = name.find(kMark);
  if (at == std::string_view::npos || !name.ends_with(kEnd)) {
    return std::nullopt;
  }
  std::string_view rest = name.substr(at + kMark.size());
  ExpertName out{.before = std::string(name.substr(0, at + 1))};
  const auto [end, error] =
      std::from_chars(rest.data(), rest.data() + rest.size(), out.expert);
  if (error != std::errc() || *end != '.') {
    return std::nullopt;
  }
  rest.remove_prefix(static_cast<size_t>(end - rest.data()) + 1);
  out.part = rest.substr(0, rest.size() - kEnd.size());
  return out;
}

// The tensors of the new folder, not packed yet.
class Tensors {
 public:
  Tensors(const ModelFiles& files, const Json& text)
      : files_(files), rules_(convert_rules(files.architecture)), text_(text) {
    for (const TensorView& tensor : files.tensors) {
      inside_ |= tensor.name.starts_with("model.language_model.");
      // [C, 1, K]: as published, norms less one with it.
      published_ |= tensor.name.ends_with("conv1d.weight") &&
                    !tensor.shape.empty() && tensor.shape.back() != 1;
    }
  }

  std::vector<ConvertTensor> all(bool tied) {
    for (const TensorView& tensor : files_.tensors) {
      if (!is_dropped(tensor.name, rules_, tied) && !is_unused(tensor.name)) {
        add(tensor);
      }
    }
    for (auto& [name, experts] : stacks_) {
      ConvertTensor next{.name = name};
      for (const auto& [number, tensor] : experts) {
        next.from.push_back(tensor);
      }
      out_.push_back(std::move(next));
    }
    return std::move(out_);
  }

 private:
  // Keys and values of layers that read another layer's.
  bool is_unused(std::string_view name) const {
    const int layers = text_.value("num_hidden_layers", 0);
    const int shared = text_.value("num_kv_shared_layers", 0);
    return rules_.shared_keys && shared > 0 && contains(name, "layers.") &&
           layer_of(name) >= layers - shared &&
           (contains(name, ".self_attn.k_") ||
            contains(name, ".self_attn.v_proj"));
  }

  void add(const TensorView& tensor) {
    const std::string name = outer_name(tensor.name, rules_, inside_);
    if (const auto expert = expert_name(name)) {
      std::string part = expert->part;
      for (const auto& [from, to] : rules_.stacked) {
        part = part == from ? std::string(to) : part;
      }
      stacks_[fmt::format("{}{}.{}.weight", expert->before, rules_.stack, part)]
             [expert->expert] = &tensor;
      return;
    }
    ConvertTensor next{.from = {&tensor}, .name = name};
    for (const ConvertHalves& halves : rules_.halves) {
      if (name.ends_with(halves.name)) {
        next.half = 0;
        next.name = with_ending(name, halves.name, halves.first);
        out_.push_back(next);
        next.half = 1;
        next.name = with_ending(name, halves.name, halves.second);
        out_.push_back(std::move(next));
        return;
      }
    }
    if (rules_.latent_heads && name.ends_with("kv_b_proj.weight")) {
      add_latent(std::move(next));
      return;
    }
    for (const auto& [from, to] : rules_.endings) {
      if (name.ends_with(from)) {
        next.name = with_ending(name, from, to);
      }
    }
    next.change = change_of(next.name, tensor);
    next.cast = std::ranges::none_of(
        rules_.kept_type,
        [&](std::string_view part) { return contains(name, part); });
    out_.push_back(std::move(next));
  }

  void add_latent(ConvertTensor next) {
    constexpr std::string_view kEnd = "kv_b_proj.weight";
    const std::string name = next.name;
    next.heads = text_.value("num_attention_heads", 0);
    next.keys = text_.value("qk_nope_head_dim", 0);
    next.change = ConvertChange::latent_keys;
    next.name = with_ending(name, kEnd, "embed_q.weight");
    out_.push_back(next);
    next.change = ConvertChange::latent_values;
    next.name = with_ending(name, kEnd, "unembed_out.weight");
    out_.push_back(std::move(next));
  }

  ConvertChange change_of(
      std::string_view name, const TensorView& tensor) const {
    if (rules_.taps_first && tensor.shape.size() == 3 &&
        contains(name, "conv") && tensor.shape[1] == 1) {
      return ConvertChange::taps_first;
    }
    constexpr std::array<std::string_view, 5> kNorms = {
        ".input_layernorm.weight",
        ".post_attention_layernorm.weight",
        "model.norm.weight",
        ".q_norm.weight",
        ".k_norm.weight"};
    const bool norm = tensor.shape.size() == 1 &&
                      std::ranges::any_of(kNorms, [&](std::string_view end) {
                        return name.ends_with(end);
                      });
    return norm && rules_.norms_plus_one && published_ ? ConvertChange::plus_one
                                                       : ConvertChange::none;
  }

  const ModelFiles& files_;
  const ConvertRules& rules_;
  const Json& text_;
  bool inside_ = false;
  bool published_ = false;
  std::map<std::string, std::map<int, const TensorView*>> stacks_;
  std::vector<ConvertTensor> out_;
};

}  // namespace

std::vector<ConvertTensor> tensors_to_convert(
    const ModelFiles& files, const Json& text, bool tied) {
  return Tensors(files, text).all(tied);
}

}  // namespace rapid
