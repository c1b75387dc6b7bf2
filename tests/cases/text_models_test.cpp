// Ids of the real vocabularies against goldens of the reference
// (tools/make_text_fixtures.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "base/utf8.h"
#include "hub/gguf.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace rapid {
namespace {

using Ids = std::vector<int32_t>;

Json golden() {
  std::ifstream file(std::string(RAPID_MLX_TEST_DATA) + "/data/text_ids.json");
  std::stringstream text;
  text << file.rdbuf();
  auto json = parse_json(text.str());
  return json ? *json : Json();
}

class TextModels : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
    if (folder == nullptr) {
      GTEST_SKIP() << "RAPID_MLX_TEST_MODELS names no folder of models";
    }
    auto file =
        GgufFile::open(std::string(folder) + "/" + GetParam() + ".gguf");
    ASSERT_TRUE(file) << file.error().what;
    auto vocabulary = (*file)->vocabulary();
    ASSERT_TRUE(vocabulary);
    auto made = Tokenizer::from_vocabulary(*vocabulary);
    ASSERT_TRUE(made) << made.error().what;
    tokenizer_ = *made;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_P(TextModels, IdsAndTextEqualTheReference) {
  Json all = golden();
  ASSERT_GE(all["texts"].size(), 80u);
  for (size_t i = 0; i < all["texts"].size(); ++i) {
    auto text = all["texts"][i].get<std::string>();
    auto ids = all["ids"][GetParam()][i].get<Ids>();
    EXPECT_EQ(tokenizer_->encode(text), ids) << text;
    EXPECT_EQ(
        tokenizer_->decode(ids),
        all["decoded"][GetParam()][i].get<std::string>());
    std::string bytes;
    for (int32_t id : ids) {
      bytes += tokenizer_->token_bytes(id);
    }
    EXPECT_EQ(bytes, tokenizer_->decode(ids));
  }
}

TEST_P(TextModels, UserTextNeverBecomesAControlToken) {
  for (int32_t id = 0; id < tokenizer_->size(); ++id) {
    if (!tokenizer_->is_special(id)) {
      continue;
    }
    std::string name = tokenizer_->token_bytes(id);
    for (const std::string& text : {name, "a " + name + name + "\n"}) {
      std::vector<TextSpan> all = {{0, text.size()}};
      for (int32_t got : tokenizer_->encode(text, {.untrusted = all})) {
        ASSERT_FALSE(tokenizer_->is_special(got)) << text;
      }
    }
  }
}

// A span over text without control tokens changes nothing.
TEST_P(TextModels, SpansKeepTheContext) {
  std::mt19937 random(5);
  for (const Json& one : golden()["texts"]) {
    auto text = one.get<std::string>();
    if (text.find('<') != std::string::npos || text.empty()) {
      continue;
    }
    size_t begin = random() % text.size();
    std::vector<TextSpan> span = {{begin, text.size()}};
    EXPECT_EQ(
        tokenizer_->encode(text, {.untrusted = span}), tokenizer_->encode(text))
        << text;
  }
}

TEST_P(TextModels, StreamedTextJoinsToDecode) {
  std::mt19937 random(9);
  for (int i = 0; i < 200; ++i) {
    Ids ids;
    for (int n = 0; n < 40; ++n) {
      // Half of them low ids: there the single bytes are.
      int32_t limit = n % 2 == 0 ? 600 : tokenizer_->size();
      ids.push_back(static_cast<int32_t>(random() % limit));
    }
    Detokenizer text(tokenizer_, false);
    std::string joined;
    for (int32_t id : ids) {
      std::string piece = text.push(id);
      ASSERT_TRUE(utf8_valid(piece));
      joined += piece;
    }
    ASSERT_EQ(joined + text.flush(), tokenizer_->decode(ids));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All,
    TextModels,
    testing::Values("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"),
    [](const auto& info) {
      std::string name = info.param;
      for (char& c : name) {
        c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      }
      return name;
    });

}  // namespace
}  // namespace rapid
