// Which code runs an op: our CPU kernels when the default device is the CPU,
// else the plain-ops definition (until a backend has a kernel of its own).
//
// Every op in this folder comes as
//   array op(...)            what models call; picks the backend
//   array op_reference(...)  plain MLX ops: the definition, and the fallback
// and is row-invariant on the CPU: a row of the result depends on its own
// inputs only, bit for bit, whatever the number of rows or threads.
#pragma once

#include <mlx/mlx.h>

namespace rapid {

namespace mx = mlx::core;

// True when ops built now run on our CPU kernels.
bool cpu_kernels_active();

// For tests: force the plain definitions in this thread while alive.
class ScopedReference {
 public:
  ScopedReference();
  ~ScopedReference();
  ScopedReference(const ScopedReference&) = delete;
  ScopedReference& operator=(const ScopedReference&) = delete;

 private:
  bool before_;
};

}  // namespace rapid
