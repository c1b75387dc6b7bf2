// Decode steps that run again: one new token of each of several sequences.
//
// The first step of so many sequences is built and evaluated by MLX as ever,
// while its launches are recorded. If they are all of our own kernels that
// repeat (CudaLaunch), they become a CUDA graph (cuda_graph.h), and later steps
// of as many sequences, whichever they are, run that: token ids, positions and
// the pages' addresses lie in memory that the kernels read. Same launches in
// the same order on the same values: the logits have the same bits.
//
// Any other step (other ops between our launches, MLX's own pages) is left to
// MLX, and so are all where RAPID_MLX_GPU_STEPS is 0 or there is no CUDA GPU.
//
//   if (steps.takes(n)) {
//     return steps.run({ids, pages}, [&](const mx::array& ids) {
//       return graph_of(batch, ids);
//     });
//   }
//
// Engine thread only, one object for each model.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "kernels/attention.h"

namespace rapid {

class CudaSteps {
 public:
  struct Inputs {
    std::vector<int32_t> ids;  // below the vocabulary, one of each sequence
    // Of the first layer's sequences, then of the next layer's; all of a
    // sequence at one length, with room for a token, and all of one form.
    std::vector<PageList*> pages;
  };
  // The step's graph for ids [sequences] int32: logits [sequences, vocabulary].
  // It advances the page lists (attention.h).
  using Build = std::function<mx::array(const mx::array& ids)>;

  CudaSteps();
  ~CudaSteps();
  CudaSteps(CudaSteps&&) noexcept;
  CudaSteps& operator=(CudaSteps&&) noexcept;

  // False: run() would be in vain.
  bool takes(int sequences) const;
  // The logits, evaluated, valid until the next run; the lists are advanced.
  mx::array run(const Inputs& inputs, const Build& build);

 private:
  class Step;

  std::vector<std::unique_ptr<Step>> steps_;  // the last used first
  std::set<int> refused_;                     // numbers of sequences
};

// What attention() takes instead of arrays of its own while a step is being
// recorded in this thread.
struct StepTables {
  mx::array positions;  // [sequences] int32
  mx::array pages;      // of this layer, [sequences, most_pages] int64
  int most_pages = 0;
  std::shared_ptr<const std::vector<int>> positions_now;
};

// For the layer of these pages, the first sequence's.
std::optional<StepTables> recorded_tables(const PageList& first);

}  // namespace rapid
