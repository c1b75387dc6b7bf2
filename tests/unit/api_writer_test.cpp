// The exact JSON of replies, and that a stream adds up to the whole.
#include <gtest/gtest.h>

#include <cmath>

#include "api_fakes.h"

namespace rapid {
namespace {

using chat::Delta;
using chat::Finished;

chat::TokenLogprob scored(
    int32_t id, std::string bytes, std::optional<float> logprob) {
  chat::TokenLogprob out{
      .id = id, .text = bytes, .bytes = bytes, .logprob = logprob, .top = {}};
  if (logprob) {
    out.top = {{id, out.text, *logprob}, {9, "bytes:\\xC3\\x28", -4.0f}};
  }
  return out;
}

// Reasoning, text, a call and something rejected, with logprobs.
void rich_script(const chat::Request& request, const ChatSink& sink) {
  sink(chat::Started{.prompt_tokens = 4});
  sink(chat::Progress{.done = 2, .total = 4});
  for (int choice = 0; choice < request.choices; ++choice) {
    sink(Delta{choice, Delta::Kind::reasoning, "hm", {scored(1, "hm", -0.5f)}});
    sink(Delta{choice, Delta::Kind::content, "A", {scored(2, "A", -0.25f)}});
    sink(Delta{choice, Delta::Kind::content, "é", {}});
    sink(chat::ToolCallEvent{choice, 0, {"call_1", "f", "{\"a\":1}"}});
    sink(chat::Rejected{choice, "<tool_call>{", "cut"});
    sink(Finished{choice, Finished::Reason::tool_calls});
  }
  sink(chat::Done{
      {.prompt_tokens = 4,
       .completion_tokens = 6,
       .cached_tokens = 2,
       .reasoning_tokens = 1,
       .drafted_tokens = 5,
       .accepted_tokens = 3,
       .prefill_seconds = 0.5,
       .decode_seconds = 0.25}});
}

std::string ask(const char* more) {
  return std::string(R"({"messages":[{"role":"user","content":"x"}])") + more +
         "}";
}

Json chunk(const std::string& text) {
  return *parse_json(text);
}

TEST(ChatWriter, WholeReply) {
  Api api;
  api.backend->script = rich_script;
  Json reply = api.json(api.call("POST", "/v1/chat/completions", ask("")));
  EXPECT_GT(reply["created"], 1700000000);
  reply["created"] = 0;
  reply["choices"][0].erase("logprobs");
  EXPECT_EQ(
      dump_json(reply),
      R"({"id":"chatcmpl-r1","object":"chat.completion","created":0,)"
      R"("model":"tiny","system_fingerprint":"rapid-mlx-dev","choices":[)"
      R"({"index":0,"message":{"role":"assistant","content":"Aé<tool_call>{",)"
      R"("refusal":null,"reasoning_content":"hm","tool_calls":[{"id":"call_1",)"
      R"("type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
      R"("finish_reason":"tool_calls"}],"usage":{"prompt_tokens":4,)"
      R"("completion_tokens":6,"total_tokens":10,"prompt_tokens_details":)"
      R"({"cached_tokens":2},"completion_tokens_details":)"
      R"({"reasoning_tokens":1,"accepted_prediction_tokens":3,)"
      R"("rejected_prediction_tokens":2}},"rapid_mlx":{"rejected":[)"
      R"({"raw":"<tool_call>{","reason":"cut"}],"timings":)"
      R"({"prefill_seconds":0.5,"decode_seconds":0.25}}})");
}

TEST(ChatWriter, FunctionCallsAsTheyWereBeforeTools) {
  Api api;
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(chat::ToolCallEvent{0, 0, {"call_1", "f", "{}"}});
    sink(Finished{0, Finished::Reason::tool_calls});
    sink(chat::Done{});
  };
  const std::string body = ask(R"(,"functions":[{"name":"f"}])");
  Json choice =
      api.json(api.call("POST", "/v1/chat/completions", body))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "function_call");
  EXPECT_EQ(
      dump_json(choice["message"]["function_call"]),
      R"({"name":"f","arguments":"{}"})");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  const auto stream = api.call(
      "POST",
      "/v1/chat/completions",
      ask(R"(,"functions":[{"name":"f"}],"stream":true)"));
  choice = chunk(stream->events.at(1))["choices"][0];
  EXPECT_EQ(choice["delta"]["function_call"]["name"], "f");
}

TEST(ChatWriter, LoopsAreNamed) {
  Api api;
  Finished end;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(Delta{0, Delta::Kind::content, "A", {}});
    sink(end);
    sink(chat::Done{});
  };
  const auto loop = [&](const char* more) {
    const auto stream = api.call("POST", "/v1/chat/completions", ask(more));
    const Json last = stream->events.empty()
                          ? api.json(stream)
                          : chunk(stream->events[stream->events.size() - 2]);
    return dump_json(last.value("rapid_mlx", Json()).value("loop", Json()));
  };
  end.call_loop = chat::CallLoop{"grep", "{}", 4};
  EXPECT_EQ(loop(""), R"({"kind":"call","name":"grep","times":4})");
  end.token_loop = chat::TokenLoop{.period = 3, .repeats = 50, .start = 7};
  for (const char* more : {"", R"(,"stream":true)"}) {
    EXPECT_EQ(
        loop(more),
        R"({"kind":"tokens","choice":0,"period":3,"repeats":50,"start":7})");
  }
}

TEST(ChatWriter, StreamedChunks) {
  Api api;
  api.backend->script = rich_script;
  const auto stream =
      api.call("POST", "/v1/chat/completions", ask(R"(,"stream":true)"));
  EXPECT_EQ(
      stream->notes,
      (std::vector<std::string>{"waiting", "2 of 4 prompt tokens"}));
  EXPECT_TRUE(stream->started);
  EXPECT_TRUE(stream->ended);
  ASSERT_EQ(stream->events.size(), 8u);
  EXPECT_EQ(stream->events.back(), "[DONE]");
  Json first = chunk(stream->events[0]);
  first["created"] = 0;
  EXPECT_EQ(
      dump_json(first),
      R"({"id":"chatcmpl-r1","object":"chat.completion.chunk","created":0,)"
      R"("model":"tiny","system_fingerprint":"rapid-mlx-dev","choices":[)"
      R"({"index":0,"delta":{"role":"assistant","content":""},)"
      R"("logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(
      dump_json(chunk(stream->events[4])["choices"][0]["delta"]),
      R"({"tool_calls":[{"index":0,"id":"call_1","type":"function",)"
      R"("function":{"name":"f","arguments":"{\"a\":1}"}}]})");
  const Json last = chunk(stream->events[6]);
  EXPECT_EQ(
      dump_json(last["choices"][0]),
      R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"})");
  EXPECT_EQ(last["rapid_mlx"]["rejected"][0]["reason"], "cut");
  for (const auto& event : stream->events) {
    EXPECT_EQ(event.find("usage"), std::string::npos);
  }
}

