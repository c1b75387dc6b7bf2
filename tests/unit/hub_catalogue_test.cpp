#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/catalogue.h"

namespace rapid {
namespace {

using testing::ElementsAre;

TEST(Source, ReadsHubForms) {
  auto plain = parse_source("hf:org/name");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->hub->repository, "org/name");
  EXPECT_EQ(plain->hub->revision, "main");
  EXPECT_EQ(plain->hub->file, "");
  auto whole = parse_source("hf:org/na.me-1@v2/sub/file.gguf");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->hub->repository, "org/na.me-1");
  EXPECT_EQ(whole->hub->revision, "v2");
  EXPECT_EQ(whole->hub->folder, "sub");
  EXPECT_EQ(whole->hub->file, "file.gguf");
  auto top = parse_source("hf:org/name/model.safetensors");
  ASSERT_TRUE(top);
  EXPECT_EQ(top->hub->folder, "");
  EXPECT_EQ(top->hub->file, "model.safetensors");
  auto folder = parse_source("hf:org/name@v2/mlx/4bit");
  ASSERT_TRUE(folder);
  EXPECT_EQ(folder->hub->revision, "v2");
  EXPECT_EQ(folder->hub->folder, "mlx/4bit");
  EXPECT_EQ(folder->hub->file, "");
}

TEST(Source, ReadsWheels) {
  auto source = parse_source("wheel:a==1.0,b-c==2#*/data/*.bin");
  ASSERT_TRUE(source);
  EXPECT_THAT(source->wheel->requirements, ElementsAre("a==1.0", "b-c==2"));
  EXPECT_EQ(source->wheel->glob, "*/data/*.bin");
}

TEST(Source, RefusesWhatCouldReachElsewhere) {
  for (const char* text : {
           "",
           "http://x/y",
           "hf:name",
           "hf:org/",
           "hf:/name",
           "hf:../name",
           "hf:org/name@",
           "hf:org/name/../../x",
           "hf:org/name//x",
           "hf:org/name/4bit/../../x",
           "hf:org/name/.git",
           "hf:org/na me",
           "wheel:a==1",
           "wheel:a==1#",
           "wheel:a#*",
           "wheel:--index-url==x#*",
           "wheel:a==1,#*",
           "wheel:a==1 b#*",
       }) {
    auto source = parse_source(text);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, ErrorCode::invalid_argument);
  }
}

TEST(Catalogue, EveryEntryCanBeFetched) {
  ASSERT_GE(catalogue().size(), 100u);
  for (const CatalogueEntry& entry : catalogue()) {
    EXPECT_FALSE(entry.alias.empty());
    EXPECT_GT(entry.bytes, 0u) << entry.alias;
    EXPECT_GT(entry.context, 0) << entry.alias;
    EXPECT_FALSE(entry.architecture.empty()) << entry.alias;
    EXPECT_FALSE(entry.sources.empty()) << entry.alias;
    if (entry.file.empty()) {
      EXPECT_TRUE(entry.sources.front().hub) << entry.alias;
    } else {
      EXPECT_TRUE(entry.file.ends_with(".gguf")) << entry.alias;
      EXPECT_EQ(entry.sha256.size(), 64u) << entry.alias;
    }
    EXPECT_EQ(find_in_catalogue(entry.alias), &entry) << "a twin alias";
    for (const std::string& name : entry.aliases) {
      EXPECT_EQ(find_in_catalogue(name), &entry) << "a twin alias " << name;
    }
  }
  EXPECT_EQ(find_in_catalogue("nothing"), nullptr);
}

TEST(Catalogue, EveryConfigurationIsThere) {
  for (const CatalogueEntry& entry : catalogue()) {
    if (!entry.config.empty()) {
      EXPECT_NE(model_config(entry.config), nullptr) << entry.alias;
    }
    // What recipe proposes it must be able to plan.
    EXPECT_TRUE(entry.preference == 0 || !entry.config.empty()) << entry.alias;
  }
  EXPECT_EQ(model_config("nothing"), nullptr);
  EXPECT_GE(model_config_names().size(), 20u);
}

// The names that people read about.
TEST(Catalogue, KnowsTheUsualNames) {
  for (const char* name : {
           "gemma-4-26b",
           "Qwen3.5-4B",
           "Qwen3.5-9B",
           "Qwen3.5-27B",
           "Qwen3.5-35B-A3B",
           "qwen3.5-122b",
           "nemotron-nano-30b",
           "deepseek-v4-flash",
           "phi-4",
           "qwen3-coder-80b",
           "gpt-oss-20b",
           "gpt-oss",
           "minimax",
       }) {
    EXPECT_NE(find_in_catalogue(name), nullptr) << name;
  }
}

TEST(Catalogue, OffersSimilarNames) {
  EXPECT_THAT(similar_names("qwen3.5-9", 1), ElementsAre("qwen3.5-9b-4bit"));
  EXPECT_THAT(similar_names("gema-4-26b", 3), testing::Contains("gemma-4-26b"));
  EXPECT_EQ(similar_names("q", 3).size(), 3u);
  EXPECT_THAT(similar_names("zzzzzzzzzzzz", 3), ElementsAre());
  EXPECT_THAT(similar_names("", 3), ElementsAre());
}

}  // namespace
}  // namespace rapid
