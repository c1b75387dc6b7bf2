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

#include "base/result.h"
#include "hub/model_files.h"
#include "tensor/weight.h"

namespace rapid {

class WeightMap {
 public:
  // The files' maps stay alive with the weights. `exact`: see Weight.
  static Result<std::unique_ptr<WeightMap>> open(
      std::shared_ptr<const ModelFiles> files, bool exact = false);

  bool has(const std::string& name) const;

  // A parameter that the model knows but does not need (rotary tables,
  // heads tied to the embedding, ...).
  void ignore(const std::string& name);

  // `corrupt` naming up to five parameters that nobody took.
  Status check_all_taken() const;

 private:
  friend class WeightCursor;
  WeightMap() = default;

  std::shared_ptr<const ModelFiles> files_;
  bool exact_ = false;
  std::map<std::string, const TensorView*> tensors_;  // by mapped name
  std::set<std::string> taken_;
};

class WeightCursor {
 public:
  explicit WeightCursor(WeightMap& map, std::string prefix = "")
      : map_(&map), prefix_(std::move(prefix)) {}

  WeightCursor scope(std::string_view name) const;

  // <prefix>.<name>.weight as a matrix [rows, cols], quantised or not.
  Result<WeightPtr> matrix(
      std::string_view name, int64_t rows, int64_t cols) const;

  // <prefix>.<name> (with its suffix, e.g. "input_layernorm.weight") as a
  // float32 vector array [size].
  Result<mx::array> vector(std::string_view name, int64_t size) const;

  bool has(std::string_view name) const;  // full name with suffix

 private:
  std::string full(std::string_view name) const;
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
