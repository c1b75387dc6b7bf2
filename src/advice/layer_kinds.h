// What each layer of a model is, read off its configuration: by the list of
// kinds that it has, by a pattern, or by the fields that only one family has.
#pragma once

#include <cstdint>
#include <vector>

#include "advice/config_fields.h"
#include "base/result.h"

namespace rapid {

enum class Mixer { none, attention, sliding, compressed, delta, mamba, conv };

struct LayerKind {
  Mixer mixer = Mixer::attention;
  bool dense = false;    // a feed-forward of its own
  bool experts = false;  // or one of experts
  uint64_t rate = 0;     // tokens of a compressed entry; 0 = has none
  bool indexed = false;  // picks its entries
};

// Experts of a layer that has some; 0 = none has.
uint64_t expert_count(const ConfigFields& fields);
// Attention over a window and entries, projected back by groups.
bool has_compressed_attention(const ConfigFields& fields);

// Of the text model, in order. Errors: unsupported, for fields that change
// layers in a way not known here.
Result<std::vector<LayerKind>> layer_kinds(const ConfigFields& fields);

}  // namespace rapid
