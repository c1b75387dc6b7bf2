// Random weights of every stored type, and bitwise comparison.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "simd/simd.h"
#include "simd/thread_pool.h"
#include "tensor/weight.h"

namespace rapid::testing {

struct Kind {
  TensorType type = TensorType::f32;
  std::optional<QuantScheme> scheme = std::nullopt;

  std::string name() const {
    if (!scheme) {
      return std::string(tensor_type_info(type).name);
    }
    static const char* modes[] = {"affine", "mxfp4", "mxfp8", "nvfp4"};
    return std::string(modes[static_cast<int>(scheme->mode)]) + "_" +
           std::to_string(scheme->bits) + "_" +
           std::to_string(scheme->group_size) + "_" +
           std::string(tensor_type_info(type).name);
  }
  // K must be a multiple of this.
  int step() const {
    return scheme ? std::max(scheme->group_size, 32)
                  : tensor_type_info(type).block_size;
  }
};

inline std::vector<Kind> stored_kinds() {
  std::vector<Kind> out;
  for (const TensorType type :
       {TensorType::f32,
        TensorType::f16,
        TensorType::bf16,
        TensorType::q4_0,
        TensorType::q4_1,
        TensorType::q5_0,
        TensorType::q5_1,
        TensorType::q8_0,
        TensorType::q2_k,
        TensorType::q3_k,
        TensorType::q4_k,
        TensorType::q5_k,
        TensorType::q6_k,
        TensorType::mxfp4}) {
    out.push_back({type});
  }
  return out;
}

// For a packed kind `type` is that of the scales.
inline std::vector<Kind> packed_kinds() {
  std::vector<Kind> out;
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128}) {
      const TensorType scales = group == 32   ? TensorType::f16
                                : group == 64 ? TensorType::bf16
                                              : TensorType::f32;
      out.push_back({scales, QuantScheme{QuantMode::affine, bits, group}});
    }
  }
  out.push_back({TensorType::u8, QuantScheme{QuantMode::mxfp4, 4, 32}});
  out.push_back({TensorType::u8, QuantScheme{QuantMode::mxfp8, 8, 32}});
  out.push_back({TensorType::u8, QuantScheme{QuantMode::nvfp4, 4, 16}});
  return out;
}

inline std::vector<Kind> all_kinds() {
  std::vector<Kind> out = stored_kinds();
  for (const Kind& kind : packed_kinds()) {
    out.push_back(kind);
  }
  return out;
}

