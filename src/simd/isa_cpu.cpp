#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "simd/simd.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace rapid {

namespace {

#if defined(__x86_64__) && defined(__linux__)
// The processor has tiles of bfloat16, and the system lets this process use
// them; it wants to be asked, as they are 8 KiB of state in each thread.
bool may_use_tiles() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kTiles = 1U << 24 | 1U << 22;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kTiles) != kTiles) {
    return false;
  }
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & 1U << 5) == 0) {
    return false;  // no AVX512-BF16
  }
  constexpr long kAskPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return ::syscall(SYS_arch_prctl, kAskPermission, kTileData) == 0;
}
#elif defined(__x86_64__)
bool may_use_tiles() {
  return false;
}
#endif

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
    case Isa::amx: {
      static const bool tiles = may_use_tiles();
      return tiles && cpu_has(Isa::avx512);
    }
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

// Made here, where no instruction is one that only some machines have.
const KernelTable* amx_kernels() {
  if (!amx_attention() || !avx512_kernels()) {
    return nullptr;
  }
  static const KernelTable table = [] {
    KernelTable out = *avx512_kernels();
    out.attend_halves = amx_attention();
    return out;
  }();
  return &table;
}

const KernelTable* table_of(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return avx2_kernels();
    case Isa::avx512:
      return avx512_kernels();
    case Isa::amx:
      return amx_kernels();
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
  for (const Isa isa :
       {Isa::scalar, Isa::avx2, Isa::avx512, Isa::amx, Isa::neon}) {
    if (cpu_has(isa) && table_of(isa)) {
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
    case Isa::amx:
      return "amx";
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

// Scores and weights of the rows that meet a tile together, and the tile's keys
// and values once more, by 32 dimensions.
size_t attend_floats(int dim) {
  const size_t wide = (static_cast<size_t>(dim) + 31) / 32 * 32;
  constexpr size_t kRows = 32;
  return kRows * (kTileKeys + 16 + 64) + (2 * kTileKeys + 2 * kRows) * wide;
}

}  // namespace rapid
