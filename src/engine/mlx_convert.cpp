// convert_model: the plan's tensors, quantised by MLX itself, shard by shard.
#include <fmt/format.h>
#include <mlx/mlx.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <unordered_map>

#include "engine/convert.h"
#include "engine/convert_plan.h"
#include "hub/model_files.h"
#include "tensor/array_copy.h"

namespace rapid {

namespace {

namespace mx = mlx::core;
namespace fs = std::filesystem;

using Tensors = std::unordered_map<std::string, mx::array>;

mx::array cast(const mx::array& a, const std::string& dtype) {
  if (dtype == "float16") {
    return mx::astype(a, mx::float16);
  }
  if (dtype == "bfloat16") {
    return mx::astype(a, mx::bfloat16);
  }
  return dtype == "float32" ? mx::astype(a, mx::float32) : a;
}

// The heads of a latent projection apart: keys turned, values as they lie.
mx::array latent_part(const mx::array& a, const ConvertTensor& tensor) {
  const mx::array heads = mx::reshape(a, {tensor.heads, -1, a.shape(-1)});
  const bool keys = tensor.change == ConvertChange::latent_keys;
  const mx::array part = mx::slice(
      heads,
      {0, keys ? 0 : tensor.keys, 0},
      {tensor.heads, keys ? tensor.keys : heads.shape(1), heads.shape(2)});
  return keys ? mx::swapaxes(part, -1, -2) : part;
}

mx::array value_of(const ConvertTensor& tensor) {
  std::vector<mx::array> parts;
  for (const TensorView* view : tensor.from) {
    parts.push_back(array_copy(*view));
  }
  mx::array out = parts.size() > 1 ? mx::stack(parts) : parts[0];
  if (tensor.half >= 0) {
    out = mx::split(out, 2, -2)[static_cast<size_t>(tensor.half)];
  }
  switch (tensor.change) {
    case ConvertChange::none:
      return out;
    case ConvertChange::plus_one:
      return mx::add(out, mx::array(1.0f, out.dtype()));
    case ConvertChange::taps_first:
      return mx::swapaxes(out, 1, 2);
    default:
      return latent_part(out, tensor);
  }
}

Error io_error(const fs::path& path, const char* what) {
  return {
      ErrorCode::io,
      fmt::format("{}: {}", path.string(), what),
      "check the disk's free space and permissions",
      path.string()};
}

Status write_text(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) {
    return io_error(path, "cannot be written");
  }
  return {};
}

class Writer {
 public:
  Writer(fs::path folder, const ConvertOptions& options)
      : folder_(std::move(folder)), options_(options) {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      fs::remove_all(entry.path());
    }
  }

  Status add(const ConvertTensor& tensor, const std::string& dtype) {
    const mx::array value =
        mx::contiguous(cast(value_of(tensor), tensor.cast ? dtype : ""));
    parameters_ += value.size();
    if (!tensor.scheme) {
      return put(tensor.name, value);
    }
    const auto& [group, bits, mode] = *tensor.scheme;
    const std::vector<mx::array> parts = mx::quantize(value, group, bits, mode);
    const std::string module = tensor.name.substr(0, tensor.name.size() - 7);
    constexpr std::array kNames = {".weight", ".scales", ".biases"};
    for (size_t i = 0; i < parts.size(); ++i) {
      RAPID_CHECK(put(module + kNames[i], parts[i]));
    }
    return {};
  }

  // Ends the last shard, gives all their final names, writes the index.
  Status finish(ConvertReport& report) {
    RAPID_CHECK(flush());
    Json places = Json::object();
    for (const auto& [name, shard] : shard_of_) {
      places[name] = final_name(shard);
    }
    for (int i = 1; i <= shards_; ++i) {
      fs::rename(folder_ / draft_name(i), folder_ / final_name(i));
    }
    report.tensors = shard_of_.size();
    report.bytes = total_;
    report.shards = shards_;
    report.bits_per_weight =
        static_cast<double>(total_) * 8 /
        static_cast<double>(std::max<uint64_t>(parameters_, 1));
    const Json index = {
        {"metadata",
         {{"total_size", total_}, {"total_parameters", parameters_}}},
        {"weight_map", places}};
    return write_text(folder_ / "model.safetensors.index.json", index.dump(4));
  }

