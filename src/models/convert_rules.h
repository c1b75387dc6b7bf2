// How MLX's own converter changes a family's tensors beyond packing matrices:
// names, experts as one stack, modules that keep more bits. For
// engine/convert_plan.h.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace rapid {

// Rows of one tensor that become two: gate and up.
struct ConvertHalves {
  std::string_view name;  // what the tensor's name ends with
  std::string_view first;
  std::string_view second;
};

struct ConvertRules {
  using Names = std::vector<std::string_view>;
  using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;

  Names eight_bit;  // modules that end so: affine, 8 bits, groups of 64
  Names unpacked;   // modules that end so stay as they are
  Names kept_type;  // parameters with this in their names are not cast
  Names dropped;    // nor are these written
  Pairs endings;    // of names
  std::vector<ConvertHalves> halves;
  // Instead of "experts" where each one has tensors, and their last parts.
  std::string_view stack = "switch_mlp";
  Pairs stacked;
  std::string_view prefix = {};  // that all names get
  bool norms_plus_one = false;   // where norms are stored less one
  bool taps_first = false;       // convolutions [C, 1, K] become [C, K, 1]
  bool latent_heads = false;     // kv_b_proj becomes embed_q and unembed_out
  bool shared_keys = false;      // later layers' unused k and v are dropped
  bool never_tied = false;       // whatever the configuration says
  bool experts = true;           // can be converted
};

// By config.json's model_type; nothing for families without any.
const ConvertRules& convert_rules(std::string_view model_type);

}  // namespace rapid
