#include "tensor/gpu_layout.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "hub/dequantise.h"
#include "tensor/affine_blocks.h"
#include "tensor/array_copy.h"
#include "tensor/device_memory.h"

namespace rapid {

namespace {

struct OnGpu final : PreparedWeight {
  explicit OnGpu(GpuLayout made) : layout(std::move(made)) {}
  GpuLayout layout;
};

// float16 if every value survives it, else as it is.
mx::array narrowest(std::vector<float> values, const mx::Shape& shape) {
  const bool fits = std::ranges::all_of(values, [](float v) {
    return static_cast<float>(static_cast<mx::float16_t>(v)) == v;
  });
  const mx::array full(values.data(), shape);
  mx::array out = fits ? mx::astype(full, mx::float16) : full;
  out.eval();
  return out;
}

// `bits` of each element, one after another, from the lowest bit up.
void pack(std::span<const uint8_t> q, int bits, uint8_t* to) {
  uint32_t held = 0;
  int count = 0;
  for (const uint8_t v : q) {
    held |= static_cast<uint32_t>(v) << count;
    for (count += bits; count >= 8; count -= 8) {
      *to++ = static_cast<uint8_t>(held);
      held >>= 8;
    }
  }
}

mx::array packed_words(const Weight& w, int bits) {
  const auto words = static_cast<int>(w.cols * bits / 32);
  return mx::array(
      mx::allocator::malloc(
          static_cast<size_t>(w.rows) * static_cast<size_t>(words) * 4),
      {static_cast<int>(w.rows), words},
      mx::uint32);
}

GpuLayout affine_layout(const Weight& w, int bits) {
  const auto groups = static_cast<size_t>(w.rows * w.cols / 32);
  std::vector<float> scales(groups);
  std::vector<float> biases(groups);
  mx::array data = packed_words(w, bits);
  auto* to = data.data<uint8_t>();
  const auto* from = reinterpret_cast<const uint8_t*>(w.data.bytes.data());
  const TensorTypeInfo& info = tensor_type_info(w.data.type);
  const auto per_block = static_cast<size_t>(info.block_size / 32);
  for (size_t g = 0; g < groups; ++g) {
    const AffineGroup group = affine_group(
        w.data.type,
        from + g / per_block * static_cast<size_t>(info.block_bytes),
        static_cast<int>(g % per_block));
    scales[g] = group.scale;
    biases[g] = group.bias;
    pack(group.q, bits, to + g * 4 * static_cast<size_t>(bits));
  }
  const mx::Shape shape = {
      static_cast<int>(w.rows), static_cast<int>(w.cols / 32)};
  return GpuLayout{
      std::move(data),
      narrowest(std::move(scales), shape),
      narrowest(std::move(biases), shape),
      QuantScheme{QuantMode::affine, bits, 32}};
}

constexpr int kMxfp4Bytes = 17;

bool mxfp4_fits(const Weight& w) {
  for (size_t at = 0; at < w.data.bytes.size(); at += kMxfp4Bytes) {
    if (w.data.bytes[at] == std::byte{0xFF}) {
      return false;
    }
  }
  return true;
}

GpuLayout mxfp4_layout(const Weight& w) {
  const auto groups = static_cast<size_t>(w.rows * w.cols / 32);
  mx::array data = packed_words(w, 4);
  mx::array scales(
      mx::allocator::malloc(groups),
      {static_cast<int>(w.rows), static_cast<int>(w.cols / 32)},
      mx::uint8);
  const auto* from = reinterpret_cast<const uint8_t*>(w.data.bytes.data());
  for (size_t g = 0; g < groups; ++g) {
    const uint8_t* block = from + g * kMxfp4Bytes;
    scales.data<uint8_t>()[g] = block[0];
    pack(low_then_high(block + 1), 4, data.data<uint8_t>() + g * 16);
  }
  return GpuLayout{
      std::move(data),
      std::move(scales),
      std::nullopt,
      QuantScheme{QuantMode::mxfp4, 4, 32}};
}

// float16, or float32 where float16 would overflow.
GpuLayout plain_layout(const Weight& w) {
  const mx::array full = weight_to_float(w);
  mx::array half = mx::astype(full, mx::float16);
  const bool fits = mx::all(mx::isfinite(half)).item<bool>();
  GpuLayout out{fits ? half : full};
  spdlog::warn(
      "{}: {} has no GPU layout; as {} it takes {} bytes instead of {}",
      w.name,
      tensor_type_info(w.data.type).name,
      fits ? "float16" : "float32",
      out.bytes(),
      w.data.bytes.size());
  return out;
}

const char* mode_name(QuantMode mode) {
  switch (mode) {
    case QuantMode::mxfp4:
      return "mxfp4";
    case QuantMode::mxfp8:
      return "mxfp8";
    case QuantMode::nvfp4:
      return "nvfp4";
    default:
      return "affine";
  }
}

std::optional<mx::array> as_float(const std::optional<mx::array>& a) {
  return a ? std::optional(mx::astype(*a, mx::float32)) : std::nullopt;
}

}  // namespace

size_t GpuLayout::bytes() const {
  return data.nbytes() + (scales ? scales->nbytes() : 0) +
         (biases ? biases->nbytes() : 0);
}

GpuLayout make_gpu_layout(const Weight& weight) {
  if (weight.scheme) {
    GpuLayout out{
        array_copy(weight.data),
        array_copy(*weight.scales),
        std::nullopt,
        weight.scheme};
    if (weight.biases) {
      out.biases = array_copy(*weight.biases);
    }
    return out;
  }
  const TensorType type = weight.data.type;
  if (!is_block_type(type)) {
    return GpuLayout{array_copy(weight.data)};
  }
  if (const int bits = affine_bits(type); bits > 0) {
    return affine_layout(weight, bits);
  }
  return type == TensorType::mxfp4 && mxfp4_fits(weight) ? mxfp4_layout(weight)
                                                         : plain_layout(weight);
}

const GpuLayout& gpu_layout(const Weight& weight) {
  const auto* known = dynamic_cast<const OnGpu*>(weight.prepared.get());
  if (!known) {
    GpuLayout layout = make_gpu_layout(weight);
    layout.data = in_device_memory(layout.data);
    if (layout.scales) {
      layout.scales = in_device_memory(*layout.scales);
    }
    if (layout.biases) {
      layout.biases = in_device_memory(*layout.biases);
    }
    auto made = std::make_shared<const OnGpu>(std::move(layout));
    known = made.get();
    weight.prepared = std::move(made);
  }
  return known->layout;
}

mx::array gpu_rows(
    const GpuLayout& layout, const std::optional<mx::array>& ids) {
  const auto pick = [&](const mx::array& a) {
    return ids ? mx::take(a, *ids, 0) : a;
  };
  const mx::array data = pick(layout.data);
  if (!layout.scheme) {
    return mx::astype(data, mx::float32);
  }
  const QuantScheme& s = *layout.scheme;
  const bool affine = s.mode == QuantMode::affine;
  const mx::array scales = pick(*layout.scales);
  std::optional<mx::array> biases;
  if (layout.biases) {
    biases = pick(*layout.biases);
  }
  return mx::dequantize(
      data,
      affine ? mx::astype(scales, mx::float32) : scales,
      as_float(biases),
      s.group_size,
      s.bits,
      mode_name(s.mode),
      std::nullopt,
      mx::float32);
}

mx::array gpu_matmul(const mx::array& x, const GpuLayout& layout) {
  if (!layout.scheme) {
    return mx::matmul(x, mx::transpose(mx::astype(layout.data, mx::float32)));
  }
  const QuantScheme& s = *layout.scheme;
  const bool affine = s.mode == QuantMode::affine;
  return mx::quantized_matmul(
      x,
      layout.data,
      affine ? mx::astype(*layout.scales, mx::float32) : *layout.scales,
      as_float(layout.biases),
      true,
      s.group_size,
      s.bits,
      mode_name(s.mode));
}

}  // namespace rapid
