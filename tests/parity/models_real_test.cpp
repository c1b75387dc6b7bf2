// Real models against numbers of transformers in float32 (tests/parity/real,
// written by compare_transformers.py --golden): for 64 positions of real text
// the five most likely tokens and their log probabilities.
//
// RAPID_MLX_TEST_MODELS names the folder with the .gguf files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "models/registry.h"

namespace rapid {
namespace {

class Real : public testing::TestWithParam<const char*> {};

Json read_golden(const std::string& stem) {
  const auto path = std::filesystem::path(RAPID_MLX_TEST_DATA) / "parity/real" /
                    (stem + ".json");
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  auto json = parse_json(text.str());
  EXPECT_TRUE(json) << path;
  return json ? *json : Json();
}

// log softmax of one row at `id`, in double.
double log_probability(std::span<const float> row, int id) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) {
    sum += std::exp(x - top);
  }
  return row[static_cast<size_t>(id)] - top - std::log(sum);
}

TEST_P(Real, LogprobsOfTransformers) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  if (!folder) {
    GTEST_SKIP() << "RAPID_MLX_TEST_MODELS is not set";
  }
  mx::set_default_device(mx::Device::cpu);
  const Json golden = read_golden(GetParam());
  const auto path =
      std::filesystem::path(folder) / golden.at("model").get<std::string>();
  auto files = ModelFiles::open(path.string());
  ASSERT_TRUE(files) << files.error().what;
  auto model = ModelRegistry::global().load(*files, {.exact = true});
  ASSERT_TRUE(model) << model.error().what;

  const auto ids = golden.at("tokens").get<std::vector<int32_t>>();
  ASSERT_EQ(ids.size(), 64u);
  SequenceState states = (*model)->make_states({});
  const SequenceInput input{ids, &states, SequenceInput::Logits::all};
  const mx::array logits = mx::contiguous((*model)->forward({&input, 1}));
  mx::eval(logits);
  const auto width = static_cast<size_t>(logits.shape(1));
  for (size_t row = 0; row < ids.size(); ++row) {
    const std::span<const float> got(logits.data<float>() + row * width, width);
    const Json& top = golden.at("top").at(row);
    EXPECT_EQ(
        std::max_element(got.begin(), got.end()) - got.begin(),
        top.at(0).at(0).get<int>())
        << "row " << row;
    for (const Json& pair : top) {
      EXPECT_NEAR(
          log_probability(got, pair.at(0).get<int>()),
          pair.at(1).get<double>(),
          2e-3)
          << "row " << row << " token " << pair.at(0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    Real,
    testing::Values("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"),
    [](const auto& info) {
      std::string name = info.param;
      std::ranges::replace_if(
          name, [](char c) { return !std::isalnum(c); }, '_');
      return name;
    });

}  // namespace
}  // namespace rapid
