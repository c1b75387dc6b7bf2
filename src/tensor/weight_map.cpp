#include "tensor/weight_map.h"

#include <fmt/format.h>

#include "hub/dequantise.h"
#include "tensor/fp8.h"

namespace rapid {

namespace {

Error corrupt(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the file is damaged, or its architecture is not what it says"};
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t d : shape) {
    out += (out.empty() ? "[" : ", ") + std::to_string(d);
  }
  return out.empty() ? "[]" : out + "]";
}

Status check_shape(
    const TensorView& view, const std::vector<int64_t>& expected) {
  if (view.shape == expected) {
    return {};
  }
  return corrupt(fmt::format(
      "tensor {}: expected shape {}, got {}",
      view.name,
      shape_text(expected),
      shape_text(view.shape)));
}

bool is_float_type(TensorType type) {
  return type == TensorType::f32 || type == TensorType::f16 ||
         type == TensorType::bf16;
}

Status check_bytes(const TensorView& view) {
  const auto need =
      tensor_bytes(view.type, static_cast<size_t>(view.elements()));
  if (view.bytes.size() == need) {
    return {};
  }
  return corrupt(fmt::format(
      "tensor {}: expected {} bytes, got {}",
      view.name,
      need,
      view.bytes.size()));
}

// The shape of a matrix, or of a stack of them: `lead`, then its columns.
std::vector<int64_t> with_cols(std::vector<int64_t> lead, int64_t cols) {
  lead.push_back(cols);
  return lead;
}

// A stack becomes one matrix of all its rows.
void flatten(TensorView& view, int64_t rows) {
  view.shape = {rows, view.elements() / rows};
}

// Fills in what a quantised module has beside its packed weight, checked.
Status add_scheme(
    Weight& weight,
    const std::vector<int64_t>& lead,
    const QuantScheme& scheme,
    const TensorView& scales,
    const TensorView* biases) {
  const int64_t k = weight.cols;
  if (weight.data.type != TensorType::u32 || k % scheme.group_size != 0) {
    return corrupt(fmt::format(
        "tensor {}: expected U32 words in groups of {}, got {} of {} inputs",
        weight.name,
        scheme.group_size,
        tensor_type_info(weight.data.type).name,
        k));
  }
  RAPID_CHECK(check_shape(weight.data, with_cols(lead, k * scheme.bits / 32)));
  RAPID_CHECK(check_shape(scales, with_cols(lead, k / scheme.group_size)));
  RAPID_CHECK(check_bytes(scales));
  weight.scheme = scheme;
  weight.scales = scales;
  if (scheme.mode != QuantMode::affine) {
    if (scales.type != TensorType::u8) {
      return corrupt(fmt::format(
          "tensor {}: expected U8 scales, got {}",
          scales.name,
          tensor_type_info(scales.type).name));
    }
    return {};
  }
  if (!biases) {
    return corrupt(
        fmt::format("tensor {}: its affine biases are missing", weight.name));
  }
  RAPID_CHECK(check_shape(*biases, scales.shape));
  RAPID_CHECK(check_bytes(*biases));
  if (!is_float_type(scales.type) || biases->type != scales.type) {
    return corrupt(fmt::format(
        "tensor {}: expected scales and biases of one float type, got {} "
        "and {}",
        weight.name,
        tensor_type_info(scales.type).name,
        tensor_type_info(biases->type).name));
  }
  weight.biases = *biases;
  return {};
}

}  // namespace

Result<std::unique_ptr<WeightMap>> WeightMap::open(
    std::shared_ptr<const ModelFiles> files,
    bool exact,
    const Renames& renames) {
  std::unique_ptr<WeightMap> map(new WeightMap);
  map->exact_ = exact;
  const bool gguf = files->container == ModelFiles::Container::gguf;
  bool sandwich = false;
  for (const TensorView& view : files->tensors) {
    sandwich |= view.name.ends_with(".post_attention_norm.weight");
  }
  for (const TensorView& view : files->tensors) {
    std::string name = gguf ? canonical_name(view.name, sandwich) : view.name;
    for (const auto& [part, instead] : renames) {
      if (const size_t at = name.find(part); at != std::string::npos) {
        name.replace(at, part.size(), instead);
      }
    }
    const auto [at, fresh] = map->tensors_.emplace(std::move(name), &view);
    if (!fresh) {
      return corrupt(fmt::format("tensor {} is in the model twice", at->first));
    }
  }
  map->files_ = std::move(files);
  return map;
}

bool WeightMap::has(const std::string& name) const {
  return tensors_.contains(name);
}

void WeightMap::ignore(const std::string& name) {
  taken_.insert(name);
}

void WeightMap::ignore_file(const TensorView& tensor) {
  for (const auto& [name, view] : tensors_) {
    if (view == &tensor) {
      taken_.insert(name);
    }
  }
}

Status WeightMap::check_all_taken() const {
  std::string left;
  size_t count = 0;
  for (const auto& [name, view] : tensors_) {
    if (!taken_.contains(name) && ++count <= 5) {
      left += (left.empty() ? "" : ", ") + name;
    }
  }
  if (count == 0) {
    return {};
  }
  return Error{
      ErrorCode::corrupt,
      fmt::format(
          "{} tensor{} that this architecture does not use: {}{}",
          count,
          count == 1 ? "" : "s",
          left,
          count > 5 ? ", ..." : ""),
      "the model is of another architecture or a newer variant of it"};
}

