#include "advice/machine.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace rapid {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

struct Chip {
  std::string_view name;
  double gigabytes;  // a second
  double teraflops;  // half floats in matrix products, at best
};

// The longest name that fits counts.
constexpr std::array kMacs = {
    Chip{"m1", 68, 2.6},
    Chip{"m1 pro", 200, 5.2},
    Chip{"m1 max", 400, 10.4},
    Chip{"m1 ultra", 800, 21},
    Chip{"m2", 100, 3.6},
    Chip{"m2 pro", 200, 6.8},
    Chip{"m2 max", 400, 13.6},
    Chip{"m2 ultra", 800, 27},
    Chip{"m3", 100, 4.1},
    Chip{"m3 pro", 150, 7.4},
    Chip{"m3 max", 400, 14.2},
    Chip{"m3 ultra", 819, 28},
    Chip{"m4", 120, 4.6},
    Chip{"m4 pro", 273, 9.2},
    Chip{"m4 max", 546, 18.4},
    Chip{"m5", 153, 16},
    Chip{"m5 pro", 307, 32},
    Chip{"m5 max", 614, 64},
};

constexpr std::array kGpus = {
    Chip{"b200", 8000, 2250},
    Chip{"h200", 4800, 990},
    Chip{"h100", 3350, 990},
    Chip{"a100", 2039, 312},
    Chip{"l40s", 864, 362},
    Chip{"l4", 300, 121},
    Chip{"a10", 600, 125},
    Chip{"rtx 5090", 1792, 210},
    Chip{"rtx 4090", 1008, 165},
    Chip{"rtx 3090", 936, 71},
    Chip{"rtx 6000 ada", 960, 182},
    Chip{"gb10", 273, 100},
};
constexpr Chip kSmallGpu = {"", 300, 40};

// Of a block on a CPU: two ops with what is done for one row alone, and three
// products that all threads meet for (decisions 0007 and 0052).
constexpr double kOpSeconds = 2e-6;
constexpr int kOps = 2;
constexpr int kRounds = 3;
// Of the rate that the probe reads with: threads end at different times, and
// caches hold other things (0.7 to 0.85, decision 0005).
constexpr double kReadShare = 0.8;
// What prompts reach of the inner loops' rate: norms, rotations, copies.
constexpr double kPromptShare = 0.75;
// The same of one token's attention: its tiles are cold, and few.
constexpr double kTokenShare = 1.0 / 6;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

// "apple m3 ultra" holds "m3" and "m3 ultra".
template <typename Chips>
const Chip* find_chip(const Chips& chips, std::string_view name) {
  const std::string wanted = lower_case(name);
  const Chip* best = nullptr;
  for (const Chip& chip : chips) {
    if (wanted.find(chip.name) != std::string::npos &&
        (best == nullptr || chip.name.size() > best->name.size())) {
      best = &chip;
    }
  }
  return best;
}

uint64_t part_of(uint64_t bytes, double share) {
  return static_cast<uint64_t>(static_cast<double>(bytes) * share);
}

// The system lets the GPU wire two thirds of a small memory and three quarters
// of a large one. A browser, an editor and the system want about 10 GiB; on a
// machine with less than 16 the model gets three eighths.
void set_unified_memory(Machine& machine, uint64_t memory) {
  machine.memory = memory;
  machine.usable = memory <= 36 * kGiB ? memory / 3 * 2 : part_of(memory, 0.75);
  const uint64_t beside = 10 * kGiB;
  const uint64_t rest = memory > beside ? memory - beside : 0;
  machine.comfortable =
      std::min(machine.usable, std::max(part_of(memory, 0.375), rest));
  machine.memory_why = memory <= 36 * kGiB
                           ? "two thirds of the unified memory"
                           : "three quarters of the unified memory";
}

}  // namespace

std::optional<Machine> mac_machine(std::string_view name, uint64_t memory) {
  const Chip* chip = find_chip(kMacs, name);
  if (chip == nullptr) {
    return std::nullopt;
  }
  Machine out;
  out.kind = Machine::Kind::unified;
  out.chip = name;
  set_unified_memory(out, memory);
  out.bandwidth = chip->gigabytes * 1e9;
  out.efficiency = 0.80;
  out.block_seconds = 35e-6;
  out.routing_seconds = 113e-6;
  out.flops = 0.55 * chip->teraflops * 1e12;
  return out;
}

Machine gpu_machine(std::string_view name, uint64_t memory, uint64_t free) {
  const Chip* found = find_chip(kGpus, name);
  const Chip& chip = found != nullptr ? *found : kSmallGpu;
  Machine out;
  out.kind = Machine::Kind::gpu;
  out.chip = name;
  out.memory = memory;
  // The driver's context and MLX's own buffers.
  const uint64_t beside = std::min<uint64_t>(kGiB, free);
  out.usable = free - beside;
  out.comfortable = out.usable;
  out.memory_why = "free memory of the GPU, less 1 GiB";
  out.bandwidth = chip.gigabytes * 1e9;
  // MLX's quantised products reach a small part of a large GPU's bandwidth.
  out.efficiency = 0.25;
  out.block_seconds = 20e-6;
  out.routing_seconds = 150e-6;
  out.flops = 0.25 * chip.teraflops * 1e12;
  return out;
}

Machine cpu_machine(
    std::string_view chip,
    int threads,
    uint64_t memory,
    uint64_t available,
    const CpuSpeed& speed) {
  Machine out;
  out.kind = Machine::Kind::cpu;
  out.chip = chip;
  out.threads = std::max(threads, 1);
  out.memory = memory;
  out.usable = std::min(part_of(memory, 0.9), available);
  const uint64_t beside = kGiB / 2;
  out.comfortable = out.usable > beside ? out.usable - beside : 0;
  out.memory_why = out.usable == available
                       ? "memory that nobody uses now"
                       : "nine tenths of the machine or control group";
  out.bandwidth = speed.read;
  out.measured = true;
  out.efficiency = kReadShare;
  out.block_seconds = kOps * kOpSeconds + kRounds * speed.round_seconds;
  out.routing_seconds = kOps * kOpSeconds + 2 * speed.round_seconds;
  out.flops = kPromptShare * speed.multiply;
  out.attend_flops = kPromptShare * speed.attend;
  out.decode_attend_flops = kTokenShare * speed.attend;
  return out;
}

Machine with_memory(Machine machine, uint64_t memory) {
  if (machine.kind == Machine::Kind::unified) {
    set_unified_memory(machine, memory);
    return machine;
  }
  machine.memory = std::min(machine.memory, memory);
  machine.usable = std::min(machine.usable, memory);
  machine.comfortable = std::min(machine.comfortable, memory);
  machine.memory_why = "as asked for";
  return machine;
}

}  // namespace rapid
