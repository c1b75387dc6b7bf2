// Rows of floats of one sequence, in pages that snapshots and forks share: a
// page that two hold is never written, prepare_append copies it first.
#pragma once

#include <mlx/mlx.h>

#include <memory>
#include <vector>

namespace rapid {

namespace mx = mlx::core;

constexpr int kRowsOfPage = 64;

struct RowPage {
  mx::array data;  // [kRowsOfPage, width] float32
};

// Copying shares the pages.
struct RowPages {
  int width = 0;
  std::vector<std::shared_ptr<RowPage>> pages;  // null = freed
  int count = 0;  // rows held, the freed ones included

  // Makes room for `rows` more: new pages, and a copy of the last one if it is
  // shared and not full.
  void prepare_append(int rows);
  // Drops everything from row `new_count` on.
  void truncate(int new_count);
  // Frees pages wholly before row `first`.
  void free_before(int first);
  // Whether rows [first, last) are all there, and the page that row `last` will
  // lie in, if it has begun.
  bool holds(int first, int last) const;
  // The first row of the first page that is held; behind all where none is.
  int first_held() const;
  size_t bytes() const;

  // On the CPU, evaluated.
  float* row(int index) const {
    return pages[static_cast<size_t>(index / kRowsOfPage)]->data.data<float>() +
           static_cast<size_t>(index % kRowsOfPage) * width;
  }
  // Plain ops: writes rows [n, width] behind `count`, for which there is room,
  // and moves on; and the rows [first, last).
  void append(const mx::array& rows);
  mx::array rows(int first, int last) const;
};

}  // namespace rapid