TEST(ChatWriter, StreamAddsUpToTheWhole) {
  Api api;
  api.backend->script = rich_script;
  const char* more = R"(,"n":2,"logprobs":true,"top_logprobs":2)";
  const Json whole =
      api.json(api.call("POST", "/v1/chat/completions", ask(more)));
  const auto stream = api.call(
      "POST",
      "/v1/chat/completions",
      ask((std::string(more) + R"(,"stream":true)").c_str()));
  std::vector<Json> content(2, "");
  std::vector<Json> logprobs(2, Json::array());
  for (const auto& event : stream->events) {
    if (event == "[DONE]") {
      continue;
    }
    const Json parsed = chunk(event);
    for (const Json& choice : parsed["choices"]) {
      const int index = choice["index"];
      if (choice["delta"].contains("content")) {
        content[index] = content[index].get<std::string>() +
                         choice["delta"]["content"].get<std::string>();
      }
      if (!choice["logprobs"].is_null()) {
        for (const Json& entry : choice["logprobs"]["content"]) {
          logprobs[index].push_back(entry);
        }
      }
    }
  }
  for (int i = 0; i < 2; ++i) {
    const Json& choice = whole["choices"][i];
    EXPECT_EQ(choice["index"], i);
    EXPECT_EQ(choice["message"]["content"], content[i]);
    EXPECT_EQ(choice["logprobs"]["content"], logprobs[i]);
    EXPECT_EQ(choice["logprobs"]["content"].size(), 2u);
  }
}

TEST(ChatWriter, UsageOnlyWhenAskedInALastChunk) {
  Api api;
  api.backend->script = rich_script;
  const auto stream = api.call(
      "POST",
      "/v1/chat/completions",
      ask(R"(,"stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_EQ(stream->events.size(), 9u);
  const Json last = chunk(stream->events[7]);
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(last["usage"]["total_tokens"], 10);
  EXPECT_EQ(last["rapid_mlx"]["rejected"].size(), 1u);
  const Json before = chunk(stream->events[6]);
  EXPECT_TRUE(before["usage"].is_null());
  EXPECT_FALSE(before.contains("rapid_mlx"));
}

TEST(ChatWriter, LogprobEntry) {
  Api api;
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(Delta{0, Delta::Kind::content, "é", {scored(2, "é", -0.25f)}});
    sink(Delta{0, Delta::Kind::content, "", {scored(3, "", -INFINITY)}});
    sink(Finished{0, Finished::Reason::stop});
    sink(chat::Done{});
  };
  const Json reply = api.json(
      api.call("POST", "/v1/chat/completions", ask(R"(,"logprobs":true)")));
  const Json& content = reply["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(
      dump_json(content[0]),
      R"({"token":"é","logprob":-0.25,"bytes":[195,169],"top_logprobs":[)"
      R"({"token":"é","logprob":-0.25,"bytes":[195,169]},)"
      R"({"token":"bytes:\\xC3\\x28","logprob":-4.0,"bytes":[195,40]}]})");
  EXPECT_EQ(content[1]["logprob"], -9999.0);
}

TEST(ChatWriter, ToolCallAloneHasNullContent) {
  Api api;
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(chat::ToolCallEvent{0, 0, {"call_1", "f", "{}"}});
    sink(Finished{0, Finished::Reason::tool_calls});
    sink(chat::Done{});
  };
  const Json reply =
      api.json(api.call("POST", "/v1/chat/completions", ask("")));
  EXPECT_TRUE(reply["choices"][0]["message"]["content"].is_null());
  const auto stream =
      api.call("POST", "/v1/chat/completions", ask(R"(,"stream":true)"));
  EXPECT_EQ(
      dump_json(chunk(stream->events[0])["choices"][0]["delta"]),
      R"({"role":"assistant","content":null})");
}

