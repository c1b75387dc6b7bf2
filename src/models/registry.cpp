#include "models/registry.h"

#include <fmt/format.h>

#include <stdexcept>

namespace rapid {

namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    out.append(out.empty() ? "" : ", ").append(name);
  }
  return out;
}

}  // namespace

void ModelRegistry::add(std::vector<std::string> names, ModelFactory factory) {
  for (std::string& name : names) {
    const auto [at, fresh] = factories_.emplace(std::move(name), factory);
    if (!fresh) {
      throw std::logic_error("two models are named " + at->first);
    }
  }
}

Result<std::unique_ptr<Model>> ModelRegistry::load(
    std::shared_ptr<const ModelFiles> files, const LoadOptions& options) const {
  const auto found = factories_.find(files->architecture);
  if (found == factories_.end()) {
    return Error{
        ErrorCode::unsupported,
        fmt::format(
            "architecture \"{}\" is not supported", files->architecture),
        "supported: " + joined(names()),
        files->path};
  }
  return found->second(std::move(files), options);
}

std::vector<std::string> ModelRegistry::names() const {
  std::vector<std::string> out;
  for (const auto& [name, factory] : factories_) {
    out.push_back(name);
  }
  return out;
}

const ModelRegistry& ModelRegistry::global() {
  static const ModelRegistry registry = [] {
    ModelRegistry out;
    register_all_models(out);
    return out;
  }();
  return registry;
}

}  // namespace rapid
