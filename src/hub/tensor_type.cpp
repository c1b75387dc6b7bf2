#include "hub/tensor_type.h"

#include <array>
#include <utility>

namespace rapid {

namespace {

// In the order of TensorType.
constexpr std::array<TensorTypeInfo, 23> kInfo = {{
    {"F32", 1, 4},      {"F16", 1, 2},      {"BF16", 1, 2},
    {"I8", 1, 1},       {"I16", 1, 2},      {"I32", 1, 4},
    {"I64", 1, 8},      {"U8", 1, 1},       {"U16", 1, 2},
    {"U32", 1, 4},      {"U64", 1, 8},      {"BOOL", 1, 1},
    {"Q4_0", 32, 18},   {"Q4_1", 32, 20},   {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},   {"Q8_0", 32, 34},   {"Q2_K", 256, 84},
    {"Q3_K", 256, 110}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176},
    {"Q6_K", 256, 210}, {"MXFP4", 32, 17},
}};
static_assert(kInfo.size() == static_cast<size_t>(TensorType::mxfp4) + 1);

}  // namespace

const TensorTypeInfo& tensor_type_info(TensorType type) {
  return kInfo[static_cast<size_t>(type)];
}

size_t tensor_bytes(TensorType type, size_t elements) {
  const TensorTypeInfo& info = tensor_type_info(type);
  return elements / static_cast<size_t>(info.block_size) *
         static_cast<size_t>(info.block_bytes);
}

}  // namespace rapid
