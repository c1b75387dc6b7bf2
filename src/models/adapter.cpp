#include "models/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <utility>

#include "base/fnv.h"
#include "hub/dequantise.h"
#include "hub/safetensors.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

Error corrupt(const std::string& what) {
  return {
      ErrorCode::corrupt,
      what,
      "the adapter is of another model, or its files are damaged",
      "adapter"};
}

Error unsupported(const std::string& what) {
  return {
      ErrorCode::unsupported,
      what,
      "adapters are plain LoRA, as mlx-lm and PEFT write it",
      "adapter"};
}

struct Source {
  bool peft = false;
  Json config;
  SafetensorsHeader header;
  std::shared_ptr<const MappedFile> file;
};

Result<Source> open_source(const std::filesystem::path& folder) {
  Source out;
  RAPID_TRY(out.config, read_json_file(folder / "adapter_config.json"));
  if (!out.config.is_object()) {
    return corrupt("adapter_config.json is not an object");
  }
  const auto mlx = folder / "adapters.safetensors";
  const auto peft = folder / "adapter_model.safetensors";
  out.peft = !std::filesystem::exists(mlx);
  RAPID_TRY(out.file, MappedFile::open((out.peft ? peft : mlx).string()));
  RAPID_TRY(out.header, parse_safetensors(out.file->bytes()));
  return out;
}

bool set(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) {
    return false;
  }
  return found->is_boolean() ? found->get<bool>() : !found->empty();
}

// What would change the answer and is not done here.
Status check_kind(const Source& source) {
  const Json& config = source.config;
  if (!source.peft) {
    const std::string kind = config.value("fine_tune_type", "lora");
    return kind == "lora"
               ? Status()
               : unsupported(fmt::format("it is of the kind \"{}\"", kind));
  }
  const std::string kind = config.value("peft_type", "LORA");
  if (kind != "LORA") {
    return unsupported(fmt::format("it is of the kind \"{}\"", kind));
  }
  for (const char* key :
       {"use_dora",
        "modules_to_save",
        "lora_bias",
        "layer_replication",
        "alora_invocation_tokens",
        "use_qalora"}) {
    if (set(config, key)) {
      return unsupported(fmt::format("it has {}", key));
    }
  }
  if (config.value("bias", "none") != "none") {
    return unsupported("it has biases of its own");
  }
  return {};
}

// A key of rank_pattern or alpha_pattern names the end of a module's name.
// PEFT takes regular expressions, too; those are refused.
Result<double> patterned(
    const Json& config,
    const char* patterns,
    const std::string& module,
    double otherwise) {
  const auto found = config.find(patterns);
  if (found == config.end() || !found->is_object()) {
    return otherwise;
  }
  for (const auto& [key, value] : found->items()) {
    if (!std::ranges::all_of(key, [](unsigned char c) {
          return std::isalnum(c) || c == '_' || c == '.';
        })) {
      return unsupported(
          fmt::format("{} has the pattern \"{}\"", patterns, key));
    }
    if (module == key || module.ends_with("." + key)) {
      return value.get<double>();
    }
  }
  return otherwise;
}

double number(const Json& config, const char* key) {
  const auto found = config.find(key);
  return found != config.end() && found->is_number() ? found->get<double>() : 0;
}

Result<float> scale_of(
    const Source& source, const std::string& module, int rank) {
  const Json& config = source.config;
  double scale = 0;
  if (source.peft) {
    RAPID_TRY(
        const double alpha,
        patterned(
            config, "alpha_pattern", module, number(config, "lora_alpha")));
    RAPID_TRY(
        const double said,
        patterned(config, "rank_pattern", module, number(config, "r")));
    if (said != rank) {
      return corrupt(fmt::format(
          "{} is of rank {}, adapter_config.json says {}", module, rank, said));
    }
    scale = alpha / (set(config, "use_rslora") ? std::sqrt(said) : said);
  } else {
    const auto found = config.find("lora_parameters");
    const Json& lora = found == config.end() ? config : *found;
    scale = number(lora, "scale");
    const double said = number(lora, "rank");
    if (said != 0 && said != rank) {
      return corrupt(fmt::format(
          "{} is of rank {}, adapter_config.json says {}", module, rank, said));
    }
  }
  if (!std::isfinite(scale) || scale == 0) {
    return corrupt("adapter_config.json does not say the adapter's scale");
  }
  return static_cast<float>(scale);
}

