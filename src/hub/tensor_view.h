// One tensor inside a mapped file: a name, a type, a shape and its bytes.
// Nothing is copied; `file` keeps the map alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "hub/tensor_type.h"

namespace rapid {

struct TensorView {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<int64_t> shape;  // row-major, outermost first: [N, K]
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;

  int64_t elements() const {
    int64_t n = 1;
    for (const int64_t d : shape) {
      n *= d;
    }
    return n;
  }
};

}  // namespace rapid