 private:
  Status put(const std::string& name, mx::array value) {
    value = mx::contiguous(value);
    value.eval();
    if (!held_.empty() && held_bytes_ + value.nbytes() > options_.shard_bytes) {
      RAPID_CHECK(flush());
    }
    held_bytes_ += value.nbytes();
    total_ += value.nbytes();
    shard_of_[name] = shards_ + 1;
    held_.emplace(name, std::move(value));
    return {};
  }

  Status flush() {
    if (held_.empty()) {
      return {};
    }
    ++shards_;
    mx::save_safetensors(
        (folder_ / draft_name(shards_)).string(),
        std::move(held_),
        {{"format", "mlx"}});
    held_ = {};
    held_bytes_ = 0;
    mx::clear_cache();
    return {};
  }

  static std::string draft_name(int shard) {
    return fmt::format("draft-{}.safetensors", shard);
  }

  std::string final_name(int shard) const {
    return shards_ == 1
               ? "model.safetensors"
               : fmt::format(
                     "model-{:05d}-of-{:05d}.safetensors", shard, shards_);
  }

  fs::path folder_;
  const ConvertOptions& options_;
  Tensors held_;
  std::map<std::string, int> shard_of_;  // sorted, as the index is
  uint64_t held_bytes_ = 0;
  uint64_t total_ = 0;
  uint64_t parameters_ = 0;
  int shards_ = 0;
};

// Whatever a folder has beside weights and configuration that is small text:
// the tokenizer, templates, generation_config.json.
void copy_companions(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    const std::string end = entry.path().extension().string();
    const bool wanted = end == ".json" || end == ".jinja" || end == ".txt" ||
                        end == ".model" || end == ".tiktoken";
    if (entry.is_regular_file() && wanted && name != "config.json" &&
        !name.ends_with(".safetensors.index.json")) {
      fs::copy_file(entry.path(), to / name);
    }
  }
}

Result<ConvertReport> write_folder(
    const ConvertPlan& plan,
    const ConvertOptions& options,
    const fs::path& draft) {
  ConvertReport report;
  Writer writer(draft, options);
  uint64_t all = 0;
  for (const ConvertTensor& tensor : plan.tensors) {
    all += tensor.bytes();
  }
  uint64_t done = 0;
  for (const ConvertTensor& tensor : plan.tensors) {
    RAPID_CHECK(writer.add(tensor, plan.dtype));
    done += tensor.bytes();
    if (options.progress) {
      options.progress(done, all);
    }
  }
  RAPID_CHECK(writer.finish(report));
  RAPID_CHECK(write_text(draft / "config.json", plan.config.dump(4)));
  copy_companions(options.from, draft);
  return report;
}

}  // namespace

Result<ConvertReport> convert_model(const ConvertOptions& options) {
  const fs::path target = options.to;
  if (fs::exists(target)) {
    return Error{
        ErrorCode::invalid_argument,
        options.to + " exists already",
        "remove it, or name another folder",
        options.to};
  }
  RAPID_TRY(const auto files, ModelFiles::open(options.from));
  RAPID_TRY(const ConvertPlan plan, plan_conversion(*files, options));
  // What MLX-LM does runs on the default device; ours is the CPU, which gives
  // the same bits everywhere.
  const mx::Device before = mx::default_device();
  mx::set_default_device(mx::Device::cpu);
  const fs::path draft = options.to + ".draft";
  Result<ConvertReport> out = Error{};
  try {
    fs::create_directories(draft);
    out = write_folder(plan, options, draft);
    if (out) {
      fs::rename(draft, target);
    }
  } catch (const std::exception& failed) {
    out = io_error(target, failed.what());
  }
  if (!out) {
    std::error_code ignored;
    fs::remove_all(draft, ignored);
  }
  mx::set_default_device(before);
  return out;
}

}  // namespace rapid
