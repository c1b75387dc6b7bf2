#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/convert_names.h"
#include "engine/convert_plan.h"
#include "models/convert_rules.h"

namespace rapid {

namespace {

struct Mode {
  std::string_view name;
  int group_size;
  int bits;
};

constexpr std::array<Mode, 4> kModes = {
    {{"affine", 64, 4}, {"mxfp4", 32, 4}, {"nvfp4", 16, 4}, {"mxfp8", 32, 8}}};

struct Recipe {
  std::string_view name;
  int low;
  int high;
};

constexpr std::array<Recipe, 4> kRecipes = {
    {{"mixed_2_6", 2, 6},
     {"mixed_3_4", 3, 4},
     {"mixed_3_6", 3, 6},
     {"mixed_4_6", 4, 6}}};

Error wrong(std::string what, std::string hint, std::string param) {
  return {
      ErrorCode::invalid_argument,
      std::move(what),
      std::move(hint),
      std::move(param)};
}

Result<ConvertScheme> base_scheme(const ConvertOptions& options) {
  const auto mode = std::ranges::find(kModes, options.mode, &Mode::name);
  if (mode == kModes.end()) {
    return wrong(
        "there is no quantisation mode " + options.mode,
        "use affine, mxfp4, nvfp4 or mxfp8",
        "mode");
  }
  ConvertScheme out{mode->group_size, mode->bits, options.mode};
  out.bits = options.bits > 0 ? options.bits : out.bits;
  out.group_size = options.group_size > 0 ? options.group_size : out.group_size;
  constexpr std::array kBits = {2, 3, 4, 5, 6, 8};
  constexpr std::array kGroups = {32, 64, 128};
  const bool affine = out.mode == "affine";
  if (affine ? std::ranges::find(kBits, out.bits) == kBits.end()
             : out.bits != mode->bits) {
    return wrong(
        fmt::format("{} has no form of {} bits", out.mode, out.bits),
        affine ? "use 2, 3, 4, 5, 6 or 8"
               : fmt::format("{} has {} bits", out.mode, mode->bits),
        "bits");
  }
  if (affine ? std::ranges::find(kGroups, out.group_size) == kGroups.end()
             : out.group_size != mode->group_size) {
    return wrong(
        fmt::format("{} has no groups of {}", out.mode, out.group_size),
        affine ? "use 32, 64 or 128"
               : fmt::format("{} has groups of {}", out.mode, mode->group_size),
        "group");
  }
  return out;
}

// A recipe's choice: the first and last eighth of the layers, and every third
// between, keep more of their values and down projections; so does the head.
ConvertScheme mixed(
    const Recipe& recipe,
    const ConvertScheme& base,
    std::string_view module,
    int layers) {
  const int index = layer_of(module);
  const int eighth = layers / 8;
  // Python's remainder: never below 0.
  const int third = ((index - eighth) % 3 + 3) % 3;
  const bool more = index < eighth || index >= 7 * layers / 8 || third == 2;
  const bool marked =
      contains(module, "v_proj") || contains(module, "v_a_proj") ||
      contains(module, "v_b_proj") || contains(module, "down_proj");
  const bool high = contains(module, "lm_head") || (marked && more);
  return {base.group_size, high ? recipe.high : recipe.low, base.mode};
}

bool is_plain_float(TensorType type) {
  return type == TensorType::f32 || type == TensorType::f16 ||
         type == TensorType::bf16;
}

bool ends_with_any(std::string_view name, const ConvertRules::Names& ends) {
  return std::ranges::any_of(
      ends, [&](std::string_view end) { return name.ends_with(end); });
}

// Embedding first, then layers by number, then the rest, as modules lie.
std::pair<int, int> place_of(std::string_view name) {
  if (contains(name, "layers.")) {
    return {1, layer_of(name)};
  }
  return {contains(name, "embed_tokens") ? 0 : 2, 0};
}

const Json& text_part(const Json& config) {
  const auto text = config.find("text_config");
  return text != config.end() && text->is_object() ? *text : config;
}

Status check_input(const ModelFiles& files) {
  if (files.container == ModelFiles::Container::gguf) {
    return Error{
        ErrorCode::unsupported,
        files.path + " is a GGUF file",
        "name a folder with config.json and *.safetensors",
        files.path};
  }
  for (const TensorView& tensor : files.tensors) {
    if (tensor.name.ends_with(".scales") || !is_plain_float(tensor.type)) {
      return Error{
          ErrorCode::unsupported,
          fmt::format("{}: {} is quantised already", files.path, tensor.name),
          "start from the model's float weights",
          files.path};
    }
  }
  if (!convert_rules(files.architecture).experts) {
    return Error{
        ErrorCode::unsupported,
        files.path + ": experts of this family cannot be converted",
        "take a checkpoint that is in MLX's format already",
        files.path};
  }
  return {};
}

std::string wanted_dtype(const Json& config, const ConvertOptions& options) {
  std::string out = options.dtype;
  if (out.empty()) {
    out = config.value("torch_dtype", "");
  }
  if (out.empty() && &text_part(config) != &config) {
    out = text_part(config).value("dtype", "");
  }
  const bool known = out == "float16" || out == "bfloat16" || out == "float32";
  return known ? out : "";
}

Json new_config(const ModelFiles& files, const ConvertPlan& plan, bool all) {
  const ConvertRules& rules = convert_rules(files.architecture);
  Json config = files.config;
  for (const auto* key : {"_name_or_path", "vision_config"}) {
    config.erase(key);
  }
  Json quantisation = {
      {"group_size", plan.base.group_size},
      {"bits", plan.base.bits},
      {"mode", plan.base.mode}};
  for (const ConvertTensor& tensor : plan.tensors) {
    if (!tensor.scheme) {
      continue;
    }
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    const ConvertScheme& own = *tensor.scheme;
    if (all) {
      quantisation[module] = {
          {"group_size", own.group_size},
          {"bits", own.bits},
          {"mode", own.mode}};
    } else if (ends_with_any(module, rules.eight_bit)) {
      quantisation[module] = {
          {"group_size", own.group_size}, {"bits", own.bits}};
    }
  }
  if (plan.base.bits > 0) {
    config["quantization"] = quantisation;
    config["quantization_config"] = quantisation;
  }
  Json sorted = Json::object();
  std::vector<std::string> keys;
  for (const auto& [key, value] : config.items()) {
    keys.push_back(key);
  }
  std::ranges::sort(keys);
  for (const std::string& key : keys) {
    sorted[key] = config[key];
  }
  return sorted;
}

Result<const Recipe*> find_recipe(const ConvertOptions& options) {
  if (options.predicate.empty()) {
    return static_cast<const Recipe*>(nullptr);
  }
  const auto found =
      std::ranges::find(kRecipes, options.predicate, &Recipe::name);
  if (found == kRecipes.end()) {
    return wrong(
        "there is no predicate " + options.predicate,
        "use mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6",
        "predicate");
  }
  if (options.mode != "affine") {
    return wrong(
        "predicates are for affine quantisation only",
        "leave out --mode or --predicate",
        "predicate");
  }
  return &*found;
}

// The width of a row that will be packed; 0 where a tensor is no matrix, nor
// experts' or heads'.
int64_t packed_width(const ConvertTensor& tensor) {
  const std::vector<int64_t>& shape = tensor.from.front()->shape;
  const bool stack = tensor.from.size() > 1 || shape.size() == 3;
  if (!tensor.name.ends_with(".weight") ||
      tensor.name.ends_with("conv.weight") ||
      tensor.name.ends_with("conv1d.weight") || shape.size() < 2 ||
      (stack && !contains(tensor.name, ".switch_"))) {
    return 0;
  }
  return tensor.change == ConvertChange::latent_keys ? tensor.keys
                                                     : shape.back();
}

// Modules that choose experts keep 8 bits, whatever the rest gets.
Result<std::optional<ConvertScheme>> scheme_of(
    const ConvertTensor& tensor,
    const ConvertRules& rules,
    const ConvertScheme& base) {
  const int64_t width = packed_width(tensor);
  const std::string_view module =
      std::string_view(tensor.name).substr(0, tensor.name.rfind('.'));
  if (width == 0 || width % base.group_size != 0 ||
      ends_with_any(module, rules.unpacked)) {
    return std::optional<ConvertScheme>();
  }
  if (!ends_with_any(module, rules.eight_bit)) {
    return std::optional(base);
  }
  if (width % 64 != 0) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: rows of {} have no groups of 64", module, width),
        "models of this family need widths that 64 divides",
        std::string(module)};
  }
  return std::optional(ConvertScheme{64, 8, "affine"});
}

}  // namespace

