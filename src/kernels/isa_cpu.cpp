#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "kernels/simd.h"

namespace rapid {

namespace {

bool cpu_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
  }
  return false;
#else
  return isa == Isa::scalar;
#endif
}

const KernelTable* table_of(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return avx2_kernels();
    case Isa::avx512:
      return avx512_kernels();
    default:
      return scalar_kernels();
  }
}

Isa start_isa() {
  const std::vector<Isa> known = available_isas();
  const char* wish = std::getenv("RAPID_MLX_ISA");
  if (wish && *wish) {
    for (const Isa isa : known) {
      if (std::string_view(wish) == isa_name(isa)) {
        return isa;
      }
    }
    spdlog::warn(
        "RAPID_MLX_ISA={} is not one that this machine runs; using {}",
        wish,
        isa_name(known.back()));
  }
  return known.back();
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa = start_isa();
  return isa;
}

}  // namespace

std::vector<Isa> available_isas() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (table_of(isa) && cpu_has(isa)) {
      out.push_back(isa);
    }
  }
  return out;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    default:
      return "scalar";
  }
}

Isa active_isa() {
  return current();
}

void set_isa(Isa isa) {
  current() = isa;
}

const KernelTable& kernel_table() {
  return *table_of(active_isa());
}

}  // namespace rapid
