#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "simd/simd.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

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
             __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
    default:
      return false;
  }
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kNeeded = HWCAP_ASIMDDP | HWCAP_ASIMDHP;
  return isa == Isa::scalar ||
         (isa == Isa::neon && (getauxval(AT_HWCAP) & kNeeded) == kNeeded);
#elif defined(__aarch64__) && defined(__APPLE__)
  return isa == Isa::scalar || isa == Isa::neon;  // every Apple chip since M1
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
    case Isa::neon:
      return neon_kernels();
    default:
      return scalar_kernels();
  }
}

// The known one of that name, else null.
const Isa* find_isa(const std::vector<Isa>& known, const char* name) {
  for (const Isa& isa : known) {
    if (std::string_view(name) == isa_name(isa)) {
      return &isa;
    }
  }
  return nullptr;
}

const char* isa_wish() {
  const char* wish = std::getenv("RAPID_MLX_ISA");
  return wish && *wish ? wish : nullptr;
}

Isa start_isa() {
  const std::vector<Isa> known = available_isas();
  const char* wish = isa_wish();
  const Isa* found = wish ? find_isa(known, wish) : nullptr;
  return found ? *found : known.back();
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa = start_isa();
  return isa;
}

}  // namespace

std::vector<Isa> available_isas() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::neon}) {
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
    case Isa::neon:
      return "neon";
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

const char* refused_isa_wish() {
  const char* wish = isa_wish();
  return wish && !find_isa(available_isas(), wish) ? wish : nullptr;
}

const KernelTable& kernel_table() {
  return *table_of(active_isa());
}

}  // namespace rapid
