#include "hub/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "base/utf8.h"

namespace rapid {

namespace {

static_assert(std::endian::native == std::endian::little);

// The smallest a metadata pair and a tensor info can be, to bound counts.
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;
constexpr uint32_t kMaxDims = 4;

struct TypeNumber {
  uint32_t number;
  TensorType type;
};

constexpr TypeNumber kTypes[] = {
    {0, TensorType::f32},
    {1, TensorType::f16},
    {2, TensorType::q4_0},
    {3, TensorType::q4_1},
    {6, TensorType::q5_0},
    {7, TensorType::q5_1},
    {8, TensorType::q8_0},
    {10, TensorType::q2_k},
    {11, TensorType::q3_k},
    {12, TensorType::q4_k},
    {13, TensorType::q5_k},
    {14, TensorType::q6_k},
    {24, TensorType::i8},
    {25, TensorType::i16},
    {26, TensorType::i32},
    {27, TensorType::i64},
    {30, TensorType::bf16},
    {39, TensorType::mxfp4},
};

struct UnsupportedType {
  uint32_t number;
  std::string_view name;
};

constexpr UnsupportedType kUnsupported[] = {
    {4, "Q4_2"},      {5, "Q4_3"},    {9, "Q8_1"},      {15, "Q8_K"},
    {16, "IQ2_XXS"},  {17, "IQ2_XS"}, {18, "IQ3_XXS"},  {19, "IQ1_S"},
    {20, "IQ4_NL"},   {21, "IQ3_S"},  {22, "IQ2_S"},    {23, "IQ4_XS"},
    {28, "F64"},      {29, "IQ1_M"},  {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {34, "TQ1_0"},  {35, "TQ2_0"},    {40, "NVFP4"},
    {41, "Q1_0"},
};

// A name out of the file, fit for an error message.
std::string shown(std::string_view name) {
  constexpr size_t kLimit = 80;
  if (name.size() > kLimit) {
    name = name.substr(0, kLimit);
  }
  return utf8_replace_invalid(name);
}

Result<TensorType> tensor_type(uint32_t number, const std::string& name) {
  for (const TypeNumber& t : kTypes) {
    if (t.number == number) {
      return t.type;
    }
  }
  std::string type = fmt::format("type {}", number);
  for (const UnsupportedType& t : kUnsupported) {
    if (t.number == number) {
      type = fmt::format("type {} ({})", number, t.name);
    }
  }
  return Error{
      ErrorCode::unsupported,
      fmt::format("tensor {} has {}, which is not supported", name, type),
      "use a file with F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to "
      "Q6_K or MXFP4 tensors"};
}

}  // namespace

Error GgufParser::corrupt(std::string what) const {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the file is damaged or incomplete: fetch it again"};
}

Status GgufParser::read_header() {
  RAPID_TRY(const uint32_t magic, read<uint32_t>("the magic number"));
  if (magic != 0x46554747) {  // "GGUF"
    return corrupt("not a GGUF file: it does not start with GGUF");
  }
  RAPID_TRY(const uint32_t version, read<uint32_t>("the version"));
  if (version != 2 && version != 3) {
    const bool swapped = version != 0 && (version & 0xFFFF) == 0;
    return Error{
        ErrorCode::unsupported,
        swapped ? "the GGUF file is big-endian, which is not supported"
                : fmt::format("GGUF version {} is not supported", version),
        "convert the model to GGUF version 3"};
  }
  RAPID_TRY(tensor_count_, read<uint64_t>("the tensor count"));
  RAPID_TRY(value_count_, read<uint64_t>("the metadata count"));
  if (value_count_ > left() / kMinPairBytes) {
    return corrupt(fmt::format(
        "{} metadata values do not fit into {} bytes", value_count_, left()));
  }
  if (tensor_count_ > left() / kMinTensorBytes) {
    return corrupt(fmt::format(
        "{} tensors do not fit into {} bytes", tensor_count_, left()));
  }
  return {};
}

Status GgufParser::read_metadata() {
  for (uint64_t i = 0; i < value_count_; ++i) {
    RAPID_TRY(std::string key, read_string("a metadata key"));
    const std::string name = "metadata " + shown(key);
    RAPID_TRY(const uint32_t type, read<uint32_t>(name));
    RAPID_TRY(GgufValue value, read_value(name, type));
    if (!out_->metadata_.emplace(std::move(key), std::move(value)).second) {
      return corrupt(name + " occurs twice");
    }
  }
  return read_alignment();
}

Status GgufParser::read_alignment() {
  const auto found = out_->metadata_.find("general.alignment");
  if (found == out_->metadata_.end()) {
    return {};
  }
  const auto* value = std::get_if<int64_t>(&found->second);
  if (!value || *value <= 0 || *value > (1 << 30) ||
      !std::has_single_bit(static_cast<uint64_t>(*value))) {
    return corrupt("metadata general.alignment is not a power of two");
  }
  alignment_ = static_cast<uint64_t>(*value);
  return {};
}

Result<TensorView> GgufParser::read_tensor_info(
    uint64_t index, uint64_t& offset) {
  TensorView tensor;
  RAPID_TRY(
      tensor.name, read_string(fmt::format("the name of tensor {}", index)));
  const std::string name = shown(tensor.name);
  RAPID_TRY(const uint32_t dims, read<uint32_t>("tensor " + name));
  if (dims > kMaxDims) {
    return corrupt(fmt::format(
        "tensor {} has {} dimensions, more than {}", name, dims, kMaxDims));
  }
  uint64_t elements = 1;
  tensor.shape.resize(dims);
  for (uint32_t i = 0; i < dims; ++i) {
    RAPID_TRY(const uint64_t size, read<uint64_t>("tensor " + name));
    // 2^48 elements is beyond every machine and leaves room to multiply.
    if (size == 0 || size > (uint64_t{1} << 48) / elements) {
      return corrupt(
          fmt::format("tensor {} has an impossible dimension {}", name, size));
    }
    elements *= size;
    tensor.shape[dims - 1 - i] = static_cast<int64_t>(size);
  }
  RAPID_TRY(const uint32_t type, read<uint32_t>("tensor " + name));
  RAPID_TRY(tensor.type, tensor_type(type, name));
  RAPID_TRY(offset, read<uint64_t>("tensor " + name));
  const int block = tensor_type_info(tensor.type).block_size;
  if (block > 1 && (tensor.shape.empty() || tensor.shape.back() % block)) {
    return corrupt(fmt::format(
        "tensor {} has rows of {} elements, not a multiple of {}'s {}",
        name,
        tensor.shape.empty() ? 1 : tensor.shape.back(),
        tensor_type_info(tensor.type).name,
        block));
  }
  return tensor;
}

Status GgufParser::read_tensor_infos() {
  std::vector<uint64_t> offsets(tensor_count_);
  std::unordered_set<std::string> names;
  out_->tensors_.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    RAPID_TRY(TensorView tensor, read_tensor_info(i, offsets[i]));
    if (!names.insert(tensor.name).second) {
      return corrupt(fmt::format("tensor {} occurs twice", shown(tensor.name)));
    }
    out_->tensors_.push_back(std::move(tensor));
  }
  return place_tensors(offsets);
}

Status GgufParser::place_tensors(const std::vector<uint64_t>& offsets) {
  // A file without tensors may end right after its header.
  const uint64_t start = (at_ + alignment_ - 1) / alignment_ * alignment_;
  for (size_t i = 0; i < offsets.size(); ++i) {
    TensorView& tensor = out_->tensors_[i];
    const uint64_t size =
        tensor_bytes(tensor.type, static_cast<size_t>(tensor.elements()));
    if (offsets[i] % alignment_ != 0) {
      return corrupt(fmt::format(
          "tensor {} starts at offset {}, not a multiple of {}",
          shown(tensor.name),
          offsets[i],
          alignment_));
    }
    if (start > bytes_.size() || offsets[i] > bytes_.size() - start ||
        size > bytes_.size() - start - offsets[i]) {
      return corrupt(fmt::format(
          "tensor {} of {} bytes at data offset {} lies outside the file of "
          "{} bytes",
          shown(tensor.name),
          size,
          offsets[i],
          bytes_.size()));
    }
    tensor.bytes = bytes_.subspan(start + offsets[i], size);
  }
  return check_overlap();
}

Status GgufParser::check_overlap() const {
  std::vector<const TensorView*> order;
  order.reserve(out_->tensors_.size());
  for (const TensorView& tensor : out_->tensors_) {
    order.push_back(&tensor);
  }
  std::ranges::sort(
      order, {}, [](const TensorView* t) { return t->bytes.data(); });
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& before = order[i - 1]->bytes;
    if (before.data() + before.size() > order[i]->bytes.data()) {
      return corrupt(fmt::format(
          "tensors {} and {} overlap",
          shown(order[i - 1]->name),
          shown(order[i]->name)));
    }
  }
  return {};
}

Result<std::shared_ptr<const GgufFile>> GgufParser::parse(
    const std::shared_ptr<const MappedFile>& file) {
  out_ = std::shared_ptr<GgufFile>(new GgufFile());
  out_->file_ = file;
  RAPID_CHECK(read_header());
  RAPID_CHECK(read_metadata());
  RAPID_CHECK(read_tensor_infos());
  for (TensorView& tensor : out_->tensors_) {
    tensor.file = file;
  }
  return std::shared_ptr<const GgufFile>(std::move(out_));
}

}  // namespace rapid