// From "layers." on: what stands before it differs between the formats. "":
// not one of the text model's layers.
std::string_view place_of(std::string_view name) {
  const size_t at = name.find("layers.");
  const bool text = at != std::string_view::npos &&
                    (at == 0 || name.substr(0, at).ends_with("model."));
  return text ? name.substr(at) : "";
}

struct Pair {
  const TensorView* down = nullptr;  // of x
  const TensorView* up = nullptr;    // of what that gives
};

Result<std::map<std::string, Pair>> pairs_of(const Source& source) {
  std::map<std::string, Pair> out;
  const std::string down = source.peft ? ".lora_A.weight" : ".lora_a";
  const std::string up = source.peft ? ".lora_B.weight" : ".lora_b";
  for (const TensorView& tensor : source.header.tensors) {
    const std::string& name = tensor.name;
    const bool is_down = name.ends_with(down);
    if ((!is_down && !name.ends_with(up)) || tensor.shape.size() != 2) {
      return unsupported(fmt::format("tensor {} is no part of a LoRA", name));
    }
    Pair& pair = out[name.substr(0, name.size() - down.size())];
    (is_down ? pair.down : pair.up) = &tensor;
  }
  if (out.empty()) {
    return corrupt("it has no tensors");
  }
  for (const auto& [module, pair] : out) {
    if (!pair.down || !pair.up) {
      return corrupt(
          fmt::format("tensor {}{} is missing", module, pair.down ? up : down));
    }
  }
  return out;
}

Result<std::vector<float>> floats_of(const TensorView& tensor) {
  const bool known = tensor.type == TensorType::f32 ||
                     tensor.type == TensorType::f16 ||
                     tensor.type == TensorType::bf16;
  if (!known) {
    return corrupt(fmt::format(
        "tensor {}: expected a float type, got {}",
        tensor.name,
        tensor_type_info(tensor.type).name));
  }
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  dequantise(tensor.type, tensor.bytes, out);
  for (const float x : out) {
    if (!std::isfinite(x)) {
      return corrupt(
          fmt::format("tensor {} has values that are no numbers", tensor.name));
    }
  }
  return out;
}

Status check_shape(const TensorView& tensor, int64_t first, int64_t second) {
  if (tensor.shape == std::vector<int64_t>{first, second}) {
    return {};
  }
  return corrupt(fmt::format(
      "tensor {}: expected [{}, {}], got [{}, {}]",
      tensor.name,
      first,
      second,
      tensor.shape[0],
      tensor.shape[1]));
}

mx::array transposed(const std::vector<float>& x, int rows, int cols) {
  std::vector<float> out(x.size());
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) {
      out[static_cast<size_t>(c) * rows + r] =
          x[static_cast<size_t>(r) * cols + c];
    }
  }
  return mx::array(out.data(), {cols, rows});
}

// The columns of B' [rank, N] where the file has the model's rows.
mx::array with_paired_columns(const mx::array& up, int heads) {
  const int rank = up.shape(0);
  const int half = up.shape(1) / heads / 2;
  return mx::reshape(
      mx::swapaxes(mx::reshape(up, {rank, heads, 2, half}), 2, 3),
      {rank, up.shape(1)});
}

