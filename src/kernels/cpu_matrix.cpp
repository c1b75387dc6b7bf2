#include "kernels/cpu_matrix.h"

#include <algorithm>
#include <atomic>

#include "kernels/op_clock.h"
#include "kernels/scratch.h"
#include "simd/simd.h"
#include "simd/thread_pool.h"

namespace rapid {

namespace {

std::atomic<uint64_t> all_packed = 0;

struct Packed final : PreparedWeight {
  explicit Packed(PackedWeight w) : weight(std::move(w)) {
    all_packed += weight.bytes;
  }
  ~Packed() override { all_packed -= weight.bytes; }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
  PackedWeight weight;
};

const PackedWeight* packed_of(const Weight& weight) {
  const auto* known = dynamic_cast<const Packed*>(weight.prepared.get());
  return known ? &known->weight : nullptr;
}

const uint8_t* bytes_of(const TensorView& view) {
  return reinterpret_cast<const uint8_t*>(view.bytes.data());
}

RowSource row_source(const Weight& w) {
  RowSource s;
  s.data = bytes_of(w.data);
  s.cols = static_cast<int>(w.cols);
  s.type = w.data.type;
  s.row_bytes = w.data.bytes.size() / static_cast<size_t>(w.rows);
  if (w.scheme) {
    s.packed = true;
    s.scheme = *w.scheme;
    s.scales = bytes_of(*w.scales);
    s.biases = w.biases ? bytes_of(*w.biases) : nullptr;
    s.scale_type = w.scales->type;
    s.scale_row_bytes = w.scales->bytes.size() / static_cast<size_t>(w.rows);
  }
  return s;
}

// A scale code of 255 is NaN to MLX; panels have no NaN.
bool has_nan_scales(const Weight& w) {
  return w.scheme && w.scheme->mode == QuantMode::mxfp4 &&
         std::ranges::find(w.scales->bytes, std::byte{255}) !=
             w.scales->bytes.end();
}

// Rows [first, last) of one of the weight's tensors have been read.
void let_go(const TensorView& view, int64_t rows, int64_t first, int64_t last) {
  if (view.file) {
    const size_t row = view.bytes.size() / static_cast<size_t>(rows);
    view.file->release(view.bytes.subspan(
        static_cast<size_t>(first) * row,
        static_cast<size_t>(last - first) * row));
  }
}

void let_go(const Weight& w, int64_t first, int64_t last) {
  let_go(w.data, w.rows, first, last);
  if (w.scheme) {
    let_go(*w.scales, w.rows, first, last);
    if (w.biases) {
      let_go(*w.biases, w.rows, first, last);
    }
  }
}

// Weight rows [begin, end) as stored: few activation rows read 16-bit floats
// in place; else as many rows as fit the caches are expanded at a time.
void stored_rows(
    const RowSource& w,
    const ActivationRows& x,
    int begin,
    int end,
    float* out,
    int64_t stride) {
  const KernelTable& table = kernel_table();
  const int k = w.cols;
  const bool floats = !w.packed && w.type == TensorType::f32;
  const bool halves =
      !w.packed && (w.type == TensorType::f16 || w.type == TensorType::bf16);
  if (halves && x.count == 1) {
    table.half_dots(w, begin, end - begin, x.values, out);
    return;
  }
  const int most = x.count == 1 ? 8 : 32;
  const int panel = std::clamp(40000 / std::max(k, 1) / 4 * 4, 4, most);
  Scratch scratch;
  float* memory =
      floats ? nullptr : scratch.take<float>(static_cast<size_t>(panel) * k);
  for (int at = begin; at < end; at += panel) {
    const int count = std::min(panel, end - at);
    const float* rows = memory;
    if (floats) {
      rows = reinterpret_cast<const float*>(
          w.data + static_cast<size_t>(at) * w.row_bytes);
    }
    for (int i = 0; !floats && i < count; ++i) {
      table.expand(w, at + i, memory + static_cast<size_t>(i) * k);
    }
    table.dots(rows, count, x.values, x.count, k, out + at - begin, stride);
  }
}

}  // namespace

void prepare_matrix(const Weight& weight) {
  const RowSource source = row_source(weight);
  const auto format = packed_format(source);
  if (weight.exact || weight.prepared || !format || has_nan_scales(weight)) {
    return;
  }
  const auto rows = static_cast<int>(weight.rows);
  PackedWeight panels = allocate_packed(*format, source, rows);
  // A few megabytes at a time are in memory in both forms.
  const int step = std::max<int>(
      8,
      static_cast<int>(
          (size_t{4} << 20) / std::max<size_t>(panels.panel_bytes, 1)));
  for (int at = 0; at < panels.panels(); at += step) {
    const int count = std::min(step, panels.panels() - at);
    ThreadPool::global().run(count, 4, [&](int begin, int end) {
      pack_panels(panels, source, at + begin, at + end);
    });
    let_go(
        weight,
        int64_t{at} * kPanelRows,
        std::min<int64_t>(int64_t{at + count} * kPanelRows, rows));
  }
  weight.prepared = std::make_shared<const Packed>(std::move(panels));
}

uint64_t packed_bytes() {
  return all_packed;
}

bool is_packed(const Weight& weight) {
  return packed_of(weight) != nullptr;
}

CpuMatrix::CpuMatrix(const Weight& weight)
    : stored_(row_source(weight)),
      rows_(static_cast<int>(weight.rows)),
      packed_(packed_of(weight)) {}

void CpuMatrix::multiply(
    const ActivationRows& x,
    int begin,
    int end,
    float* out,
    int64_t stride) const {
  if (op_clock_runs()) {
    const auto rows = static_cast<uint64_t>(
        std::min(end * kPanelRows, rows_) - begin * kPanelRows);
    const size_t row = stored_.row_bytes + 2 * stored_.scale_row_bytes;
    const auto panels = static_cast<uint64_t>(end - begin);
    count_read(
        packed_ ? panels * packed_->panel_bytes : rows * row,
        2 * rows * static_cast<uint64_t>(stored_.cols) *
            static_cast<uint64_t>(x.count));
  }
  if (packed_) {
    kernel_table().packed_dots(
        packed_->source(), x.quantised, x.count, begin, end, out, stride);
    return;
  }
  const int last = std::min(end * kPanelRows, rows_);
  stored_rows(stored_, x, begin * kPanelRows, last, out, stride);
}

void CpuMatrix::read_row(int64_t row, float* out) const {
  if (packed_) {
    unpack_row(*packed_, row, out);
  } else {
    kernel_table().expand(stored_, row, out);
  }
}

}  // namespace rapid
