// Adapters against the definition (matrices merged into the weights), rows of
// several in one batch against each alone, and what a wrong one is told.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "unit/adapter_fixture.h"

namespace rapid {
namespace {

using testing::HasSubstr;

// The fixture with the adapter in its weights; the bytes are kept in `memory`.
std::unique_ptr<Model> load_merged(
    const std::string& fixture,
    const MadeAdapter& made,
    const Model& plain,
    std::vector<std::shared_ptr<std::vector<float>>>& memory) {
  auto opened = ModelFiles::open(fixture_folder(fixture).string());
  auto files = std::make_shared<ModelFiles>(**opened);
  for (const AdaptableWeight& each : plain.adaptable()) {
    const Weight& w = *each.weight;
    const auto part = made.parts.find(w.name.substr(0, w.name.size() - 7));
    if (part == made.parts.end()) {
      continue;
    }
    std::vector<float> values(static_cast<size_t>(w.rows * w.cols));
    dequantise(w.data.type, w.data.bytes, values);
    memory.push_back(std::make_shared<std::vector<float>>(
        merged(std::move(values), part->second, made.recipe)));
    for (TensorView& view : files->tensors) {
      if (view.name == w.data.name) {
        view.type = TensorType::f32;
        view.bytes = std::as_bytes(std::span(*memory.back()));
        view.file.reset();
      }
    }
  }
  auto model = ModelRegistry::global().load(files, {.exact = true});
  EXPECT_TRUE(model) << model.error().what;
  return model ? *std::move(model) : nullptr;
}

std::vector<float> run_with(
    Model& model, std::span<const int32_t> tokens, const AdapterPtr& adapter) {
  SequenceState states = model.make_states({});
  const SequenceInput input{
      tokens, &states, SequenceInput::Logits::all, adapter};
  return run(model, {&input, 1});
}

AdapterPtr load(
    const std::string& name, const std::string& folder, const Model& model) {
  auto out = load_adapter(name, folder, model);
  EXPECT_TRUE(out) << out.error().what;
  return out ? *out : nullptr;
}

struct Case {
  const char* fixture;
  bool peft;
};

class Adapters : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { mx::set_default_device(mx::Device::cpu); }
  test::TempFolder folder;
};

TEST_P(Adapters, AreWhatIsMergedIntoTheWeights) {
  const Case c = GetParam();
  const auto tokens = read_fixture(c.fixture).tokens;
  const auto model = load_model(fixture_folder(c.fixture));
  ASSERT_FALSE(model->adaptable().empty());
  const MadeAdapter made =
      make_adapter(*model, {.seed = 3, .rank = 5, .peft = c.peft});
  const auto adapter = load("one", write_adapter(folder, "one", made), *model);
  ASSERT_TRUE(adapter);
  std::vector<std::shared_ptr<std::vector<float>>> memory;
  const auto whole = load_merged(c.fixture, made, *model, memory);
  const auto got = run_with(*model, tokens, adapter);
  const auto want = run_with(*whole, tokens, nullptr);
  const auto plain = run_with(*model, tokens, nullptr);
  float scale = 0;
  float worst = 0;
  float change = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    scale = std::max(scale, std::abs(want[i]));
    worst = std::max(worst, std::abs(got[i] - want[i]));
    change = std::max(change, std::abs(plain[i] - want[i]));
  }
  EXPECT_LT(worst, 2e-4f * scale);
  EXPECT_GT(change, 0.02f * scale);
  // The plain-ops definition, which GPUs run.
  const ScopedReference forced;
  const auto reference = run_with(*model, tokens, adapter);
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(reference[i], want[i], 2e-4f * scale);
  }
}

INSTANTIATE_TEST_SUITE_P(
    ,
    Adapters,
    testing::Values(
        Case{"llama_f32", false},
        Case{"llama_f32", true},
        Case{"llama_gguf", false},
        Case{"llama_gguf", true},
        Case{"qwen2_bf16", true},
        Case{"qwen2_gguf", false},
        Case{"gemma3_f16", false}),
    [](const auto& info) {
      return std::string(info.param.fixture) + (info.param.peft ? "_peft" : "");
    });

