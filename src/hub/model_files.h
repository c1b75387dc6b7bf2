// A model as it lies on disk, opened: tensors, configuration, vocabulary and
// template, whatever the container. No arrays, no MLX.
//
//   RAPID_TRY(auto files, ModelFiles::open(path));
//   files->architecture();  // "llama" (GGUF) or config.json's model_type
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "hub/gguf.h"
#include "hub/quant_config.h"
#include "hub/tensor_view.h"

namespace rapid {

struct ModelFiles {
  enum class Container { gguf, safetensors };

  // A .gguf file, or a folder with config.json and *.safetensors. A folder
  // that holds exactly one .gguf opens that.
  static Result<std::shared_ptr<const ModelFiles>> open(
      const std::string& path);

  Container container = Container::gguf;
  std::string path;
  std::string architecture;              // general.architecture or model_type
  Json config;                           // config.json; null for GGUF
  Json generation_config;                // generation_config.json or null
  QuantConfig quantisation;              // safetensors only
  std::shared_ptr<const GgufFile> gguf;  // GGUF only
  std::vector<TensorView> tensors;

  // Text of the tokenizer files; empty where the container has none.
  std::string tokenizer_json;
  std::string tokenizer_config;
  // The model's own chat template: chat_template.jinja, tokenizer_config's
  // (its "default" of a list), or GGUF's; empty when there is none.
  std::string chat_template;

  size_t bytes() const;  // of all tensors
};

}  // namespace rapid
