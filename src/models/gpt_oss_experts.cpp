#include "models/gpt_oss_experts.h"

#include <cstring>

namespace rapid {

namespace {

using Bytes = std::vector<std::byte>;

// How a bank's matrix [E N, K] comes out of the file's tensor.
struct Source {
  int experts = 0;
  int rows = 0;       // N of the bank
  int cols = 0;       // K
  int file_rows = 0;  // of one expert in the file: N or 2 N
  int first = 0;      // row n of the bank is row first + n step of the file
  int step = 1;
};

TensorView view_of(
    const std::string& name,
    TensorType type,
    std::vector<int64_t> shape,
    const std::shared_ptr<Bytes>& bytes) {
  return {name, type, std::move(shape), std::span(*bytes), nullptr};
}

// Rows of `row` bytes each.
std::shared_ptr<Bytes> pick_rows(
    const TensorView& from, const Source& s, size_t row) {
  const size_t count = static_cast<size_t>(s.experts) * s.rows;
  auto out = std::make_shared<Bytes>(count * row);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = i / s.rows * s.file_rows + s.first + i % s.rows * s.step;
    std::memcpy(out->data() + i * row, from.bytes.data() + at * row, row);
  }
  return out;
}

// [E, K, file_rows] with elements of `size` bytes -> [E, N, K].
std::shared_ptr<Bytes> turn_over(
    const TensorView& from, const Source& s, size_t size) {
  const size_t rows = static_cast<size_t>(s.rows);
  const size_t cols = static_cast<size_t>(s.cols);
  auto out = std::make_shared<Bytes>(s.experts * rows * cols * size);
  std::byte* to = out->data();
  for (int e = 0; e < s.experts; ++e) {
    for (size_t n = 0; n < rows; ++n) {
      for (size_t k = 0; k < cols; ++k, to += size) {
        const size_t at = (e * cols + k) * s.file_rows + s.first + n * s.step;
        std::memcpy(to, from.bytes.data() + at * size, size);
      }
    }
  }
  return out;
}

Result<WeightPtr> read_matrix(
    const WeightCursor& cursor, const std::string& name, const Source& s) {
  auto out = std::make_shared<Weight>();
  out->name = name;
  out->rows = int64_t{s.experts} * s.rows;
  out->cols = s.cols;
  out->exact = cursor.exact();
  const int64_t groups = s.cols / 32;
  if (cursor.has(name + "_blocks")) {
    RAPID_TRY(
        const TensorView blocks,
        cursor.raw(name + "_blocks", {s.experts, s.file_rows, groups, 16}));
    RAPID_TRY(
        const TensorView scales,
        cursor.raw(name + "_scales", {s.experts, s.file_rows, groups}));
    auto data = pick_rows(blocks, s, static_cast<size_t>(groups) * 16);
    auto exponents = pick_rows(scales, s, static_cast<size_t>(groups));
    out->scheme = QuantScheme{QuantMode::mxfp4, 4, 32};
    out->data = view_of(name, TensorType::u32, {out->rows, groups * 4}, data);
    out->scales = view_of(name, TensorType::u8, {out->rows, groups}, exponents);
    out->memory = std::make_shared<
        std::pair<std::shared_ptr<Bytes>, std::shared_ptr<Bytes>>>(
        data, exponents);
    return WeightPtr(std::move(out));
  }
  RAPID_TRY(
      const TensorView plain,
      cursor.raw(name, {s.experts, s.cols, s.file_rows}));
  if (plain.type != TensorType::f32 && plain.type != TensorType::f16 &&
      plain.type != TensorType::bf16) {
    return Error{
        ErrorCode::corrupt,
        "tensor " + plain.name + ": expected a float type",
        "the file is damaged, or its architecture is not what it says"};
  }
  const size_t size =
      plain.bytes.size() / static_cast<size_t>(plain.elements());
  auto data = turn_over(plain, s, size);
  out->data = view_of(name, plain.type, {out->rows, s.cols}, data);
  out->memory = std::move(data);
  return WeightPtr(std::move(out));
}

Result<ExpertBank> read_bank(
    const WeightCursor& cursor, const std::string& name, const Source& s) {
  RAPID_TRY(const WeightPtr weight, read_matrix(cursor, name, s));
  ExpertBank out = bank_of(weight, s.experts, {0, s.rows, s.rows});
  RAPID_TRY(
      const mx::array all,
      cursor.table(name + "_bias", s.experts, s.file_rows));
  mx::array biases = mx::contiguous(
      mx::slice(all, {0, s.first}, {s.experts, s.file_rows}, {1, s.step}));
  biases.eval();
  out.biases = std::move(biases);
  return out;
}

}  // namespace

bool has_gpt_oss_experts(const ModelFiles& files) {
  for (const TensorView& tensor : files.tensors) {
    if (tensor.name.find(".experts.gate_up_proj") != std::string::npos) {
      return true;
    }
  }
  return false;
}

Result<ExpertBanks> load_gpt_oss_experts(
    const WeightCursor& sparse_part, const MoeOptions& o) {
  const WeightCursor cursor = sparse_part.scope("experts");
  Source half{o.experts, o.inner, o.hidden, 2 * o.inner, 0, 2};
  ExpertBanks out;
  RAPID_TRY(out.gate, read_bank(cursor, "gate_up_proj", half));
  half.first = 1;
  RAPID_TRY(out.up, read_bank(cursor, "gate_up_proj", half));
  RAPID_TRY(
      out.down,
      read_bank(
          cursor, "down_proj", {o.experts, o.hidden, o.inner, o.hidden, 0, 1}));
  return out;
}

}  // namespace rapid