Result<LowRank> low_rank_of(
    const Source& source,
    const std::string& module,
    const Pair& pair,
    const AdaptableWeight& target) {
  const int64_t inputs = target.weight->cols;
  const int64_t outputs = target.weight->rows;
  const int64_t rank = pair.down->shape[source.peft ? 0 : 1];
  constexpr int64_t kMostRank = 4096;
  if (rank < 1 || rank > kMostRank) {
    return corrupt(fmt::format("{} has the rank {}", module, rank));
  }
  const auto r = static_cast<int>(rank);
  const auto k = static_cast<int>(inputs);
  const auto n = static_cast<int>(outputs);
  RAPID_TRY(const float scale, scale_of(source, module, r));
  if (source.peft) {
    RAPID_CHECK(check_shape(*pair.down, rank, inputs));
    RAPID_CHECK(check_shape(*pair.up, outputs, rank));
  } else {
    RAPID_CHECK(check_shape(*pair.down, inputs, rank));
    RAPID_CHECK(check_shape(*pair.up, rank, outputs));
  }
  RAPID_TRY(const auto down, floats_of(*pair.down));
  RAPID_TRY(auto up, floats_of(*pair.up));
  for (float& x : up) {
    x *= scale;
  }
  LowRank out{
      source.peft ? mx::array(down.data(), {r, k}) : transposed(down, k, r),
      source.peft ? transposed(up, n, r) : mx::array(up.data(), {r, n})};
  if (target.paired_heads > 0) {
    out.up = mx::contiguous(with_paired_columns(out.up, target.paired_heads));
  }
  mx::eval(out.down, out.up);
  return out;
}

uint64_t fingerprint_of(const Source& source) {
  Fnv1a hash;
  hash.add(dump_json(source.config));
  hash.add(source.file->bytes());
  return hash.value();
}

// By place; two of one name are nobody's.
std::map<std::string_view, const AdaptableWeight*> targets_of(
    const Model& model) {
  std::map<std::string_view, const AdaptableWeight*> out;
  for (const AdaptableWeight& each : model.adaptable()) {
    std::string_view place = place_of(each.weight->name);
    if (place.empty()) {
      continue;
    }
    place.remove_suffix(std::string_view(".weight").size());
    const auto [at, fresh] = out.emplace(place, &each);
    at->second = fresh ? at->second : nullptr;
  }
  return out;
}

Result<AdapterPtr> load(
    const std::string& name, const std::string& folder, const Model& model) {
  if (model.adaptable().empty()) {
    return unsupported(fmt::format(
        "models of the architecture \"{}\" take no adapters",
        model.info().architecture));
  }
  RAPID_TRY(const Source source, open_source(folder));
  RAPID_CHECK(check_kind(source));
  RAPID_TRY(const auto pairs, pairs_of(source));
  const auto targets = targets_of(model);
  auto out = std::make_shared<Adapter>();
  out->name = name;
  out->fingerprint = fingerprint_of(source);
  for (const auto& [module, pair] : pairs) {
    const auto found = targets.find(place_of(module));
    if (found == targets.end() || found->second == nullptr) {
      return corrupt(fmt::format(
          "it changes {}, which is no matrix of this model that adapters may "
          "change",
          module));
    }
    const AdaptableWeight& target = *found->second;
    RAPID_TRY(LowRank low, low_rank_of(source, module, pair, target));
    out->parts.emplace(target.weight.get(), std::move(low));
  }
  return AdapterPtr(std::move(out));
}

}  // namespace

Result<AdapterPtr> load_adapter(
    const std::string& name, const std::string& folder, const Model& model) {
  auto out = [&]() -> Result<AdapterPtr> {
    try {
      return load(name, folder, model);
    } catch (const Json::exception& e) {
      return corrupt(std::string("adapter_config.json: ") + e.what());
    }
  }();
  if (!out) {
    Error error = out.error();
    error.what = fmt::format("adapter {}: {}", name, error.what);
    error.param = "adapter";
    return error;
  }
  return out;
}

}  // namespace rapid
