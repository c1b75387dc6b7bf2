// All architectures by the name that files give them: config.json's model_type
// or GGUF's general.architecture.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"

namespace rapid {

class ModelRegistry {
 public:
  // Throws std::logic_error on a duplicate.
  void add(std::vector<std::string> names, ModelFactory factory);

  // Errors: unsupported, listing the known architectures.
  Result<std::unique_ptr<Model>> load(
      std::shared_ptr<const ModelFiles> files,
      const LoadOptions& options) const;

  std::vector<std::string> names() const;
  static const ModelRegistry& global();

 private:
  std::map<std::string, ModelFactory, std::less<>> factories_;
};

void register_all_models(ModelRegistry& registry);  // generated

}  // namespace rapid
