#include "tensor/fp8.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "hub/dequantise.h"
#include "tensor/mlx_dequantise.h"

namespace rapid {

namespace {

// Rounded to nearest even; a NaN stays one.
uint16_t to_bfloat(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) {
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  }
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

std::array<float, 256> e4m3_values() {
  std::array<float, 256> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = e4m3_to_float(static_cast<uint8_t>(i));
  }
  return out;
}

int64_t blocks(int64_t size, int64_t block) {
  return (size + block - 1) / block;
}

// u8: exponents alone (e8m0).
bool is_scale(TensorType type) {
  return type == TensorType::f32 || type == TensorType::bf16 ||
         type == TensorType::f16 || type == TensorType::u8;
}

std::vector<float> scale_values(const TensorView& scales) {
  std::vector<float> out(static_cast<size_t>(scales.elements()));
  if (scales.type == TensorType::u8) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = e8m0_to_float(static_cast<uint8_t>(scales.bytes[i]));
    }
  } else {
    dequantise(scales.type, scales.bytes, out);
  }
  return out;
}

}  // namespace

Fp8Block fp8_block(const Json& config) {
  Fp8Block out;
  const auto found = config.find("quantization_config");
  if (found == config.end() || !found->is_object()) {
    return out;
  }
  const Json size = found->value("weight_block_size", Json());
  if (size.is_array() && size.size() == 2 && size[0].is_number_integer() &&
      size[1].is_number_integer() && size[0] > 0 && size[1] > 0) {
    out = {size[0].get<int64_t>(), size[1].get<int64_t>()};
  }
  return out;
}

Result<TensorView> dequantise_fp8(
    const TensorView& weight,
    const TensorView& scales,
    const Fp8Block& block,
    bool exact) {
  const int64_t rows = weight.shape[0];
  const int64_t cols = weight.shape[1];
  const bool one = scales.elements() == 1;
  const int64_t across = one ? 1 : blocks(cols, block.cols);
  const std::vector<int64_t> wanted = {blocks(rows, block.rows), across};
  if ((!one && scales.shape != wanted) || !is_scale(scales.type)) {
    return Error{
        ErrorCode::corrupt,
        fmt::format(
            "tensor {}: expected one scale for each block of {} x {}",
            scales.name,
            block.rows,
            block.cols),
        "the file is damaged, or its quantisation is not what it says"};
  }
  const std::vector<float> factors = scale_values(scales);
  const std::array<float, 256> values = e4m3_values();
  const size_t size = exact ? sizeof(float) : sizeof(uint16_t);
  auto memory =
      std::make_shared<std::vector<std::byte>>(weight.bytes.size() * size);
  std::byte* to = memory->data();
  const auto* from = reinterpret_cast<const uint8_t*>(weight.bytes.data());
  for (int64_t n = 0; n < rows; ++n) {
    const int64_t line = one ? 0 : n / block.rows * across;
    for (int64_t k = 0; k < cols; ++k, to += size) {
      const int64_t at = one ? 0 : line + k / block.cols;
      const float value = values[*from++] * factors[static_cast<size_t>(at)];
      const uint16_t half = to_bfloat(value);
      std::memcpy(to, exact ? static_cast<const void*>(&value) : &half, size);
    }
  }
  TensorView out = weight;
  out.type = exact ? TensorType::f32 : TensorType::bf16;
  out.bytes = *memory;
  // Points to no file, and holds the memory.
  out.file = std::shared_ptr<const MappedFile>(memory, nullptr);
  return out;
}

}  // namespace rapid
