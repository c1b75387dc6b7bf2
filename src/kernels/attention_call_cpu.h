// One call of attention as its kernel sees it.
#pragma once

#include <vector>

#include "kernels/attention.h"

namespace rapid {

// One sequence's part of a call, its pages held until the kernel has run.
struct AttentionSequence {
  std::vector<std::shared_ptr<KvPage>> pages;
  int start = 0;  // position of its first new row
  int first_row = 0;
  int rows = 0;
  int form = 0;  // of the rotation
};

struct AttentionCall {
  std::vector<AttentionSequence> sequences;
  AttentionPtr layer;
  KvShape shape;
  KvCodes codes;  // of a coded shape
  int group = 1;  // query heads per KV head
  const float* qkv = nullptr;
  float* q = nullptr;  // normed and rotated [Hkv, T, group, D]
  int tokens = 0;
  float* out = nullptr;

  const AttentionOptions& options() const { return layer->options; }
  int heads() const { return layer->options.heads; }
  // The queries of rows from `row` on that share a KV head.
  float* queries(int head, int row) const {
    return q + (static_cast<size_t>(head) * tokens + row) * group * shape.dim;
  }
  // Of a head of q in a row, with its gate.
  int q_stride() const { return (options().gated ? 2 : 1) * shape.dim; }
  int width() const {
    return heads() * q_stride() +
           kv_columns(options().source) * shape.heads * shape.dim;
  }

  bool half() const { return shape.dtype == mx::float16; }
  bool coded() const { return shape.bits > 0; }
};

// Element index of a head's keys (which = 0) or values (1) in a page.
inline size_t page_at(const KvShape& shape, int which, int head) {
  return (static_cast<size_t>(which) * shape.heads + head) * kPageTokens *
         shape.dim;
}

// Takes the rows of qkv in: the heads of q normed and rotated to call.q, those
// of k and v into the pages.
void take_rows(const AttentionCall& call);

// Does that, and what each head of q attends to goes to call.out. Few rows
// share out their tiles among the threads, many rows themselves.
void attend_rows(const AttentionCall& call);

}  // namespace rapid
