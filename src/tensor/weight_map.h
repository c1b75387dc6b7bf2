// All parameters of a model by name, and a scoped cursor to take them.
//
// Names are those of Hugging Face checkpoints ("model.layers.0.self_attn.
// q_proj"), whatever the container: GGUF names are mapped on the way in. A
// model takes each parameter once; what is missing or of the wrong shape is an
// error at once, what is left over is one at the end.
//
//   WeightCursor layer = cursor.scope("model.layers.3");
//   RAPID_TRY(WeightPtr q, layer.matrix("self_attn.q_proj", n, k));
//   RAPID_CHECK(map.check_all_taken());
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "hub/model_files.h"
#include "tensor/weight.h"

namespace rapid {

// A part of a parameter's name, and what it is called here instead.
using Renames = std::vector<std::pair<std::string_view, std::string_view>>;

// A matrix whose products take what an adapter adds (kernels/low_rank.h).
struct AdaptableWeight {
  WeightPtr weight;
  // Above 0: of so many heads, whose rows i and i + n/2 the file has side by
  // side. An adapter has them as they were trained.
  int paired_heads = 0;
};

class WeightMap {
 public:
  // The files' maps stay alive with the weights. `exact`: see Weight.
  // `renames`: for architectures with names of their own, in order.
  static Result<std::unique_ptr<WeightMap>> open(
      std::shared_ptr<const ModelFiles> files,
      bool exact = false,
      const Renames& renames = {});

  bool has(const std::string& name) const;

  // A parameter that the model knows but does not need (rotary tables,
  // heads tied to the embedding, ...).
  void ignore(const std::string& name);
  void ignore_file(const TensorView& tensor);  // by its name in the file

  // `corrupt` naming up to five parameters that nobody took.
  Status check_all_taken() const;

 private:
  friend class WeightCursor;
  WeightMap() = default;

  std::shared_ptr<const ModelFiles> files_;
  bool exact_ = false;
  std::map<std::string, const TensorView*> tensors_;  // by mapped name
  std::set<std::string> taken_;
  std::shared_ptr<std::vector<AdaptableWeight>> adaptable_ =
      std::make_shared<std::vector<AdaptableWeight>>();
};

class WeightCursor {
 public:
  explicit WeightCursor(WeightMap& map, std::string prefix = "")
      : map_(&map), prefix_(std::move(prefix)) {}

  WeightCursor scope(std::string_view name) const;

  // <prefix>.<name>.weight as a matrix [rows, cols], quantised or not.
  Result<WeightPtr> matrix(
      std::string_view name, int64_t rows, int64_t cols) const;

  // The same of `count` experts, stacked [count, rows, cols] in one parameter
  // (with or without the suffix .weight), as one matrix of all their rows.
  Result<WeightPtr> stack(
      std::string_view name, int64_t count, int64_t rows, int64_t cols) const;

  // <prefix>.<name> (with its suffix, e.g. "input_layernorm.weight") as a
  // float32 vector array [size].
  Result<mx::array> vector(std::string_view name, int64_t size) const;

  // The same of any shape; the array is [elements].
  Result<mx::array> floats(
      std::string_view name, const std::vector<int64_t>& shape) const;

  // A parameter's bytes as they lie, of whatever type.
  Result<TensorView> raw(
      std::string_view name, const std::vector<int64_t>& shape) const;
  bool exact() const { return map_->exact_; }

  // Empty where there is no such parameter.
  std::vector<int64_t> shape(std::string_view name) const;

  // The same of a parameter [rows, cols].
  Result<mx::array> table(
      std::string_view name, int64_t rows, int64_t cols) const;

  bool has(std::string_view name) const;  // full name with suffix
  std::string name(std::string_view below) const { return full(below); }

  // Notes a weight for the model's list; whoever takes its products passes
  // them the adapters of the rows.
  void adaptable(const WeightPtr& weight, int paired_heads = 0) const {
    map_->adaptable_->push_back({weight, paired_heads});
  }
  std::shared_ptr<const std::vector<AdaptableWeight>> adaptable() const {
    return map_->adaptable_;
  }

 private:
  std::string full(std::string_view name) const;
  Result<WeightPtr> read(
      const std::string& module,
      const std::string& parameter,
      const std::vector<int64_t>& lead,
      int64_t cols) const;
  Result<const TensorView*> take(const std::string& name) const;
  WeightMap* map_;
  std::string prefix_;
};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; names
// without a rule come back unchanged. `sandwich_norms`: the file also norms
// after attention (blk.N.post_attention_norm), so that its ffn_norm is the
// norm before the feed-forward part, not Hugging Face's
// post_attention_layernorm of other architectures.
std::string canonical_name(
    std::string_view gguf_name, bool sandwich_norms = false);

}  // namespace rapid
