#include "advice/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "advice/quant_bits.h"
#include "hub/model_files.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

ModelShape shape_of(const char* name) {
  const Json* config = model_config(name);
  EXPECT_NE(config, nullptr) << name;
  auto shape = model_shape(*config);
  EXPECT_TRUE(shape) << name;
  return *shape;
}

double off(uint64_t got, double published_gb) {
  return std::abs(static_cast<double>(got) / 1e9 / published_gb - 1);
}

// The files that people are told to run by the memory they have.
TEST(ModelShape, FilesAreAsLargeAsPublished) {
  for (const CatalogueEntry& entry : catalogue()) {
    const auto bits = quant_bits(entry.quantisation);
    if (entry.config.empty() || !bits || !entry.file.empty() ||
        entry.preference == 0) {
      continue;
    }
    const ModelShape shape = shape_of(entry.config.c_str());
    // Text only where the repository says so.
    const bool text = entry.sources[0].text.find("-Text-") != std::string::npos;
    const uint64_t bytes =
        text ? weight_bytes(shape, *bits) : file_bytes(shape, *bits);
    const double published = static_cast<double>(entry.bytes) / 1e9;
    // A tenth of a GB is all that is published.
    EXPECT_LT(off(bytes, published), std::max(0.03, 0.05 / published))
        << entry.alias << ": " << bytes;
  }
}

TEST(ModelShape, EveryConfigurationFitsItsCheckpoints) {
  for (const CatalogueEntry& entry : catalogue()) {
    const auto bits = quant_bits(entry.quantisation);
    if (entry.config.empty() || !bits || !entry.file.empty()) {
      continue;
    }
    const ModelShape shape = shape_of(entry.config.c_str());
    const double published = static_cast<double>(entry.bytes) / 1e9;
    // With or without an image tower; some keep the odd tensor in 16 bits.
    const double nearest = std::min(
        off(file_bytes(shape, *bits), published),
        off(weight_bytes(shape, *bits), published));
    EXPECT_LT(nearest, std::max(0.2, 0.05 / published)) << entry.alias;
  }
}

TEST(ModelShape, StatesOfASequence) {
  // 8 of 32 layers keep 4 heads of 256 keys and values in 16 bits.
  EXPECT_EQ(
      shape_of("qwen3.5-9b").states(16).bytes(32768) -
          shape_of("qwen3.5-9b").recurrent_bytes,
      uint64_t{32768} * 8 * 2 * 4 * 256 * 2);
  // Its published snapshot: 62.81 MiB.
  EXPECT_NEAR(
      static_cast<double>(shape_of("qwen3.5-35b-a3b").recurrent_bytes),
      62.81 * (1 << 20),
      0.01 * (1 << 20));
  // Codes of 8 bits carry a bit of scale each.
  EXPECT_EQ(
      shape_of("llama-3.1-8b").states(8).bytes(64) * 16,
      shape_of("llama-3.1-8b").states(16).bytes(64) * 9);
  // Entries of 4 tokens with an index in 21 layers, of 128 in 20; always 32
  // bits.
  const StateCost entries = shape_of("deepseek-v4-flash").states(8);
  constexpr int64_t kHalf = 1 << 19;
  EXPECT_EQ(
      entries.bytes(2 * kHalf) - entries.bytes(kHalf),
      uint64_t{kHalf} * (21 * (512 + 128) + 20 * 512 / 32));
  EXPECT_LT(entries.snapshot_bytes(), uint64_t{80} << 20);
  // Windows keep no more than themselves.
  const StateCost small = shape_of("gpt-oss-20b").states(16);
  EXPECT_LT(small.bytes(32768), uint64_t{32768} * 24 * 2048 * 6 / 10);
}

TEST(ModelShape, RefusesWhatItCannotKnow) {
  EXPECT_FALSE(model_shape(Json::array()));
  EXPECT_FALSE(model_shape(Json::object()));
  Json odd = *model_config("qwen3-8b");
  odd["hidden_size_per_layer_input"] = 256;
  EXPECT_FALSE(model_shape(odd));
  EXPECT_FALSE(quant_bits("ud-mlx-4bit"));
}

