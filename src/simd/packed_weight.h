// A quantised matrix laid out for integer dot products. No MLX here.
//
// Rows are taken in panels of 16. Within a panel everything that the vector
// lanes need at once lies together (packed_layout.h): the 16 scales of a
// block, then for every 4 columns the 16 rows' codes. The bits are the file's
// own (codes, scales, minimums; nothing is rounded), so a panel is never larger
// than its file rows, up to the padding of the last panel.
//
// Threads: once packed it is immutable; panels may be packed concurrently.
//
//   auto format = packed_format(source);          // none: stays as it is
//   PackedWeight w = allocate_packed(*format, source, rows);
//   pack_panels(w, source, 0, w.panels());
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "simd/packed_layout.h"
#include "simd/simd.h"

namespace rapid {

struct PackedWeight {
  PackedFormat format = PackedFormat::q8_0;
  RuntimeLayout layout;
  int rows = 0;
  int cols = 0;
  size_t panel_bytes = 0;
  size_t bytes = 0;
  std::shared_ptr<uint8_t> data;  // panel_memory.h

  int panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  const uint8_t* panel(int index) const {
    return data.get() + static_cast<size_t>(index) * panel_bytes;
  }
  PanelSource source() const {
    return {data.get(), panel_bytes, rows, cols, format, layout};
  }
};

// The format of a stored matrix, or none where panels do not know it (plain
// floats, 2 and 3 bits, float32 scales, odd widths).
std::optional<PackedFormat> packed_format(const RowSource& source);

// Memory that is not filled yet. `format` is packed_format(source).
PackedWeight allocate_packed(
    PackedFormat format, const RowSource& source, int rows);

// Fills panels [begin, end) from the file's rows.
void pack_panels(
    PackedWeight& out, const RowSource& source, int begin, int end);

// Row `row` as float32, equal to what the file's row expands to (the sign of
// a zero aside).
void unpack_row(const PackedWeight& weight, int64_t row, float* out);

}  // namespace rapid
