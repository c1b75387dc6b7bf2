// Model: weights and the graph of one forward pass.
//
// One architecture = one .cpp that defines register_model_<stem>. Loading is
// strict: missing, misshapen or left-over parameters are errors that name
// them. Threads: only the engine thread.
//
//   auto states = model->make_states({});
//   mx::array logits = model->forward({{.tokens = ids, .states = &states}});
#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/model_files.h"
#include "kernels/low_rank.h"
#include "state/layer_state.h"
#include "tensor/weight_map.h"

namespace rapid {

namespace mx = mlx::core;

// Some rotations go by the length of the whole sequence (RopeOptions::border):
// states of one form are no use to a sequence of the other. A sequence that
// passes the border is consumed again from its start.
struct RotationForms {
  int border = 0;  // 0 = there is one form

  int of(size_t length) const {
    return border > 0 && length > static_cast<size_t>(border) ? 1 : 0;
  }
  // Tokens that a sequence of `length` may get before its form is another.
  int room(size_t length) const {
    return border == 0 || of(length) > 0 ? std::numeric_limits<int>::max()
                                         : border - static_cast<int>(length);
  }
};

struct ModelInfo {
  std::string architecture;
  int vocabulary = 0;      // width of the logits
  int context_length = 0;  // what the model was trained for
  int layers = 0;
  int hidden = 0;
  int row_floats = 0;  // that a layer's step holds of one token; 0 = unknown
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;
  // End tokens that config.json or GGUF metadata name; often empty.
  std::vector<int32_t> end_tokens;
  RotationForms forms;
};

struct StateOptions {
  mx::Dtype kv_dtype = mx::float32;
  int kv_bits = 0;  // keys and values as codes of 8 or 4 bits; 0 = floats
  // That a state which cannot trim goes back without a snapshot.
  int rewind_tokens = 0;
  int form = 0;  // ModelInfo::forms, of the whole sequence's length
};

struct SequenceInput {
  enum class Logits { none, last, all };
  std::span<const int32_t> tokens;  // at least one, new to the states
  SequenceState* states = nullptr;
  Logits logits = Logits::last;
  AdapterPtr adapter = nullptr;  // of this model
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;
  virtual SequenceState make_states(const StateOptions& options) const = 0;

  // What adapters may change; empty: this architecture takes none.
  virtual std::span<const AdaptableWeight> adaptable() const { return {}; }

  // Builds the graph of one ragged batch and advances the states; on the CPU a
  // long batch is evaluated on the way. Returns
  // unevaluated logits float32 [R, vocabulary]: the rows that the inputs asked
  // for, in order; with R = 0 the last hidden row, to be evaluated for its
  // effect on the states.
  virtual mx::array forward(std::span<const SequenceInput> batch) = 0;

  // The same, but the asked rows as they are behind the final norm: float32
  // [R, info().hidden]. At least one row is asked for.
  virtual mx::array hidden(std::span<const SequenceInput>) {
    throw std::logic_error("this model gives no hidden rows");
  }
};

struct LoadOptions {
  bool exact = false;
  int context = 0;  // that it is loaded for; 0 = the model's own
};

using ModelFactory = Result<std::unique_ptr<Model>> (*)(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options);

}  // namespace rapid
