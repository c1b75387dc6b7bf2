#include "state/host_bytes.h"

#include <cstring>
#include <stdexcept>

namespace rapid {

std::string dtype_name(mx::Dtype dtype) {
  switch (dtype.val()) {
    case mx::Dtype::Val::bool_:
      return "BOOL";
    case mx::Dtype::Val::uint8:
      return "U8";
    case mx::Dtype::Val::uint16:
      return "U16";
    case mx::Dtype::Val::uint32:
      return "U32";
    case mx::Dtype::Val::uint64:
      return "U64";
    case mx::Dtype::Val::int8:
      return "I8";
    case mx::Dtype::Val::int16:
      return "I16";
    case mx::Dtype::Val::int32:
      return "I32";
    case mx::Dtype::Val::int64:
      return "I64";
    case mx::Dtype::Val::float16:
      return "F16";
    case mx::Dtype::Val::bfloat16:
      return "BF16";
    case mx::Dtype::Val::float32:
      return "F32";
    case mx::Dtype::Val::float64:
      return "F64";
    default:
      throw std::invalid_argument("a state's array has no dtype on disk");
  }
}

StateUnit host_unit(
    std::string name, int first, int end, const mx::array& data) {
  auto held = std::make_shared<mx::array>(data);
  held->eval();
  if (!held->flags().row_contiguous) {
    *held = mx::contiguous(*held);
    held->eval();
  }
  StateUnit unit{std::move(name), first, end, dtype_name(held->dtype())};
  for (const auto size : held->shape()) {
    unit.shape.push_back(size);
  }
  unit.bytes = {
      reinterpret_cast<const std::byte*>(held->data<char>()), held->nbytes()};
  unit.keep = std::move(held);
  return unit;
}

mx::array array_of(
    std::span<const std::byte> bytes, const mx::Shape& shape, mx::Dtype dtype) {
  mx::array out(mx::allocator::malloc(bytes.size()), shape, dtype);
  std::memcpy(out.data<char>(), bytes.data(), bytes.size());
  return out;
}

}  // namespace rapid
