// A machine as far as advice needs it: a value, so that any machine can be
// asked about, and the ways to make one: by its chip, or of the machine that
// runs.
//
// What a model may take is told twice: `usable` is the hard limit, past which
// a load fails or the system swaps; `comfortable` leaves room for the programs
// that people run beside a model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "advice/cpu_probe.h"
#include "base/result.h"

namespace rapid {

struct Machine {
  enum class Kind { unified, cpu, gpu };

  Kind kind = Kind::cpu;
  std::string chip;
  int threads = 0;           // on a CPU
  uint64_t memory = 0;       // all there is, of the GPU if there is one
  uint64_t usable = 0;       // by a model
  uint64_t comfortable = 0;  // of that
  std::string memory_why;    // what bounds `usable`
  double bandwidth = 0;      // bytes a second
  bool measured = false;     // else it is what the chip is known for
  // Of a decode step: the part of the bandwidth that weights are read with,
  // and what a block (attention, feed-forward ...) and the routing of experts
  // cost beside it (decision 0037).
  double efficiency = 0.8;
  double block_seconds = 0;
  double routing_seconds = 0;
  double flops = 0;                // of a prompt's products, reached
  double attend_flops = 0;         // of its attention; 0 = as fast as products
  double decode_attend_flops = 0;  // of one token's; 0 = it costs nothing

  bool operator==(const Machine&) const = default;
};

// "Apple M3 Ultra", "M1", "m4 pro"; none for a chip that is not known.
std::optional<Machine> mac_machine(std::string_view chip, uint64_t memory);

// By a part of the driver's name: "H100", "RTX 4090". A GPU that is not known
// is taken for a small one.
Machine gpu_machine(std::string_view name, uint64_t memory, uint64_t free);

// `available`: what the model may take now.
Machine cpu_machine(
    std::string_view chip,
    int threads,
    uint64_t memory,
    uint64_t available,
    const CpuSpeed& speed);

// The same machine with less memory: what --max-ram asks about.
Machine with_memory(Machine machine, uint64_t memory);

struct GpuFound {
  std::string name;
  uint64_t memory = 0;
  uint64_t free = 0;
};

// The lines of `nvidia-smi --query-gpu=name,memory.total,memory.free
// --format=csv,noheader,nounits`.
std::vector<GpuFound> read_gpus(const std::string& text);

// The probe takes a moment; who asks about room alone can do without.
enum class Measure { yes, no };

// This machine, as --device would use it: "auto", "cpu", "metal", "cuda[:N]".
Machine this_machine(const std::string& device, Measure measure = Measure::yes);

}  // namespace rapid
