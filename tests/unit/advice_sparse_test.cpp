// A checkpoint of the true shape whose data is a hole: planning it must not
// read what is behind the headers.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "advice/model_shape.h"
#include "advice/quant_bits.h"
#include "engine/memory_plan.h"
#include "hub/catalogue.h"
#include "hub/model_files.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;

// One shard: tensors are added, then the file gets its header and its length.
class SparseShard {
 public:
  void add(
      const std::string& name, const char* type, std::vector<int64_t> shape) {
    uint64_t bytes = type[0] == 'U' && type[1] == '3' ? 4
                     : type[0] == 'U'                 ? 1
                                                      : 2;
    for (const int64_t size : shape) {
      bytes *= static_cast<uint64_t>(size);
    }
    header_[name] = {
        {"dtype", type},
        {"shape", shape},
        {"data_offsets", {end_, end_ + bytes}}};
    end_ += bytes;
  }

  // A quantised matrix: codes of 4 bits, a byte of scale in 32.
  void add_mxfp4(const std::string& module, std::vector<int64_t> shape) {
    const int64_t inner = shape.back();
    shape.back() = inner / 8;
    add(module + ".weight", "U32", shape);
    shape.back() = inner / 32;
    add(module + ".scales", "U8", shape);
  }

  uint64_t write(const fs::path& path) const {
    std::string text = dump_json(header_);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out << text;
    out.close();
    fs::resize_file(path, sizeof(length) + length + end_);
    return sizeof(length) + length;
  }

 private:
  Json header_ = Json::object();
  uint64_t end_ = 0;
};

void add_layer(SparseShard& shard, int layer, const Json& text) {
  const auto number = [&](const char* key) {
    return text.at(key).get<int64_t>();
  };
  const std::string base =
      "language_model.model.layers." + std::to_string(layer);
  const int64_t hidden = number("hidden_size");
  const int64_t experts = number("num_experts");
  const int64_t width = number("moe_intermediate_size");
  const int64_t heads = number("num_attention_heads") * number("head_dim");
  const int64_t kv = number("num_key_value_heads") * number("head_dim");
  for (const char* part : {"gate_proj", "up_proj"}) {
    shard.add_mxfp4(base + ".mlp.switch_mlp." + part, {experts, width, hidden});
    shard.add_mxfp4(base + ".mlp.shared_expert." + part, {width, hidden});
  }
  shard.add_mxfp4(base + ".mlp.switch_mlp.down_proj", {experts, hidden, width});
  shard.add_mxfp4(base + ".mlp.shared_expert.down_proj", {hidden, width});
  shard.add_mxfp4(base + ".mlp.gate", {experts, hidden});
  if ((layer + 1) % number("full_attention_interval") == 0) {
    shard.add_mxfp4(base + ".self_attn.q_proj", {2 * heads, hidden});
    shard.add_mxfp4(base + ".self_attn.k_proj", {kv, hidden});
    shard.add_mxfp4(base + ".self_attn.v_proj", {kv, hidden});
    shard.add_mxfp4(base + ".self_attn.o_proj", {hidden, heads});
    return;
  }
  const int64_t values =
      number("linear_num_value_heads") * number("linear_value_head_dim");
  const int64_t channels = values + 2 * number("linear_num_key_heads") *
                                        number("linear_key_head_dim");
  shard.add_mxfp4(base + ".linear_attn.in_proj_qkv", {channels, hidden});
  shard.add_mxfp4(base + ".linear_attn.in_proj_z", {values, hidden});
  shard.add_mxfp4(base + ".linear_attn.out_proj", {hidden, values});
  shard.add(base + ".linear_attn.conv1d.weight", "BF16", {channels, 4, 1});
}

// Pages of the file that are in memory.
uint64_t resident_bytes(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const uint64_t size = fs::file_size(path);
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  void* map = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_NE(map, MAP_FAILED);
  std::vector<unsigned char> pages((size + page - 1) / page);
  EXPECT_EQ(::mincore(map, size, pages.data()), 0);
  ::munmap(map, size);
  ::close(fd);
  uint64_t sum = 0;
  for (const unsigned char each : pages) {
    sum += (each & 1) * page;
  }
  return sum;
}

TEST(SparseCheckpoint, OfTrueShapeIsPlannedByItsHeaders) {
  const TempFolder folder;
  Json config = *model_config("qwen3.5-122b-a10b");
  config.erase("vision_config");
  config["quantization"] = {{"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}};
  folder.write("config.json", dump_json(config));
  folder.write("tokenizer.json", "{}");
  const Json& text = config["text_config"];
  const int layers = text["num_hidden_layers"];
  constexpr int kShards = 12;
  uint64_t headers = 0;
  std::vector<fs::path> paths;
  for (int i = 0; i < kShards; ++i) {
    SparseShard shard;
    for (int layer = i; layer < layers; layer += kShards) {
      add_layer(shard, layer, text);
    }
    if (i == 0) {
      for (const char* end : {"model.embed_tokens", "lm_head"}) {
        shard.add_mxfp4(
            std::string("language_model.") + end,
            {text["vocab_size"], text["hidden_size"]});
      }
    }
    paths.push_back(
        folder.path() / ("model-" + std::to_string(i) + ".safetensors"));
    headers += shard.write(paths.back());
  }

  const auto files = ModelFiles::open(folder.path().string());
  ASSERT_TRUE(files) << files.error().what;
  const auto shape = model_shape((*files)->config);
  ASSERT_TRUE(shape);
  // The published file has 64.9 GB.
  EXPECT_NEAR(static_cast<double>((*files)->bytes()) / 1e9, 64.9, 0.03 * 64.9);
  EXPECT_NEAR(
      static_cast<double>(weight_bytes(*shape, *quant_bits("mxfp4"))),
      static_cast<double>((*files)->bytes()),
      0.01 * static_cast<double>((*files)->bytes()));
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_FALSE(check_weights_fit((*files)->bytes(), 48 * kGiB));
  EXPECT_TRUE(check_weights_fit((*files)->bytes(), 72 * kGiB));

  uint64_t read = 0;
  for (const fs::path& path : paths) {
    read += resident_bytes(path);
  }
  // The system reads some ahead.
  EXPECT_LT(read, headers + kShards * (uint64_t{1} << 20));
}

}  // namespace
}  // namespace rapid
