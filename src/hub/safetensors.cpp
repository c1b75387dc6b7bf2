#include "hub/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/json.h"
#include "base/utf8.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

Error corrupt(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the file is damaged or incomplete: fetch it again"};
}

std::string shown(std::string_view name) {
  return utf8_replace_invalid(name.substr(0, 80));
}

std::optional<TensorType> plain_type(std::string_view name) {
  if (name == "F8_E4M3" || name == "F8_E8M0") {
    return TensorType::u8;  // bytes whose meaning config.json tells (fp8)
  }
  for (int i = 0; i <= static_cast<int>(TensorType::boolean); ++i) {
    const auto type = static_cast<TensorType>(i);
    if (tensor_type_info(type).name == name) {
      return type;
    }
  }
  return std::nullopt;
}

// A JSON integer that is not negative, or nothing.
std::optional<uint64_t> natural(const Json& value) {
  if (!value.is_number_unsigned()) {
    return std::nullopt;
  }
  return value.get<uint64_t>();
}

Result<std::vector<int64_t>> read_shape(
    const std::string& name, const Json& entry, uint64_t& elements) {
  const auto found = entry.find("shape");
  if (found == entry.end() || !found->is_array() || found->size() > 16) {
    return corrupt("tensor " + name + " has no valid shape");
  }
  elements = 1;
  std::vector<int64_t> shape;
  for (const Json& dim : *found) {
    const auto size = natural(dim);
    constexpr uint64_t kLimit = uint64_t{1} << 48;
    if (!size || *size > kLimit ||
        (elements != 0 && *size > kLimit / elements)) {
      return corrupt("tensor " + name + " has an impossible shape");
    }
    elements *= *size;
    shape.push_back(static_cast<int64_t>(*size));
  }
  return shape;
}

Result<TensorView> read_tensor(
    const std::string& key,
    const Json& entry,
    std::span<const std::byte> data) {
  const std::string name = shown(key);
  if (!entry.is_object()) {
    return corrupt("tensor " + name + " is not described by an object");
  }
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) {
    return corrupt("tensor " + name + " has no dtype");
  }
  TensorView tensor;
  tensor.name = key;
  const auto& type_name = dtype->get_ref<const std::string&>();
  const auto type = plain_type(type_name);
  if (!type) {
    return Error{
        ErrorCode::unsupported,
        fmt::format(
            "tensor {} has type {}, which is not supported",
            name,
            shown(type_name)),
        "use a file with F32, F16, BF16 or MLX-quantised tensors"};
  }
  tensor.type = *type;
  uint64_t elements = 0;
  RAPID_TRY(tensor.shape, read_shape(name, entry, elements));
  const auto range = entry.find("data_offsets");
  if (range == entry.end() || !range->is_array() || range->size() != 2) {
    return corrupt("tensor " + name + " has no valid data_offsets");
  }
  const auto begin = natural((*range)[0]);
  const auto end = natural((*range)[1]);
  if (!begin || !end || *begin > *end || *end > data.size()) {
    return corrupt(fmt::format(
        "tensor {} lies outside the file's {} data bytes", name, data.size()));
  }
  const uint64_t expected = tensor_bytes(*type, elements);
  if (*end - *begin != expected) {
    return corrupt(fmt::format(
        "tensor {} needs {} bytes for its shape, but has {}",
        name,
        expected,
        *end - *begin));
  }
  tensor.bytes = data.subspan(*begin, expected);
  return tensor;
}

// The format wants the data section covered without gaps and overlaps; this
// also finds a name that the JSON header gave twice.
Status check_cover(
    const std::vector<TensorView>& tensors, std::span<const std::byte> data) {
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) {
    if (!tensor.bytes.empty()) {
      order.push_back(&tensor);
    }
  }
  std::ranges::sort(
      order, {}, [](const TensorView* t) { return t->bytes.data(); });
  const std::byte* at = data.data();
  for (const TensorView* tensor : order) {
    if (tensor->bytes.data() != at) {
      return corrupt(fmt::format(
          "the data before tensor {} {}",
          shown(tensor->name),
          tensor->bytes.data() < at ? "overlaps it" : "belongs to no tensor"));
    }
    at += tensor->bytes.size();
  }
  if (at != data.data() + data.size()) {
    return corrupt(fmt::format(
        "{} bytes at the end belong to no tensor",
        data.data() + data.size() - at));
  }
  return {};
}

