#include "cli/model_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

namespace rapid {
namespace {

// A number by GGUF's key below the architecture, else by config.json's, which
// models of several parts keep in text_config.
int64_t number(
    const ModelFiles& files, const std::string& gguf, const char* config) {
  if (files.gguf) {
    const auto value = files.gguf->number(files.architecture + "." + gguf);
    return value ? static_cast<int64_t>(*value) : 0;
  }
  const Json& top = files.config;
  const bool parts = top.is_object() && top.contains("text_config");
  const Json& inner = parts ? top.at("text_config") : top;
  for (const Json* from : {&top, &inner}) {
    if (from->is_object() && from->contains(config) &&
        from->at(config).is_number_integer()) {
      return from->at(config).get<int64_t>();
    }
  }
  return 0;
}

std::string module_of(const TensorView& tensor) {
  constexpr std::string_view kWeight = ".weight";
  return tensor.name.ends_with(kWeight)
             ? tensor.name.substr(0, tensor.name.size() - kWeight.size())
             : tensor.name;
}

std::optional<QuantScheme> scheme_of(
    const ModelFiles& files, const TensorView& tensor) {
  const bool packed =
      tensor.type == TensorType::u32 && tensor.name.ends_with(".weight");
  return packed ? files.quantisation.scheme_for(module_of(tensor))
                : std::nullopt;
}

bool is_scale(const TensorView& tensor) {
  return tensor.name.ends_with(".scales") || tensor.name.ends_with(".biases");
}

int64_t parameters(const ModelFiles& files) {
  int64_t out = 0;
  for (const TensorView& tensor : files.tensors) {
    if (!is_scale(tensor)) {
      const auto scheme = scheme_of(files, tensor);
      out += scheme ? tensor.elements() * 32 / scheme->bits : tensor.elements();
    }
  }
  return out;
}

std::string kind_of(const ModelFiles& files, const TensorView& tensor) {
  const auto scheme = scheme_of(files, tensor);
  if (!scheme) {
    return is_scale(tensor) ? "scales"
                            : std::string(tensor_type_info(tensor.type).name);
  }
  switch (scheme->mode) {
    case QuantMode::mxfp4:
      return "mxfp4";
    case QuantMode::mxfp8:
      return "mxfp8";
    case QuantMode::nvfp4:
      return "nvfp4";
    default:
      return fmt::format(
          "{} bits in groups of {}", scheme->bits, scheme->group_size);
  }
}

// Kinds of tensors with their share of the bytes, the largest first.
std::string quantisation(const ModelFiles& files) {
  std::map<std::string, uint64_t> bytes;
  for (const TensorView& tensor : files.tensors) {
    bytes[kind_of(files, tensor)] += tensor.bytes.size();
  }
  std::vector<std::pair<std::string, uint64_t>> order(
      bytes.begin(), bytes.end());
  std::ranges::stable_sort(
      order, std::greater{}, [](const auto& kind) { return kind.second; });
  const double all = std::max<double>(1, static_cast<double>(files.bytes()));
  std::vector<std::string> parts;
  for (const auto& [kind, size] : order) {
    const double share = 100 * static_cast<double>(size) / all;
    parts.push_back(
        share < 1 ? fmt::format("{} <1 %", kind)
                  : fmt::format("{} {:.0f} %", kind, share));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

uint64_t file_bytes(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (!fs::is_directory(path, failed)) {
    const auto size = fs::file_size(path, failed);
    return failed ? 0 : size;
  }
  uint64_t out = 0;
  for (const auto& entry : fs::directory_iterator(path, failed)) {
    std::error_code gone;
    const auto size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
    out += gone ? 0 : size;
  }
  return out;
}

int64_t embedding_rows(const ModelFiles& files) {
  for (const TensorView& tensor : files.tensors) {
    const bool embedding = tensor.name == "token_embd.weight" ||
                           tensor.name.ends_with("embed_tokens.weight");
    if (embedding && tensor.shape.size() == 2) {
      return tensor.shape[0];
    }
  }
  return number(files, "vocab_size", "vocab_size");
}

}  // namespace

ModelFacts model_facts(const ModelFiles& files) {
  const bool gguf = files.container == ModelFiles::Container::gguf;
  return {
      .container = gguf ? "GGUF" : "safetensors",
      .title = files.gguf ? files.gguf->string("general.name").value_or("")
                          : std::string(),
      .parameters = parameters(files),
      .quantisation = quantisation(files),
      .file_bytes = file_bytes(files.path),
      .weight_bytes = files.bytes(),
      .tensors = static_cast<int>(files.tensors.size()),
      .context_length =
          number(files, "context_length", "max_position_embeddings"),
      .layers = number(files, "block_count", "num_hidden_layers"),
      .hidden = number(files, "embedding_length", "hidden_size"),
      .vocabulary = embedding_rows(files)};
}

}  // namespace rapid
