// /v1/embeddings, /api/embed and /v1/rerank over a scripted backend.
#include <gtest/gtest.h>

#include <cmath>

#include "api_fakes.h"
#include "base/base64.h"

namespace rapid {
namespace {

constexpr const char* kPath = "/v1/embeddings";

// A text's vector: how often it has each of four letters. 3 tokens each.
void letter_script(const chat::Request& request, const ChatSink& sink) {
  sink(chat::Started{});
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    chat::Prompt prompt;
    prompt.choice = static_cast<int>(i);
    prompt.tokens = 3;
    prompt.embedding.assign(4, 0.0f);
    if (const auto* text = std::get_if<std::string>(&request.prompts[i])) {
      for (const char c : *text) {
        prompt.embedding.at(static_cast<size_t>(c - 'a')) += 1;
      }
    }
    normalise(prompt.embedding);
    sink(prompt);
    sink(chat::Finished{static_cast<int>(i), chat::Finished::Reason::length});
  }
  sink(chat::Done{});
}

TEST(Embeddings, FloatsAndBytes) {
  Api api;
  api.backend->script = letter_script;
  const Json reply =
      api.json(api.call("POST", kPath, R"({"input":["a","bb","ab"]})"));
  EXPECT_EQ(reply["object"], "list");
  EXPECT_EQ(reply["model"], "tiny");
  ASSERT_EQ(reply["data"].size(), 3u);
  EXPECT_EQ(
      dump_json(reply["data"][1]),
      R"({"object":"embedding","index":1,"embedding":[0.0,1.0,0.0,0.0]})");
  EXPECT_EQ(
      dump_json(reply["usage"]), R"({"prompt_tokens":9,"total_tokens":9})");
  const chat::Request& asked = api.backend->requests.at(0);
  EXPECT_EQ(asked.embedding, Pooling::mean);
  EXPECT_EQ(*asked.max_tokens, 0);
  EXPECT_FALSE(asked.may_cut);
  const Json packed = api.json(api.call(
      "POST",
      kPath,
      R"({"input":"ab","encoding_format":"base64","pooling":"last"})"));
  const auto bytes =
      base64_decode(packed["data"][0]["embedding"].get<std::string>());
  ASSERT_EQ(bytes->size(), 16u);
  float second = 0;
  std::memcpy(&second, bytes->data() + 4, 4);
  EXPECT_FLOAT_EQ(second, std::sqrt(0.5f));
  EXPECT_EQ(api.backend->requests.at(1).embedding, Pooling::last);
}

TEST(Embeddings, LongListsComeInTurns) {
  Api api;
  api.backend->script = letter_script;
  Json input = Json::array();
  for (int i = 0; i < 100; ++i) {
    input.push_back(std::string(1, static_cast<char>('a' + i % 4)));
  }
  const Json reply =
      api.json(api.call("POST", kPath, dump_json({{"input", input}})));
  ASSERT_EQ(reply["data"].size(), 100u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(reply["data"][i]["index"], i);
    EXPECT_EQ(reply["data"][i]["embedding"][i % 4], 1.0);
  }
  EXPECT_GT(api.backend->requests.size(), 3u);
  EXPECT_EQ(reply["usage"]["prompt_tokens"], 300);
}

TEST(Embeddings, DimensionsKeepLengthOne) {
  Api api;
  api.backend->script = letter_script;
  const Json reply =
      api.json(api.call("POST", kPath, R"({"input":"aabbcd","dimensions":2})"));
  const Json& vector = reply["data"][0]["embedding"];
  ASSERT_EQ(vector.size(), 2u);
  EXPECT_NEAR(vector[0].get<double>(), std::sqrt(0.5), 1e-6);
  const auto wide = api.call("POST", kPath, R"({"input":"a","dimensions":5})");
  EXPECT_EQ(wide->status, 400);
}

TEST(Embeddings, OllamaForms) {
  Api api;
  api.backend->script = letter_script;
  const Json many = api.json(api.call(
      "POST", "/api/embed", R"({"model":"tiny:latest","input":["a","b"]})"));
  EXPECT_EQ(many["model"], "tiny:latest");
  EXPECT_EQ(dump_json(many["embeddings"][1]), "[0.0,1.0,0.0,0.0]");
  EXPECT_EQ(many["prompt_eval_count"], 6);
  EXPECT_TRUE(api.backend->requests.at(0).may_cut);
  const Json one =
      api.json(api.call("POST", "/api/embeddings", R"({"prompt":"c"})"));
  EXPECT_EQ(dump_json(one), R"({"embedding":[0.0,0.0,1.0,0.0]})");
  const Json none = api.json(api.call("POST", "/api/embed", R"({"input":[]})"));
  EXPECT_EQ(none["embeddings"], Json::array());
}

TEST(Embeddings, Rerank) {
  Api api;
  api.backend->script = letter_script;
  const Json reply = api.json(api.call("POST", "/v1/rerank", R"({"query":"a",
    "documents":["b", {"text":"aab"}, "a", "b"], "top_n":3,
    "return_documents":true})"));
  ASSERT_EQ(reply["results"].size(), 3u);
  EXPECT_EQ(
      dump_json(reply["results"][0]),
      R"({"index":2,"relevance_score":1.0,"document":{"text":"a"}})");
  EXPECT_EQ(reply["results"][1]["index"], 1);
  EXPECT_EQ(reply["results"][2]["index"], 0);
  EXPECT_EQ(reply["usage"]["total_tokens"], 15);
}

TEST(Embeddings, WrongFieldsAndFailures) {
  Api api;
  struct Wrong {
    const char* path;
    const char* body;
    const char* param;
  };
  for (const Wrong& wrong :
       {Wrong{kPath, "{}", "input"},
        {kPath, R"({"input":[]})", "input"},
        {kPath, R"({"input":["a",1]})", "input[1]"},
        {kPath, R"({"input":"a","pooling":"max"})", "pooling"},
        {kPath, R"({"input":"a","encoding_format":"hex"})", "encoding_format"},
        {kPath, R"({"input":"a","dimensions":0})", "dimensions"},
        {"/v1/rerank", R"({"documents":["a"]})", "query"},
        {"/v1/rerank", R"({"query":"a"})", "documents"},
        {"/v1/rerank", R"({"query":"a","documents":[1]})", "documents[0]"},
        {"/v1/rerank",
         R"({"query":"a","documents":["a"],"top_n":0})",
         "top_n"}}) {
    const auto stream = api.call("POST", wrong.path, wrong.body);
    EXPECT_EQ(stream->status, 400) << wrong.body;
    EXPECT_EQ(api.json(stream)["error"]["param"], wrong.param) << wrong.body;
  }
  EXPECT_TRUE(api.backend->requests.empty());
  api.backend->refusal = Error{ErrorCode::busy, "full"};
  EXPECT_EQ(api.call("POST", kPath, R"({"input":"a"})")->status, 429);
  api.backend->refusal.reset();
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Failed{{ErrorCode::internal, "it broke"}});
  };
  EXPECT_EQ(api.call("POST", kPath, R"({"input":"a"})")->status, 500);
  // A backend that answers otherwise.
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Done{});
  };
  EXPECT_EQ(api.call("POST", kPath, R"({"input":"a"})")->status, 400);
}

TEST(Embeddings, TheClientLeaves) {
  Api api;
  const auto stream = api.call("POST", kPath, R"({"input":"a"})");
  EXPECT_TRUE(api.backend->cancelled.empty());
  // Nobody answered yet: the request is held by its sink alone.
  EXPECT_TRUE(static_cast<bool>(stream->disconnect));
}

}  // namespace
}  // namespace rapid
