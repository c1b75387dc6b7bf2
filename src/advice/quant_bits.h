// Bytes of a model by how it is quantised, as the catalogue names it.
//
//   weight_bytes(shape, *quant_bits("4bit"));     // of the text model
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "advice/model_shape.h"

namespace rapid {

// Bits of a parameter with its share of scales.
struct QuantBits {
  double experts = 16;
  double others = 16;
};

// Of the catalogue's names: "4bit", "mxfp4", "mxfp4-q8", "bf16" ...; none for
// mixtures that the name does not tell.
std::optional<QuantBits> quant_bits(std::string_view quantisation);

uint64_t weight_bytes(const ModelShape& shape, const QuantBits& bits);
uint64_t active_bytes(const ModelShape& shape, const QuantBits& bits);
// With the image tower, as checkpoints carry it.
uint64_t file_bytes(const ModelShape& shape, const QuantBits& bits);

}  // namespace rapid
