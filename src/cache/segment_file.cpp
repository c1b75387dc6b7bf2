#include "cache/segment_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstring>
#include <tuple>

#include "base/json.h"
#include "hub/file_writer.h"
#include "hub/safetensors.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLanes = 8;

uint64_t mixed(uint64_t hash, uint64_t word) {
  return std::rotl((hash ^ word) * 0x9e3779b97f4a7c15u, 29);
}

Error damaged(const std::string& path, std::string_view why) {
  return Error{ErrorCode::corrupt, fmt::format("{}: {}", path, why), "", path};
}

struct Group {
  std::string name;
  const StateUnit* first = nullptr;
  int layer = 0;
  std::vector<const StateUnit*> units;

  bool takes(const LayerUnit& next) const {
    return layer == next.layer && first->name == next.unit.name &&
           first->dtype == next.unit.dtype && first->shape == next.unit.shape;
  }
};

std::vector<Group> grouped(std::span<const LayerUnit> units) {
  std::vector<Group> groups;
  for (const auto& next : units) {
    if (groups.empty() || !groups.back().takes(next)) {
      // The number keeps two groups of a layer apart.
      groups.push_back(
          {fmt::format("{}.{}.{}", next.layer, next.unit.name, groups.size()),
           &next.unit,
           next.layer,
           {}});
    }
    groups.back().units.push_back(&next.unit);
  }
  return groups;
}

template <typename T>
bool take_number(std::string_view& text, T& value, int base = 10) {
  const auto [end, code] =
      std::from_chars(text.data(), text.data() + text.size(), value, base);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return code == std::errc();
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

}  // namespace

uint64_t checksum(std::span<const std::byte> bytes) {
  std::array<uint64_t, kLanes> lanes;
  for (size_t i = 0; i < kLanes; ++i) {
    lanes[i] = i + 1;
  }
  std::array<uint64_t, kLanes> words;
  const size_t size = bytes.size();
  for (; bytes.size() >= sizeof(words); bytes = bytes.subspan(sizeof(words))) {
    std::memcpy(words.data(), bytes.data(), sizeof(words));
    for (size_t i = 0; i < kLanes; ++i) {
      lanes[i] = mixed(lanes[i], words[i]);
    }
  }
  words.fill(0);
  if (!bytes.empty()) {
    std::memcpy(words.data(), bytes.data(), bytes.size());
  }
  uint64_t hash = size;
  for (size_t i = 0; i < kLanes; ++i) {
    hash = mixed(hash, mixed(lanes[i], words[i]));
  }
  return hash ^ (hash >> 32);
}

uint64_t SegmentPlan::header_checksum() const {
  return checksum(std::as_bytes(std::span(header)));
}

SegmentPlan plan_segment(
    std::span<const LayerUnit> units, const SegmentMetadata& metadata) {
  SegmentPlan plan;
  Json notes = metadata;
  Json tensors = Json::object();
  uint64_t at = 0;
  for (const Group& group : grouped(units)) {
    uint64_t sum = 0;
    uint64_t bytes = 0;
    std::string ranges;
    for (const StateUnit* unit : group.units) {
      sum = mixed(sum, checksum(unit->bytes));
      bytes += unit->bytes.size();
      ranges += fmt::format(" {}:{}", unit->first, unit->end);
      plan.pieces.push_back(unit->bytes);
    }
    std::vector<int64_t> shape = group.first->shape;
    shape.insert(shape.begin(), static_cast<int64_t>(group.units.size()));
    notes[group.name] = fmt::format("{:016x}{}", sum, ranges);
    tensors[group.name] = {
        {"dtype", group.first->dtype},
        {"shape", shape},
        {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  Json head = {{"__metadata__", std::move(notes)}};
  head.update(tensors);
  std::string text = dump_json(head);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  plan.header.assign(reinterpret_cast<const char*>(&size), sizeof(size));
  plan.header += text;
  plan.bytes = plan.header.size() + at;
  return plan;
}

Status write_segment(
    const SegmentPlan& plan,
    const fs::path& temporary,
    const fs::path& target) {
  FileWriter file;
  RAPID_CHECK(file.open(temporary, false));
  RAPID_CHECK(file.write(std::as_bytes(std::span(plan.header))));
  for (const auto piece : plan.pieces) {
    RAPID_CHECK(file.write(piece));
  }
  return file.commit(target);
}

Result<SegmentFile> SegmentFile::open(
    const fs::path& path, uint64_t bytes, uint64_t header_checksum) {
  RAPID_TRY(const auto map, MappedFile::open(path.string()));
  const auto all = map->bytes();
  uint64_t size = 0;
  if (all.size() != bytes || bytes < sizeof(size)) {
    return damaged(path.string(), "the segment has another size");
  }
  std::memcpy(&size, all.data(), sizeof(size));
  if (size > bytes - sizeof(size) ||
      checksum(all.first(sizeof(size) + size)) != header_checksum) {
    return damaged(path.string(), "the segment's header is damaged");
  }
  RAPID_TRY(auto header, parse_safetensors(all));
  SegmentFile out;
  out.path_ = path.string();
  for (auto& [name, text] : header.metadata) {
    if (std::isdigit(static_cast<unsigned char>(name.front())) == 0) {
      out.metadata_[name] = std::move(text);
    }
  }
  std::sort(
      header.tensors.begin(),
      header.tensors.end(),
      [](const TensorView& a, const TensorView& b) {
        return a.bytes.data() < b.bytes.data();
      });
  for (const TensorView& tensor : header.tensors) {
    Tensor checked{0, out.units_.size(), 0};
    std::string_view notes = header.metadata[tensor.name];
    std::string_view name = tensor.name;
    int layer = 0;
    const auto count = tensor.shape.empty() ? 0 : tensor.shape.front();
    if (!take_number(notes, checked.checksum, 16) ||
        !take_number(name, layer) || !take(name, '.') || count <= 0 ||
        tensor.bytes.size() % static_cast<size_t>(count) != 0) {
      return damaged(path.string(), "a tensor of the segment is no state");
    }
    const size_t each = tensor.bytes.size() / static_cast<size_t>(count);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      StateUnit unit{std::string(name.substr(0, name.rfind('.')))};
      if (!take(notes, ' ') || !take_number(notes, unit.first) ||
          !take(notes, ':') || !take_number(notes, unit.end)) {
        return damaged(path.string(), "the segment's ranges are damaged");
      }
      unit.dtype = tensor_type_info(tensor.type).name;
      unit.shape.assign(tensor.shape.begin() + 1, tensor.shape.end());
      unit.bytes = tensor.bytes.subspan(i * each, each);
      unit.keep = map;
      out.units_.push_back({layer, std::move(unit)});
    }
    checked.count = static_cast<size_t>(count);
    out.tensors_.push_back(checked);
  }
  return out;
}

Status SegmentFile::verify(std::span<const size_t> units) const {
  for (const Tensor& tensor : tensors_) {
    const size_t end = tensor.first + tensor.count;
    const bool wanted =
        std::any_of(units.begin(), units.end(), [&](const size_t unit) {
          return unit >= tensor.first && unit < end;
        });
    uint64_t sum = 0;
    for (size_t i = tensor.first; wanted && i < end; ++i) {
      sum = mixed(sum, checksum(units_[i].unit.bytes));
    }
    if (wanted && sum != tensor.checksum) {
      return damaged(path_, "the segment's bytes are damaged");
    }
  }
  return {};
}

}  // namespace rapid
