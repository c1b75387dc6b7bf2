// The machine that runs: memory and chip from the system, a GPU from its
// driver's tool, the speed of a CPU by trying it.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>
#include <thread>

#include "advice/machine.h"
#include "base/child_process.h"
#include "base/clock.h"
#include "base/platform.h"
#include "engine/build_features.h"

namespace rapid {
namespace {

std::vector<GpuFound> find_gpus() {
  const auto tool = find_program("nvidia-smi");
  if (!tool) {
    return {};
  }
  auto child = ChildProcess::spawn(
      {*tool,
       "--query-gpu=name,memory.total,memory.free",
       "--format=csv,noheader,nounits"});
  if (!child) {
    return {};
  }
  const double end = now_seconds() + 5;
  const auto done = child->wait([&] { return now_seconds() > end; });
  return done && done->ok() ? read_gpus(done->out) : std::vector<GpuFound>();
}

std::string trimmed(std::string text) {
  const auto space = [](unsigned char c) { return std::isspace(c); };
  while (!text.empty() && space(text.back())) {
    text.pop_back();
  }
  while (!text.empty() && space(text.front())) {
    text.erase(text.begin());
  }
  return text;
}

}  // namespace

std::vector<GpuFound> read_gpus(const std::string& text) {
  std::vector<GpuFound> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells;
    std::istringstream parts(line);
    for (std::string cell; std::getline(parts, cell, ',');) {
      cells.push_back(trimmed(cell));
    }
    uint64_t mib[2] = {};
    bool fine = cells.size() == 3;
    for (size_t i = 0; fine && i < 2; ++i) {
      const std::string& cell = cells[i + 1];
      const auto read =
          std::from_chars(cell.data(), cell.data() + cell.size(), mib[i]);
      fine = read.ec == std::errc();
    }
    if (fine) {
      out.push_back({cells[0], mib[0] << 20, mib[1] << 20});
    }
  }
  return out;
}

Machine this_machine(const std::string& wanted, Measure measure) {
  const std::string device = wanted == "auto" ? auto_device() : wanted;
  const auto threads =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (device == "metal") {
    if (auto mac = mac_machine(chip_name(), total_memory_bytes())) {
      return *mac;
    }
  }
  if (device.starts_with("cuda")) {
    const auto gpus = find_gpus();
    size_t index = 0;
    if (const size_t colon = device.find(':'); colon != std::string::npos) {
      const std::string number = device.substr(colon + 1);
      std::from_chars(number.data(), number.data() + number.size(), index);
    }
    if (index < gpus.size()) {
      const GpuFound& gpu = gpus[index];
      return gpu_machine(gpu.name, gpu.memory, gpu.free);
    }
  }
  const uint64_t available = available_memory_bytes();
  return cpu_machine(
      chip_name(),
      threads,
      memory_limit_bytes(),
      available,
      measure == Measure::yes ? probe_cpu(threads, available / 4) : CpuSpeed());
}

}  // namespace rapid