inline uint16_t half_bits(float x) {
  const mx::float16_t h(x);
  uint16_t bits;
  std::memcpy(&bits, &h, 2);
  return bits;
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t word() { return engine_(); }
  float uniform(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  mx::array array(mx::Shape shape, float scale = 1) {
    size_t size = 1;
    for (const int d : shape) {
      size *= static_cast<size_t>(d);
    }
    std::vector<float> values(size);
    for (float& v : values) {
      v = uniform(-scale, scale);
    }
    return mx::array(values.data(), std::move(shape));
  }

 private:
  std::mt19937 engine_;
};

using Bytes = std::shared_ptr<std::vector<std::byte>>;

inline void put(
    std::vector<std::byte>& to, size_t at, const void* p, size_t n) {
  std::memcpy(to.data() + at, p, n);
}

// `count` float values of a type; random bytes for block types, with scales
// that keep values near 1.
inline void fill(
    std::vector<std::byte>& to, TensorType type, size_t count, Random& random) {
  const TensorTypeInfo& info = tensor_type_info(type);
  to.resize(tensor_bytes(type, count));
  if (!is_block_type(type)) {
    for (size_t i = 0; i < count; ++i) {
      const float value = random.uniform(-0.5f, 0.5f);
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint16_t brain = static_cast<uint16_t>(bits >> 16);
      const uint16_t half = half_bits(value);
      type == TensorType::f32
          ? put(to, i * 4, &value, 4)
          : put(to, i * 2, type == TensorType::f16 ? &half : &brain, 2);
    }
    return;
  }
  for (std::byte& b : to) {
    b = static_cast<std::byte>(random.word());
  }
  std::vector<size_t> halves = {0};
  switch (type) {
    case TensorType::q4_1:
    case TensorType::q5_1:
    case TensorType::q4_k:
    case TensorType::q5_k:
      halves = {0, 2};
      break;
    case TensorType::q2_k:
      halves = {80, 82};
      break;
    case TensorType::q3_k:
      halves = {108};
      break;
    case TensorType::q6_k:
      halves = {208};
      break;
    default:
      break;
  }
  for (size_t at = 0; at < to.size(); at += info.block_bytes) {
    if (type == TensorType::mxfp4) {
      to[at] = static_cast<std::byte>(118 + random.word() % 8);
      continue;
    }
    const bool wide = info.block_size == 256;
    for (const size_t h : halves) {
      const uint16_t bits =
          half_bits(random.uniform(0.2f, 1.0f) * (wide ? 0.001f : 0.05f));
      put(to, at + h, &bits, 2);
    }
  }
}

inline TensorView view_of(
    const Bytes& bytes, TensorType type, std::vector<int64_t> shape) {
  return {"test", type, std::move(shape), std::span(*bytes), nullptr};
}

struct TestWeight {
  std::vector<Bytes> memory;
  WeightPtr weight;
};

inline TestWeight make_weight(const Kind& kind, int n, int k, uint32_t seed) {
  Random random(seed);
  TestWeight out;
  const auto fresh = [&] {
    out.memory.push_back(std::make_shared<std::vector<std::byte>>());
    return out.memory.back();
  };
  auto weight = std::make_shared<Weight>();
  weight->name = kind.name();
  weight->rows = n;
  weight->cols = k;
  const auto count = static_cast<size_t>(n) * static_cast<size_t>(k);
  const Bytes data = fresh();
  if (!kind.scheme) {
    fill(*data, kind.type, count, random);
    weight->data = view_of(data, kind.type, {n, k});
    out.weight = weight;
    return out;
  }
  const QuantScheme& s = *kind.scheme;
  weight->scheme = s;
  data->resize(count * static_cast<size_t>(s.bits) / 8);
  for (std::byte& b : *data) {
    b = static_cast<std::byte>(random.word());
    if (s.mode == QuantMode::mxfp8 &&
        (b & std::byte{0x7F}) == std::byte{0x7F}) {
      b = std::byte{1};  // not a NaN
    }
  }
  weight->data = view_of(data, TensorType::u32, {n, k * s.bits / 32});
  const int groups = k / s.group_size;
  const auto group_count = static_cast<size_t>(n) * groups;
  const Bytes scales = fresh();
  if (s.mode == QuantMode::affine) {
    const Bytes biases = fresh();
    fill(*scales, kind.type, group_count, random);
    fill(*biases, kind.type, group_count, random);
    weight->biases = view_of(biases, kind.type, {n, groups});
  } else {
    scales->resize(group_count);
    for (std::byte& b : *scales) {
      const int e8m0 = 118 + static_cast<int>(random.word() % 8);
      const int e4m3 = static_cast<int>(random.word() % 64);
      b = static_cast<std::byte>(s.mode == QuantMode::nvfp4 ? e4m3 : e8m0);
    }
  }
  weight->scales = view_of(scales, kind.type, {n, groups});
  out.weight = weight;
  return out;
}

inline std::vector<float> values(const mx::array& a) {
  mx::array copy = mx::contiguous(a);
  copy.eval();
  return {copy.data<float>(), copy.data<float>() + copy.size()};
}

inline bool same_bits(
    const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline float largest(const std::vector<float>& a) {
  float out = 0;
  for (const float v : a) {
    out = std::max(out, std::abs(v));
  }
  return out;
}

// The largest difference, in units of the largest value.
inline float distance(
    const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float d = std::abs(a[i] - b[i]);
    if (std::isnan(d)) {
      return d;
    }
    worst = std::max(worst, d);
  }
  return worst / std::max(largest(b), 1e-6f);
}

// Runs every test once per instruction set, and puts the old one back.
class EveryIsa : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = active_isa();
    set_isa(GetParam());
    mx::set_default_device(mx::Device::cpu);
  }
  void TearDown() override {
    set_isa(before_);
    ThreadPool::set_global_threads(0);
  }

 private:
  Isa before_ = Isa::scalar;
};

inline std::string isa_of(const ::testing::TestParamInfo<Isa>& info) {
  return isa_name(info.param);
}

}  // namespace rapid::testing
