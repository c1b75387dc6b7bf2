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
  EXPECT_EQ(whole->hub->file, "sub/file.gguf");
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

TEST(Catalogue, EveryEntryCanBeFetchedAndChecked) {
  ASSERT_GE(catalogue().size(), 3u);
  for (const CatalogueEntry& entry : catalogue()) {
    EXPECT_FALSE(entry.alias.empty());
    EXPECT_TRUE(entry.file.ends_with(".gguf")) << entry.alias;
    EXPECT_GT(entry.bytes, 0u) << entry.alias;
    EXPECT_EQ(entry.sha256.size(), 64u) << entry.alias;
    EXPECT_FALSE(entry.sources.empty()) << entry.alias;
    EXPECT_EQ(find_in_catalogue(entry.alias), &entry) << "a twin alias";
  }
  EXPECT_EQ(find_in_catalogue("nothing"), nullptr);
}

}  // namespace
}  // namespace rapid
