// Element types as files store them. A block type packs `block_size` elements
// of one row into `block_bytes`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rapid {

enum class TensorType : uint8_t {
  f32,
  f16,
  bf16,
  i8,
  i16,
  i32,
  i64,
  u8,
  u16,
  u32,
  u64,
  boolean,  // safetensors only
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  mxfp4,
};

struct TensorTypeInfo {
  std::string_view name;  // "Q4_K", as GGUF spells it
  int block_size;         // elements; 1 for plain types
  int block_bytes;
};

const TensorTypeInfo& tensor_type_info(TensorType type);

inline bool is_block_type(TensorType type) {
  return tensor_type_info(type).block_size > 1;
}

// Bytes of `elements` of this type; elements must be a multiple of the block.
size_t tensor_bytes(TensorType type, size_t elements);

}  // namespace rapid
