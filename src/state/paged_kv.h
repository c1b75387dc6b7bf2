// Keys and values of one attention layer, in shared pages; full or sliding, as
// floats or as codes of 8 or 4 bits (KvShape).
//
// A sliding layer frees the pages that no query can reach any more, so it can
// trim only while the window before the new end is still held; trim() then
// says false.
//
// Its keys are rotated in the form that it was made for (PageList::form), those
// of its snapshots too: who keeps one must know which.
#pragma once

#include "kernels/attention.h"
#include "state/layer_state.h"

namespace rapid {

class PagedKv final : public LayerState {
 public:
  // window 0 = full attention.
  PagedKv(KvShape shape, int window, int form = 0);

  int length() const override { return list_.length; }
  size_t bytes() const override { return list_.bytes(); }
  [[nodiscard]] bool trim(int n) override;
  std::shared_ptr<const StateSnapshot> snapshot() const override;
  void restore(const StateSnapshot& snapshot) override;
  std::unique_ptr<SnapshotBuilder> builder() const override;
  std::unique_ptr<LayerState> fork() const override;
  void collect(std::vector<mx::array>& out) const override;

  // Room for `count` more tokens; call it before attention(). Frees what the
  // window has left behind.
  PageList* prepare(int count);
  // What prepare() gave, for layers that read this one's keys and values.
  PageList* pages() { return &list_; }
  int window() const { return window_; }

 private:
  PageList list_;
  int window_ = 0;
};

}  // namespace rapid
