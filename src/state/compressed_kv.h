// What a layer of compressed attention remembers (kernels/compressed.h): the
// keys of its window, the rows of tokens that are still to be compressed, the
// entries, and those of the index; all in shared pages of float32.
//
// Rewinding: keys and pending rows are kept for `way_back` tokens more than the
// next step needs, and by whole pages; trim() reaches as far as both are held,
// and forgets the entries that end behind the new length. What was forgotten
// is made again from the pending rows by the same arithmetic, so going back
// changes no bit. A snapshot rewinds as far as the state did.
#pragma once

#include "kernels/compressed.h"
#include "state/layer_state.h"

namespace rapid {

class CompressedKv final : public LayerState {
 public:
  explicit CompressedKv(const CompressedShape& shape, int way_back = 0)
      : lists_(shape), least_back_(way_back), way_back_(way_back) {}

  const CompressedShape& shape() const { return lists_.shape; }
  int length() const override { return lists_.length; }
  size_t bytes() const override { return lists_.bytes(); }
  [[nodiscard]] bool trim(int n) override;
  void keep_way_back(int tokens) override;
  std::shared_ptr<const StateSnapshot> snapshot() const override;
  void restore(const StateSnapshot& snapshot) override;
  std::unique_ptr<SnapshotBuilder> builder() const override;
  std::unique_ptr<LayerState> fork() const override;
  void collect(std::vector<mx::array>& out) const override;

  // Room for `count` more tokens; call it before compressed_attention(). Frees
  // what nothing reaches any more.
  CompressedLists* prepare(int count);

 private:
  CompressedLists lists_;
  int least_back_ = 0;  // that it was made with
  int way_back_ = 0;    // now
};

}  // namespace rapid