// Rows of three adapters and of none, prompts and single tokens in turn.
TEST(AdaptedBatch, EachRowIsAsAlone) {
  mx::set_default_device(mx::Device::cpu);
  test::TempFolder folder;
  for (const char* fixture : {"llama_affine4", "llama_gguf", "gemma3_gguf"}) {
    for (const bool exact : {false, true}) {
      const auto model = load_model(fixture_folder(fixture), exact);
      std::vector<AdapterPtr> adapters = {nullptr};
      for (const auto& recipe :
           {AdapterRecipe{.seed = 1, .rank = 8},
            AdapterRecipe{.seed = 2, .rank = 3, .modules = {"q_proj"}},
            AdapterRecipe{
                .seed = 3, .rank = 16, .modules = {"down_proj", "v_proj"}}}) {
        const std::string name = "a" + std::to_string(recipe.seed);
        adapters.push_back(load(
            name,
            write_adapter(folder, name, make_adapter(*model, recipe)),
            *model));
      }
      constexpr int kRows = 8;
      std::vector<std::vector<int32_t>> tokens(kRows);
      std::vector<SequenceState> states(kRows);
      std::vector<std::vector<float>> alone(kRows);
      for (int i = 0; i < kRows; ++i) {
        for (int t = 0; t < 5 + 9 * i; ++t) {
          tokens[i].push_back((t * 31 + i * 17) % 90);
        }
        states[i] = model->make_states({});
        alone[i] = run_with(*model, tokens[i], adapters[i % 4]);
      }
      // All but the last token together, then all last ones.
      std::vector<std::vector<float>> together(kRows);
      for (const bool last : {false, true}) {
        std::vector<SequenceInput> batch;
        for (int i = 0; i < kRows; ++i) {
          const auto all = std::span<const int32_t>(tokens[i]);
          batch.push_back(
              {last ? all.last(1) : all.first(all.size() - 1),
               &states[i],
               SequenceInput::Logits::all,
               adapters[i % 4]});
        }
        const auto rows = run(*model, batch);
        const auto width = model->info().vocabulary;
        size_t at = 0;
        for (int i = 0; i < kRows; ++i) {
          const size_t count = batch[i].tokens.size() * width;
          together[i].insert(together[i].end(), &rows[at], &rows[at] + count);
          at += count;
        }
      }
      for (int i = 0; i < kRows; ++i) {
        ASSERT_EQ(together[i].size(), alone[i].size());
        EXPECT_EQ(
            std::memcmp(
                together[i].data(),
                alone[i].data(),
                alone[i].size() * sizeof(float)),
            0)
            << fixture << (exact ? " exact" : "") << " row " << i;
      }
    }
  }
}

class WrongAdapter : public testing::Test {
 protected:
  void SetUp() override {
    mx::set_default_device(mx::Device::cpu);
    model = load_model(fixture_folder("llama_f32"));
    made = make_adapter(*model, {.modules = {"q_proj"}});
  }
  Error error(bool peft = false) {
    write_adapter(folder, "x", config, tensors, peft);
    const auto out = load_adapter("x", (folder.path() / "x").string(), *model);
    EXPECT_FALSE(out) << "it loaded";
    return out ? Error() : out.error();
  }
  std::unique_ptr<Model> model;
  MadeAdapter made;
  test::TempFolder folder;
  Json config = config_of({});
  std::vector<NamedTensor> tensors;
};

TEST_F(WrongAdapter, IsToldWhy) {
  const auto good = tensors_of(made);
  tensors = good;
  tensors[0].shape = {16, 16};
  Error e = error();
  EXPECT_EQ(e.code, ErrorCode::corrupt);
  EXPECT_EQ(e.param, "adapter");
  EXPECT_THAT(e.what, HasSubstr("adapter x: "));

  tensors = good;
  tensors.pop_back();
  EXPECT_THAT(error().what, HasSubstr("lora_b is missing"));

  tensors = good;
  for (NamedTensor& t : tensors) {
    t.name.replace(t.name.find("q_proj"), 6, "router");
  }
  EXPECT_THAT(error().what, HasSubstr("self_attn.router"));

  tensors = good;
  tensors.push_back({"model.embed_tokens.weight", {1, 1}, {0}});
  EXPECT_EQ(error().code, ErrorCode::unsupported);

  tensors = good;
  tensors[0].values[3] = std::nanf("");
  EXPECT_THAT(error().what, HasSubstr("no numbers"));

  tensors = good;
  config["lora_parameters"]["rank"] = 7;
  EXPECT_THAT(error().what, HasSubstr("of rank 4, adapter_config.json says 7"));

  config = config_of({});
  config["lora_parameters"].erase("scale");
  EXPECT_THAT(error().what, HasSubstr("scale"));

  config = config_of({});
  config["fine_tune_type"] = "dora";
  EXPECT_EQ(error().code, ErrorCode::unsupported);

  config["fine_tune_type"] = 3;
  EXPECT_EQ(error().code, ErrorCode::corrupt);
}

TEST_F(WrongAdapter, OfPeftIsToldWhy) {
  made.recipe.peft = true;
  tensors = tensors_of(made);
  std::filesystem::remove_all(folder.path() / "x");
  config = config_of(made.recipe);
  config["r"] = 8;
  EXPECT_THAT(error(true).what, HasSubstr("of rank 4"));
  config = config_of(made.recipe);
  config["use_dora"] = true;
  EXPECT_THAT(error(true).what, HasSubstr("use_dora"));
  config = config_of(made.recipe);
  config["modules_to_save"] = Json::array({"lm_head"});
  EXPECT_EQ(error(true).code, ErrorCode::unsupported);
}

TEST_F(WrongAdapter, MustBeThere) {
  const auto out = load_adapter("x", "/no/such/folder", *model);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rapid