WeightCursor WeightCursor::scope(std::string_view name) const {
  return WeightCursor(*map_, full(name));
}

std::string WeightCursor::full(std::string_view name) const {
  std::string out = prefix_;
  if (!out.empty() && !name.empty()) {
    out += '.';
  }
  return out.append(name);
}

bool WeightCursor::has(std::string_view name) const {
  return map_->has(full(name));
}

Result<const TensorView*> WeightCursor::take(const std::string& name) const {
  const auto found = map_->tensors_.find(name);
  if (found == map_->tensors_.end()) {
    return corrupt(fmt::format("tensor {} is missing", name));
  }
  RAPID_CHECK(check_bytes(*found->second));
  map_->taken_.insert(name);
  return found->second;
}

Result<WeightPtr> WeightCursor::matrix(
    std::string_view name, int64_t rows, int64_t cols) const {
  const std::string module = full(name);
  return read(module, module + ".weight", {rows}, cols);
}

Result<WeightPtr> WeightCursor::stack(
    std::string_view name, int64_t count, int64_t rows, int64_t cols) const {
  const std::string module = full(name);
  const std::string suffixed = module + ".weight";
  return read(
      module,
      map_->has(suffixed) || !map_->has(module) ? suffixed : module,
      {count, rows},
      cols);
}

Result<WeightPtr> WeightCursor::read(
    const std::string& module,
    const std::string& parameter,
    const std::vector<int64_t>& lead,
    int64_t cols) const {
  RAPID_TRY(const TensorView* data, take(parameter));
  auto weight = std::make_shared<Weight>();
  weight->name = parameter;
  weight->rows = 1;
  for (const int64_t d : lead) {
    weight->rows *= d;
  }
  weight->cols = cols;
  weight->data = *data;
  weight->exact = map_->exact_;
  if (map_->has(module + ".weight_scale_inv")) {
    RAPID_CHECK(check_shape(*data, {weight->rows, cols}));
    RAPID_TRY(const TensorView* scales, take(module + ".weight_scale_inv"));
    map_->ignore(module + ".activation_scale");
    RAPID_TRY(
        weight->data,
        dequantise_fp8(
            *data, *scales, fp8_block(map_->files_->config), map_->exact_));
    return WeightPtr(std::move(weight));
  }
  if (!map_->has(module + ".scales")) {
    const bool single = weight->rows == 1 && data->shape.size() == 1;
    RAPID_CHECK(
        check_shape(*data, single ? std::vector{cols} : with_cols(lead, cols)));
    if (!is_float_type(data->type) && !is_block_type(data->type)) {
      return corrupt(fmt::format(
          "tensor {}: expected a float or block type, got {}",
          weight->name,
          tensor_type_info(data->type).name));
    }
    flatten(weight->data, weight->rows);
    return WeightPtr(std::move(weight));
  }
  // config.json knows it by the name in the file.
  std::string_view known = data->name;
  known = known.substr(0, known.rfind(".weight"));
  const auto scheme = map_->files_->quantisation.scheme_for(std::string(known));
  if (!scheme) {
    return corrupt(fmt::format(
        "tensor {}.scales: config.json does not say how {} is quantised",
        module,
        module));
  }
  RAPID_TRY(const TensorView* scales, take(module + ".scales"));
  const TensorView* biases = nullptr;
  if (map_->has(module + ".biases")) {
    RAPID_TRY(biases, take(module + ".biases"));
  }
  RAPID_CHECK(add_scheme(*weight, lead, *scheme, *scales, biases));
  flatten(weight->data, weight->rows);
  flatten(*weight->scales, weight->rows);
  if (weight->biases) {
    flatten(*weight->biases, weight->rows);
  }
  return WeightPtr(std::move(weight));
}

std::vector<int64_t> WeightCursor::shape(std::string_view name) const {
  const auto found = map_->tensors_.find(full(name));
  return found == map_->tensors_.end() ? std::vector<int64_t>()
                                       : found->second->shape;
}

Result<mx::array> WeightCursor::vector(
    std::string_view name, int64_t size) const {
  return floats(name, {size});
}

Result<mx::array> WeightCursor::floats(
    std::string_view name, const std::vector<int64_t>& shape) const {
  RAPID_TRY(const TensorView* data, take(full(name)));
  RAPID_CHECK(check_shape(*data, shape));
  if (!is_float_type(data->type)) {
    return corrupt(fmt::format(
        "tensor {}: expected a float type, got {}",
        data->name,
        tensor_type_info(data->type).name));
  }
  Weight weight;
  weight.rows = data->elements();
  weight.cols = 1;
  weight.data = *data;
  return weight_to_float(weight);
}

Result<TensorView> WeightCursor::raw(
    std::string_view name, const std::vector<int64_t>& shape) const {
  RAPID_TRY(const TensorView* data, take(full(name)));
  RAPID_CHECK(check_shape(*data, shape));
  return *data;
}

Result<mx::array> WeightCursor::table(
    std::string_view name, int64_t rows, int64_t cols) const {
  RAPID_TRY(const mx::array values, floats(name, {rows, cols}));
  mx::array out =
      mx::reshape(values, {static_cast<int>(rows), static_cast<int>(cols)});
  out.eval();
  return out;
}

}  // namespace rapid