// What the configuration says against the tensors that are there.
TEST(ModelShape, CountsWhatCheckpointsHold) {
  namespace fs = std::filesystem;
  int counted = 0;
  for (const auto& folder : fs::directory_iterator(
           fs::path(RAPID_MLX_TEST_DATA) / "parity" / "fixtures")) {
    if (!fs::exists(folder.path() / "config.json")) {
      continue;
    }
    const auto files = ModelFiles::open(folder.path().string());
    if (!files) {
      continue;
    }
    Json config = (*files)->config;
    // These two have no such field; a default leaked into their fixtures.
    const std::string& type = (*files)->architecture;
    if (type == "gpt_oss" || type == "minimax_m2") {
      config.erase("moe_intermediate_size");
    }
    if (type == "nemotron_h") {
      config["tie_word_embeddings"] = false;  // its head is stored all the same
    }
    const auto shape = model_shape(config);
    if (!shape || !(*files)->config.value("quantization", Json()).is_null() ||
        !(*files)->config.value("quantization_config", Json()).is_null()) {
      continue;
    }
    // Norms and biases are a large part of a tiny model, and none of a real
    // one.
    int64_t held = 0;
    for (const TensorView& tensor : (*files)->tensors) {
      const bool counted = tensor.shape.size() > 1 &&
                           !tensor.name.starts_with("mtp.") &&
                           tensor.name.find("visual") == std::string::npos;
      held += counted ? tensor.elements() : 0;
    }
    const auto norms =
        static_cast<uint64_t>((2 * shape->layers + 1) * shape->hidden);
    EXPECT_NEAR(
        static_cast<double>(shape->params() - norms) /
            static_cast<double>(held),
        1,
        0.04)
        << folder.path().filename();
    ++counted;
  }
  EXPECT_GT(counted, 20);
}

Machine mac(const char* chip, uint64_t gib) {
  const auto machine = mac_machine(chip, gib * kGiB);
  EXPECT_TRUE(machine) << chip;
  return *machine;
}

std::string picks(const Machine& machine, AdviceOptions options = {}) {
  const auto models = catalogue_models([](std::string_view) { return true; });
  const Advice advice = advise(machine, models, options);
  return (advice.smart ? advice.smart->model->alias : "-") + " " +
         (advice.fast ? advice.fast->model->alias : "-");
}

TEST(Advice, MacsGetTheRowsThatPeopleKnow) {
  struct Tier {
    const char* chip;
    uint64_t gib;
    const char* picks;
  };
  for (const Tier& tier : {
           Tier{"M1", 8, "lfm2.5-2.6b-4bit lfm2.5-1b-4bit"},
           Tier{"M3 Pro", 18, "qwen3.5-9b-4bit qwen3.5-4b-4bit"},
           Tier{"M2 Pro", 16, "qwen3.5-4b-4bit lfm2.5-1b-4bit"},
           Tier{"M4 Pro", 24, "qwen3.5-9b-4bit qwen3.5-4b-4bit"},
           Tier{"M2 Max", 32, "qwen3.5-27b-4bit nemotron-30b-4bit"},
           Tier{"M3 Max", 48, "qwen3.5-35b-8bit nemotron-30b-4bit"},
           Tier{"M3 Max", 64, "qwen3.5-35b-8bit nemotron-30b-4bit"},
           Tier{"M3 Max", 96, "qwen3.5-122b-mxfp4 qwen3.5-35b-8bit"},
           Tier{"M4 Max", 128, "deepseek-v4-flash-2bit qwen3.5-35b-8bit"},
           Tier{"M2 Ultra", 192, "qwen3.5-122b-8bit qwen3.5-35b-8bit"},
           Tier{"M3 Ultra", 256, "deepseek-v4-flash-8bit qwen3.5-35b-8bit"},
           Tier{"M3 Ultra", 512, "deepseek-v4-flash-8bit qwen3.5-35b-8bit"},
       }) {
    EXPECT_EQ(picks(mac(tier.chip, tier.gib)), tier.picks)
        << tier.chip << " " << tier.gib;
  }
}

TEST(Advice, EveryMacGetsSomethingThatFits) {
  const auto models = catalogue_models([](std::string_view) { return true; });
  for (const char* generation : {"M1", "M2", "M3", "M4", "M5"}) {
    for (const char* size : {"", " Pro", " Max"}) {
      for (const uint64_t gib : {8, 16, 24, 32, 48, 64, 96, 128, 192, 512}) {
        const Machine machine =
            mac((std::string("Apple ") + generation + size).c_str(), gib);
        const Advice advice = advise(machine, models, {});
        ASSERT_TRUE(advice.smart) << machine.chip << gib;
        EXPECT_LE(advice.smart->fit.total(), machine.usable);
        EXPECT_GE(advice.smart->speed.decode_tps, 10) << machine.chip << gib;
        if (advice.fast) {
          EXPECT_GT(
              advice.fast->speed.decode_tps, advice.smart->speed.decode_tps);
        }
      }
    }
  }
  EXPECT_FALSE(mac_machine("Intel Core i7", 16 * kGiB));
}