Status read_metadata(
    const Json& entry, std::map<std::string, std::string>& out) {
  if (entry.is_null()) {
    return {};  // what MLX writes when it has no metadata
  }
  if (!entry.is_object()) {
    return corrupt("__metadata__ is not an object");
  }
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      return corrupt("__metadata__ holds a value that is not a string");
    }
    out[key] = value.get<std::string>();
  }
  return {};
}

Error named(Error error, const std::string& path) {
  error.what = path + ": " + error.what;
  error.param = path;
  return error;
}

Result<std::vector<TensorView>> open_file(const std::string& path) {
  RAPID_TRY(auto file, MappedFile::open(path));
  auto header = parse_safetensors(file->bytes());
  if (!header) {
    return named(header.error(), path);
  }
  for (TensorView& tensor : header->tensors) {
    tensor.file = file;
  }
  return std::move(header->tensors);
}

// tensor name -> shard file name
using WeightMap = std::map<std::string, std::string>;

Result<WeightMap> read_index(const std::string& path) {
  RAPID_TRY(const Json index, read_json_file(path));
  const auto found = index.find("weight_map");
  if (!index.is_object() || found == index.end() || !found->is_object()) {
    return named(corrupt("there is no weight_map in it"), path);
  }
  WeightMap map;
  for (const auto& [name, shard] : found->items()) {
    if (!shard.is_string()) {
      return named(corrupt("tensor " + shown(name) + " has no shard"), path);
    }
    auto file = shard.get<std::string>();
    // A shard lies in the model's own folder.
    if (file.empty() || file.find('/') != std::string::npos || file == "..") {
      return named(corrupt("shard name " + shown(file) + " is refused"), path);
    }
    map.emplace(name, std::move(file));
  }
  return map;
}

// Shards in the order of their names.
Result<std::vector<std::string>> shard_names(
    const std::string& folder, const WeightMap& map) {
  std::vector<std::string> names;
  for (const auto& [name, shard] : map) {
    names.push_back(shard);
  }
  if (names.empty()) {
    std::vector<std::string> others;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string file = entry.path().filename().string();
      if (file.ends_with(".safetensors")) {
        (file.starts_with("model") ? names : others).push_back(file);
      }
    }
    if (names.empty()) {
      names = std::move(others);
    }
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty()) {
    return Error{
        ErrorCode::not_found,
        "there is no .safetensors file in " + folder,
        "the folder of a model holds config.json, *.safetensors and "
        "tokenizer.json",
        folder};
  }
  return names;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    return corrupt("the file is too short for a safetensors header");
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > bytes.size() - sizeof(length) || length > kMaxHeaderBytes) {
    return corrupt(fmt::format(
        "the header claims {} bytes in a file of {}", length, bytes.size()));
  }
  const std::string_view text(
      reinterpret_cast<const char*>(bytes.data()) + sizeof(length), length);
  auto json = parse_json(text, 8);
  if (!json || !json->is_object()) {
    return corrupt(
        "the safetensors header is " +
        (json ? std::string("not a JSON object") : json.error().what));
  }
  const auto data = bytes.subspan(sizeof(length) + length);
  SafetensorsHeader out;
  for (const auto& [key, entry] : json->items()) {
    if (key == "__metadata__") {
      RAPID_CHECK(read_metadata(entry, out.metadata));
      continue;
    }
    RAPID_TRY(TensorView tensor, read_tensor(key, entry, data));
    out.tensors.push_back(std::move(tensor));
  }
  RAPID_CHECK(check_cover(out.tensors, data));
  return out;
}

Result<std::vector<TensorView>> open_safetensors_folder(
    const std::string& folder) {
  const std::string index =
      (fs::path(folder) / "model.safetensors.index.json").string();
  WeightMap map;
  if (fs::exists(index)) {
    RAPID_TRY(map, read_index(index));
  }
  RAPID_TRY(const auto names, shard_names(folder, map));
  std::vector<TensorView> tensors;
  WeightMap found;
  for (const std::string& shard : names) {
    const std::string path = (fs::path(folder) / shard).string();
    RAPID_TRY(auto part, open_file(path));
    for (TensorView& tensor : part) {
      const auto [first, fresh] = found.emplace(tensor.name, shard);
      if (!fresh) {
        return named(
            corrupt(fmt::format(
                "tensor {} is in {} already",
                shown(tensor.name),
                first->second)),
            path);
      }
      tensors.push_back(std::move(tensor));
    }
  }
  for (const auto& [name, shard] : map) {
    const auto at = found.find(name);
    if (at == found.end() || at->second != shard) {
      return named(
          corrupt(fmt::format(
              "tensor {} should be in {}, but is not", shown(name), shard)),
          index);
    }
  }
  return tensors;
}

}  // namespace rapid
