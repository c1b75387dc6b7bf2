#include "advice/quant_bits.h"

#include <algorithm>
#include <array>

namespace rapid {

std::optional<QuantBits> quant_bits(std::string_view name) {
  struct Known {
    std::string_view name;
    QuantBits bits;
  };
  // Groups of 64 carry two halves for scale and bias; mx formats a byte in 32.
  static constexpr std::array kKnown = {
      Known{"2bit", {2.25, 2.25}},  // of the ternary models: groups of 128
      Known{"3bit", {3.5, 3.5}},
      Known{"4bit", {4.5, 4.5}},
      Known{"4bit-g32", {5, 5}},
      Known{"6bit", {6.5, 6.5}},
      Known{"8bit", {8.5, 8.5}},
      Known{"mxfp4", {4.25, 4.25}},
      Known{"nvfp4", {4.5, 4.5}},
      Known{"mxfp8", {8.25, 8.25}},
      Known{"mxfp4-q4", {4.25, 4.5}},
      Known{"mxfp4-q8", {4.25, 8.5}},
      Known{"dwq", {4.5, 4.5}},
      Known{"bf16", {16, 16}},
  };
  const auto found = std::ranges::find(kKnown, name, &Known::name);
  return found == kKnown.end() ? std::nullopt : std::optional(found->bits);
}

namespace {

uint64_t bytes_of(
    uint64_t experts, uint64_t others, uint64_t plain, const QuantBits& bits) {
  return static_cast<uint64_t>(
      static_cast<double>(experts) * bits.experts / 8 +
      static_cast<double>(others) * bits.others / 8 +
      static_cast<double>(plain) * 2);
}

}  // namespace

uint64_t weight_bytes(const ModelShape& shape, const QuantBits& bits) {
  return bytes_of(
      shape.expert_params, shape.matrix_params, shape.plain_params, bits);
}

uint64_t active_bytes(const ModelShape& shape, const QuantBits& bits) {
  return bytes_of(
      shape.active_expert_params,
      shape.active_matrix_params,
      shape.plain_params,
      bits);
}

uint64_t file_bytes(const ModelShape& shape, const QuantBits& bits) {
  return weight_bytes(shape, bits) + 2 * shape.vision_params;
}

}  // namespace rapid