uint64_t ConvertTensor::bytes() const {
  uint64_t out = 0;
  for (const TensorView* tensor : from) {
    out += tensor->bytes.size();
  }
  return half >= 0 || heads > 0 ? out / 2 : out;
}

Result<ConvertPlan> plan_conversion(
    const ModelFiles& files, const ConvertOptions& options) {
  RAPID_CHECK(check_input(files));
  ConvertPlan out;
  RAPID_TRY(const Recipe* recipe, find_recipe(options));
  if (options.quantise) {
    RAPID_TRY(out.base, base_scheme(options));
  }
  out.dtype = wanted_dtype(files.config, options);
  const Json& text = text_part(files.config);
  const int layers = text.value("num_hidden_layers", 0);
  const bool tied = files.config.value("tie_word_embeddings", false) ||
                    text.value("tie_word_embeddings", false);
  const ConvertRules& rules = convert_rules(files.architecture);
  out.tensors = tensors_to_convert(files, text, tied);
  for (ConvertTensor& next : out.tensors) {
    if (options.quantise && recipe) {
      const int64_t width = packed_width(next);
      if (width > 0 && width % out.base.group_size == 0 &&
          !ends_with_any(
              next.name.substr(0, next.name.rfind('.')), rules.unpacked)) {
        next.scheme = mixed(*recipe, out.base, next.name, layers);
      }
    } else if (options.quantise) {
      RAPID_TRY(next.scheme, scheme_of(next, rules, out.base));
    }
  }
  std::ranges::stable_sort(out.tensors, {}, [](const ConvertTensor& tensor) {
    return place_of(tensor.name);
  });
  out.config = new_config(files, out, recipe != nullptr);
  return out;
}

}  // namespace rapid
