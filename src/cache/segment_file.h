// A segment: one safetensors file of state units, each checked by a checksum.
//
// Units of one layer, name, type and shape lie behind one another in one
// tensor [count, shape...] named <layer>.<name>[.<n>]. Metadata under the
// tensor's name: "<checksum> <first>:<end> <first>:<end> ...". Other metadata
// is the caller's; its names have no digit in front.
//
// Threads: none of its own. Units that were read keep the map alive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "state/snapshot.h"

namespace rapid {

// 64 bits that tell an accident, not an attack; as fast as memory.
uint64_t checksum(std::span<const std::byte> bytes);

struct LayerUnit {
  int layer = 0;
  StateUnit unit;
};

using SegmentMetadata = std::map<std::string, std::string>;

// A file's bytes, ready to be written: the header and views of the units.
struct SegmentPlan {
  std::string header;
  std::vector<std::span<const std::byte>> pieces;
  uint64_t bytes = 0;

  uint64_t header_checksum() const;
};

SegmentPlan plan_segment(
    std::span<const LayerUnit> units, const SegmentMetadata& metadata);

// Appears under `target` whole or not at all; `temporary` may be left behind
// by a crash.
Status write_segment(
    const SegmentPlan& plan,
    const std::filesystem::path& temporary,
    const std::filesystem::path& target);

class SegmentFile {
 public:
  // `corrupt`: it has not this size, its header not this checksum.
  static Result<SegmentFile> open(
      const std::filesystem::path& path,
      uint64_t bytes,
      uint64_t header_checksum);

  const SegmentMetadata& metadata() const { return metadata_; }
  // In the order they were written.
  const std::vector<LayerUnit>& units() const { return units_; }
  // Reads the bytes of the tensors that these units (by index) are part of:
  // `corrupt` if a checksum is wrong.
  Status verify(std::span<const size_t> units) const;

 private:
  struct Tensor {
    uint64_t checksum = 0;
    size_t first = 0;  // its units
    size_t count = 0;
  };
  SegmentMetadata metadata_;
  std::vector<LayerUnit> units_;
  std::vector<Tensor> tensors_;
  std::string path_;
};

}  // namespace rapid