TEST(Writer, FailureBeforeAndAfterTheFirstEvent) {
  Api api;
  bool late = false;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    if (late) {
      sink(Delta{0, Delta::Kind::content, "A", {}});
    }
    sink(chat::Failed{{ErrorCode::internal, "it broke"}});
  };
  const std::string body = ask(R"(,"stream":true)");
  const auto early = api.call("POST", "/v1/chat/completions", body);
  EXPECT_EQ(early->status, 500);
  late = true;
  const auto broken = api.call("POST", "/v1/chat/completions", body);
  EXPECT_EQ(broken->status, 0);
  EXPECT_TRUE(broken->ended);
  EXPECT_EQ(
      broken->events.back(),
      R"({"error":{"message":"it broke","type":"server_error",)"
      R"("code":"internal_error","param":null}})");
  EXPECT_EQ(api.call("POST", "/v1/chat/completions", ask(""))->status, 500);
}

void echo_script(const chat::Request&, const ChatSink& sink) {
  sink(chat::Started{.prompt_tokens = 3});
  sink(chat::Prompt{
      0,
      "é b",
      {scored(1, "<s>", std::nullopt),
       scored(2, "é", -1.0f),
       scored(3, " b", -2.0f)}});
  sink(Delta{0, Delta::Kind::content, " c", {scored(4, " c", -0.5f)}});
  sink(Finished{0, Finished::Reason::length});
  sink(chat::Done{{.prompt_tokens = 3, .completion_tokens = 1}});
}

TEST(CompletionWriter, EchoWithLogprobs) {
  Api api;
  api.backend->script = echo_script;
  const std::string ask = R"({"prompt":"é b","echo":true,"logprobs":2)";
  const Json reply = api.json(api.call("POST", "/v1/completions", ask + "}"));
  EXPECT_EQ(reply["object"], "text_completion");
  EXPECT_EQ(reply["id"], "cmpl-r1");
  EXPECT_EQ(
      dump_json(reply["choices"][0]),
      R"({"index":0,"text":"é b c","logprobs":{"tokens":["<s>","é"," b"," c"],)"
      R"("token_logprobs":[null,-1.0,-2.0,-0.5],"top_logprobs":[null,)"
      R"({"é":-1.0,"bytes:\\xC3\\x28":-4.0},)"
      R"({" b":-2.0,"bytes:\\xC3\\x28":-4.0},)"
      R"({" c":-0.5,"bytes:\\xC3\\x28":-4.0}],)"
      R"("text_offset":[0,0,1,3],"token_ids":[1,2,3,4],)"
      R"("top_token_ids":[null,[2,9],[3,9],[4,9]]},"finish_reason":"length"})");

  const auto stream =
      api.call("POST", "/v1/completions", ask + R"(,"stream":true})");
  std::string text;
  Json offsets = Json::array();
  for (const auto& event : stream->events) {
    if (event != "[DONE]") {
      const Json choice = chunk(event)["choices"][0];
      text += choice["text"].get<std::string>();
      if (!choice["logprobs"].is_null()) {
        for (const Json& at : choice["logprobs"]["text_offset"]) {
          offsets.push_back(at);
        }
      }
    }
  }
  EXPECT_EQ(text, "é b c");
  EXPECT_EQ(offsets, Json::array({0, 0, 1, 3}));
}

TEST(CompletionWriter, OneChoicePerPromptTimesN) {
  Api api;
  api.backend->script = [](const chat::Request& request, const ChatSink& sink) {
    sink(chat::Started{});
    const int count =
        request.choices * static_cast<int>(request.prompts.size());
    for (int i = count - 1; i >= 0; --i) {
      sink(Delta{i, Delta::Kind::content, std::to_string(i), {}});
      sink(Finished{i, Finished::Reason::stop});
    }
    sink(chat::Done{});
  };
  const Json reply = api.json(
      api.call("POST", "/v1/completions", R"({"prompt":["a","b"],"n":2})"));
  ASSERT_EQ(reply["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reply["choices"][i]["index"], i);
    EXPECT_EQ(reply["choices"][i]["text"], std::to_string(i));
    EXPECT_TRUE(reply["choices"][i]["logprobs"].is_null());
  }
}

}  // namespace
}  // namespace rapid