// Decode of one stream, published for this machine.
TEST(Advice, SpeedsOfAnM3Ultra) {
  const Machine machine = mac("Apple M3 Ultra", 256);
  const std::map<std::string, double> published = {
      {"qwen3.5-4b-4bit", 160},
      {"qwen3.5-9b-4bit", 108},
      {"qwen3.5-27b-4bit", 39},
      {"qwen3.5-35b-8bit", 83},
      {"nemotron-30b-4bit", 141},
      {"qwen3.5-122b-mxfp4", 57},
  };
  for (const auto& [alias, tps] : published) {
    const CandidateModel model = candidate(*find_in_catalogue(alias));
    EXPECT_NEAR(expect_speed(machine, model, {}).decode_tps, tps, 0.2 * tps)
        << alias;
  }
  // Prompts: 323 tokens a second of 8K with 27 billion parameters, 2428 with
  // experts of which 3 billion work.
  EXPECT_NEAR(
      expect_speed(machine, candidate(*find_in_catalogue("qwen3.5-27b")), {})
          .prefill_tps,
      323,
      65);
}

TEST(Advice, OtherMachines) {
  // A small machine without a GPU: reading is what limits it.
  const Machine small =
      cpu_machine("EPYC", 2, 16 * kGiB, 12 * kGiB, {.read = 20e9});
  EXPECT_EQ(picks(small), "lfm2.5-1b-4bit -");
  const Machine big = cpu_machine(
      "EPYC", 64, 512 * kGiB, 400 * kGiB, {.read = 300e9, .attend = 2e12});
  EXPECT_THAT(picks(big), testing::StartsWith("deepseek-v4-flash-8bit "));
  const auto gpu = [](const char* name, uint64_t gib) {
    return gpu_machine(name, gib * kGiB, gib * kGiB);
  };
  EXPECT_THAT(
      picks(gpu("NVIDIA GeForce RTX 4090", 24)),
      testing::StartsWith("qwen3.5-27b-4bit "));
  EXPECT_THAT(
      picks(gpu("NVIDIA H100 80GB HBM3", 80)),
      testing::StartsWith("qwen3.5-122b-mxfp4 "));
  EXPECT_THAT(
      picks(gpu("NVIDIA H200", 141)),
      testing::StartsWith("qwen3.5-122b-8bit "));
}

TEST(Advice, LessMemoryAndLongerContexts) {
  const Machine machine = with_memory(mac("M3 Ultra", 256), 16 * kGiB);
  EXPECT_EQ(picks(machine), picks(mac("M3 Ultra", 16)));
  // 262144 tokens of keys and values do not fit beside it.
  EXPECT_NE(
      picks(mac("M3 Pro", 18), {.context = 262144}), picks(mac("M3 Pro", 18)));
  const CandidateModel model = candidate(*find_in_catalogue("qwen3.5-9b"));
  const Fit fit = fit_model(mac("M1", 8), model, {});
  EXPECT_FALSE(fit.fits);
  EXPECT_GT(fit.total(), 8 * kGiB * 2 / 3);
  // Nothing fits in a thimble.
  const auto models = catalogue_models([](std::string_view) { return true; });
  EXPECT_FALSE(advise(with_memory(machine, 1 << 20), models, {}).smart);
}

TEST(Advice, OnlyWhatThisBuildRuns) {
  const auto models = catalogue_models(
      [](std::string_view name) { return name != "deepseek_v4"; });
  const Advice advice = advise(mac("M4 Max", 128), models, {});
  EXPECT_EQ(advice.smart->model->alias, "qwen3.5-122b-mxfp4");
}

TEST(Machine, ReadsTheDriversLines) {
  const auto gpus = read_gpus(
      "NVIDIA H200, 143771, 143000\nnonsense\nNVIDIA A10, 23028, 100\n, ,\n");
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].name, "NVIDIA H200");
  EXPECT_EQ(gpus[0].memory, uint64_t{143771} << 20);
  EXPECT_EQ(gpus[1].free, uint64_t{100} << 20);
  EXPECT_EQ(gpu_machine("unheard of", kGiB, 0).usable, 0u);
}

TEST(Machine, MeasuresItself) {
  const Machine machine = this_machine("cpu");
  EXPECT_GT(machine.bandwidth, 1e8);
  EXPECT_GT(machine.usable, uint64_t{1} << 20);
  EXPECT_LE(machine.usable, machine.memory);
}

}  // namespace
}  // namespace rapid
