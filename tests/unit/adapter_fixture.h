// Random adapters for a loaded model, written as mlx-lm or PEFT writes them,
// and what they come to by the definition: W + scale B A.
#pragma once

#include <cstring>
#include <map>
#include <random>
#include <set>

#include "hub/dequantise.h"
#include "models/adapter.h"
#include "unit/models_fixture.h"
#include "unit/temp_folder.h"

namespace rapid {

struct AdapterRecipe {
  uint32_t seed = 1;
  int rank = 4;
  float scale = 2.0f;
  float size = 0.1f;
  bool peft = false;
  // Endings of the modules that it changes; empty = all that it may.
  std::set<std::string> modules;
};

struct MadeAdapter {
  struct Part {
    int rows = 0;
    int cols = 0;
    int paired_heads = 0;
    std::vector<float> a;  // [rank, cols]
    std::vector<float> b;  // [rows, rank]
  };
  AdapterRecipe recipe;
  std::map<std::string, Part> parts;  // by module
};

inline MadeAdapter make_adapter(
    const Model& model, const AdapterRecipe& recipe) {
  MadeAdapter out{recipe, {}};
  std::mt19937 random(recipe.seed);
  const auto fill = [&](size_t count) {
    std::vector<float> values(count);
    for (float& v : values) {
      v = recipe.size * (static_cast<float>(random() % 2001) * 1e-3f - 1);
    }
    return values;
  };
  for (const AdaptableWeight& each : model.adaptable()) {
    const Weight& w = *each.weight;
    std::string module = w.name.substr(0, w.name.size() - 7);
    const std::string end = module.substr(module.rfind('.') + 1);
    if (!recipe.modules.empty() && !recipe.modules.contains(end)) {
      continue;
    }
    MadeAdapter::Part part{
        static_cast<int>(w.rows),
        static_cast<int>(w.cols),
        each.paired_heads,
        {},
        {}};
    part.a = fill(static_cast<size_t>(recipe.rank * w.cols));
    part.b = fill(static_cast<size_t>(recipe.rank * w.rows));
    out.parts.emplace(std::move(module), std::move(part));
  }
  return out;
}

inline std::vector<float> transposed(
    const std::vector<float>& x, int rows, int cols) {
  std::vector<float> out(x.size());
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) {
      out[c * rows + r] = x[r * cols + c];
    }
  }
  return out;
}

struct NamedTensor {
  std::string name;
  std::vector<int> shape;
  std::vector<float> values;
};

inline std::vector<NamedTensor> tensors_of(const MadeAdapter& made) {
  std::vector<NamedTensor> out;
  const int r = made.recipe.rank;
  for (const auto& [module, p] : made.parts) {
    if (made.recipe.peft) {
      const std::string name = "base_model.model." + module;
      out.push_back({name + ".lora_A.weight", {r, p.cols}, p.a});
      out.push_back({name + ".lora_B.weight", {p.rows, r}, p.b});
    } else {
      out.push_back(
          {module + ".lora_a", {p.cols, r}, transposed(p.a, r, p.cols)});
      out.push_back(
          {module + ".lora_b", {r, p.rows}, transposed(p.b, p.rows, r)});
    }
  }
  return out;
}

inline Json config_of(const AdapterRecipe& recipe) {
  if (recipe.peft) {
    return {
        {"peft_type", "LORA"},
        {"r", recipe.rank},
        {"lora_alpha", recipe.scale * static_cast<float>(recipe.rank)},
        {"bias", "none"}};
  }
  return {
      {"fine_tune_type", "lora"},
      {"lora_parameters", {{"rank", recipe.rank}, {"scale", recipe.scale}}}};
}

inline std::string safetensors_of(const std::vector<NamedTensor>& tensors) {
  Json header = Json::object();
  std::string data;
  for (const NamedTensor& t : tensors) {
    const size_t begin = data.size();
    data.append(
        reinterpret_cast<const char*>(t.values.data()),
        t.values.size() * sizeof(float));
    header[t.name] = {
        {"dtype", "F32"},
        {"shape", t.shape},
        {"data_offsets", {begin, data.size()}}};
  }
  return test::safetensors(dump_json(header), data);
}

inline void write_adapter(
    const test::TempFolder& folder,
    const std::string& name,
    const Json& config,
    const std::vector<NamedTensor>& tensors,
    bool peft) {
  folder.write(name + "/adapter_config.json", dump_json(config));
  folder.write(
      name + (peft ? "/adapter_model.safetensors" : "/adapters.safetensors"),
      safetensors_of(tensors));
}

// Writes it to a folder of its own, whose path comes back.
inline std::string write_adapter(
    const test::TempFolder& folder,
    const std::string& name,
    const MadeAdapter& made) {
  write_adapter(
      folder, name, config_of(made.recipe), tensors_of(made), made.recipe.peft);
  return (folder.path() / name).string();
}

// The row of the file's matrix that holds the model's row n.
inline int file_row(const MadeAdapter::Part& part, int n) {
  if (part.paired_heads == 0) {
    return n;
  }
  const int dim = part.rows / part.paired_heads;
  const int in = n % dim;
  const int half = dim / 2;
  return n - in + 2 * (in % half) + in / half;
}

// W + scale B A, as the file has its rows.
inline std::vector<float> merged(
    std::vector<float> w, const MadeAdapter::Part& p, const AdapterRecipe& r) {
  for (int n = 0; n < p.rows; ++n) {
    for (int k = 0; k < p.cols; ++k) {
      double sum = 0;
      for (int i = 0; i < r.rank; ++i) {
        sum += double(p.b[n * r.rank + i]) * p.a[i * p.cols + k];
      }
      w[static_cast<size_t>(file_row(p, n)) * p.cols + k] +=
          static_cast<float>(r.scale * sum);
    }
  }
  return w;
}

}  // namespace rapid
