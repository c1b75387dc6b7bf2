// /tokenize and /detokenize over a codec whose tokens are bytes.
#include <gtest/gtest.h>

#include "api_fakes.h"

namespace rapid {
namespace {

class ByteCodec : public TextCodec {
 public:
  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions&) const override {
    return {text.begin(), text.end()};
  }
  std::string decode(std::span<const int32_t> ids) const override {
    return {ids.begin(), ids.end()};
  }
  std::string token_bytes(int32_t id) const override {
    return std::string(1, static_cast<char>(id));
  }
  int32_t size() const override { return 256; }
  std::unique_ptr<TextStream> stream(
      std::span<const std::string>) const override {
    return nullptr;
  }
  std::string_view template_source() const override { return ""; }
  Result<RenderedPrompt> render(const TemplateInput&) const override {
    return RenderedPrompt{};
  }
};

TEST(Tokenize, ThereAndBack) {
  Api api;
  api.backend->codec_ = std::make_shared<ByteCodec>();
  const auto ids = [&](const char* body) {
    return dump_json(api.json(api.call("POST", "/tokenize", body)));
  };
  // With special tokens and of a chat it is what a request would get.
  EXPECT_EQ(
      ids(R"({"prompt":"hi"})"),
      R"({"count":2,"max_model_len":2048,"tokens":[1,2]})");
  EXPECT_EQ(api.backend->tokenised.prompts.size(), 1u);
  ids(R"({"messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(api.backend->tokenised.messages.size(), 1u);
  EXPECT_EQ(
      ids(R"({"content":"hi","add_special":false,"return_token_strs":true})"),
      R"({"count":2,"max_model_len":2048,"tokens":[104,105],)"
      R"("token_strs":["h","i"]})");
  EXPECT_EQ(
      api.call("POST", "/detokenize", R"({"tokens":[104,105]})")->body,
      R"({"prompt":"hi","content":"hi"})");
  for (const char* body :
       {R"({})",
        R"({"tokens":5})",
        R"({"tokens":[-1]})",
        R"({"tokens":["a"]})",
        R"({"tokens":[99999]})"}) {
    EXPECT_EQ(api.call("POST", "/detokenize", body)->status, 400) << body;
  }
  EXPECT_EQ(api.call("POST", "/tokenize", "{}")->status, 400);
  api.backend->codec_ = nullptr;
  EXPECT_EQ(api.call("POST", "/detokenize", R"({"tokens":[1]})")->status, 429);
}

}  // namespace
}  // namespace rapid
