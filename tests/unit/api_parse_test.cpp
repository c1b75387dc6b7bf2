// Every wrong request is a 4xx that names its field; right ones arrive whole.
#include <gtest/gtest.h>

#include "api/lane.h"
#include "api_fakes.h"

namespace rapid {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kText = "/v1/completions";

// A valid body with one member changed.
std::string with(Json base, const std::string& changes) {
  base.update(*parse_json(changes));
  return dump_json(base);
}

Json chat_base() {
  return *parse_json(R"({"messages":[{"role":"user","content":"x"}]})");
}

struct Wrong {
  const char* path;
  const char* change;
  const char* param;
  int status = 400;
  const char* code = "invalid_value";
};

const Wrong kWrong[] = {
    {kChat, R"({"temperature":"hot"})", "temperature"},
    {kChat, R"({"temperature":2.1})", "temperature"},
    {kChat, R"({"temperature":-0.1})", "temperature"},
    {kChat, R"({"top_p":0})", "top_p"},
    {kChat, R"({"top_p":1.5})", "top_p"},
    {kChat, R"({"top_k":-2})", "top_k"},
    {kChat, R"({"top_k":1.5})", "top_k"},
    {kChat, R"({"min_p":2})", "min_p"},
    {kChat, R"({"repetition_penalty":0})", "repetition_penalty"},
    {kChat, R"({"presence_penalty":3})", "presence_penalty"},
    {kChat, R"({"frequency_penalty":-3})", "frequency_penalty"},
    {kChat, R"({"max_tokens":-1})", "max_tokens"},
    {kChat, R"({"max_completion_tokens":"9"})", "max_completion_tokens"},
    {kChat, R"({"n":0})", "n"},
    {kChat, R"({"n":1000})", "n"},
    {kChat, R"({"seed":"a"})", "seed"},
    {kChat, R"({"stop":5})", "stop"},
    {kChat, R"({"stop":["a",1]})", "stop[1]"},
    {kChat, R"({"logit_bias":[1]})", "logit_bias"},
    {kChat, R"({"logit_bias":{"x":1}})", "logit_bias"},
    {kChat, R"({"logit_bias":{"5":101}})", "logit_bias.5"},
    {kChat, R"({"logprobs":3})", "logprobs"},
    {kChat, R"({"logprobs":true,"top_logprobs":21})", "top_logprobs"},
    {kChat, R"({"top_logprobs":2})", "top_logprobs"},
    {kChat, R"({"stream":"yes"})", "stream"},
    {kChat,
     R"({"stream_options":{"include_usage":1}})",
     "stream_options.include_usage"},
    {kChat, R"({"ignore_eos":1})", "ignore_eos"},
    {kChat, R"({"prediction":"x"})", "prediction"},
    {kChat,
     R"({"prediction":{"type":"other","content":"x"}})",
     "prediction.type"},
    {kChat, R"({"prediction":{"type":"content"}})", "prediction.content"},
    {kChat,
     R"({"prediction":{"content":[{"type":"text"}]}})",
     "prediction.content"},
    {kChat, R"({"chat_template_kwargs":3})", "chat_template_kwargs"},
    {kChat, R"({"enable_thinking":"on"})", "enable_thinking"},
    {kChat, R"({"messages":3})", "messages"},
    {kChat, R"({"messages":[]})", "messages"},
    {kChat, R"({"messages":null})", "messages"},
    {kChat, R"({"messages":["x"]})", "messages[0]"},
    {kChat, R"({"messages":[{"role":"user"}]})", "messages[0].content"},
    {kChat, R"({"messages":[{"content":"x"}]})", "messages[0].role"},
    {kChat,
     R"({"messages":[{"role":"king","content":"x"}]})",
     "messages[0].role"},
    {kChat,
     R"({"messages":[{"role":"user","content":[7]}]})",
     "messages[0].content[0]"},
    {kChat,
     R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
     "messages[0].content[0]",
     400,
     "unsupported"},
    {kChat,
     R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}]})",
     "messages[0].tool_calls[0].function"},
    {kChat, R"({"tools":{}})", "tools"},
    {kChat,
     R"({"tools":[{"type":"function","function":{}}]})",
     "tools[0].function.name"},
    {kChat,
     R"({"tools":[{"type":"web_search"}]})",
     "tools[0] of type "
     "\"web_search\"",
     400,
     "unsupported"},
    {kChat, R"({"tool_choice":"maybe"})", "tool_choice"},
    {kChat, R"({"tool_choice":"required"})", "tool_choice"},
    {kChat,
     R"({"tool_choice":{"type":"function","function":{"name":"f"}}})",
     "tool_choice"},
    {kChat, R"({"response_format":{"type":"yaml"}})", "response_format.type"},
    {kChat, R"({"response_format":{"type":5}})", "response_format.type"},
    {kChat, R"({"functions":{}})", "functions"},
    {kChat, R"({"functions":[5]})", "functions[0]"},
    {kChat, R"({"functions":[{}]})", "functions[0].name"},
    {kChat,
     R"({"functions":[{"name":"f"}],"function_call":{"name":"g"}})",
     "function_call"},
    {kChat,
     R"({"functions":[{"name":"f"}],"function_call":5})",
     "function_call"},
    {kChat, R"({"user":5})", "user"},
    {kChat, R"({"store":"no"})", "store"},
    {kChat, R"({"metadata":[]})", "metadata"},
    {kChat, R"({"service_tier":1})", "service_tier"},
    {kChat, R"({"modalities":5})", "modalities"},
    {kChat, R"({"modalities":["audio"]})", "modalities", 400, "unsupported"},
    {kText, R"({"user":5})", "user"},
    {kChat, R"({"model":"other"})", "model", 404, "model_not_found"},
    {kChat, R"({"model":5})", "model"},
    {kText, R"({"prompt":null})", "prompt"},
    {kText, R"({"prompt":[]})", "prompt"},
    {kText, R"({"prompt":{}})", "prompt"},
    {kText, R"({"prompt":["a",[1]]})", "prompt[1]"},
    {kText, R"({"prompt":[1,"a"]})", "prompt[1]"},
    {kText, R"({"prompt":[1,-2]})", "prompt[1]"},
    {kText, R"({"prompt":[[1],[]]})", "prompt[1]"},
    {kText, R"({"prompt":[4294967296]})", "prompt[0]"},
    {kText, R"({"logprobs":21})", "logprobs"},
    {kText, R"({"logprobs":true})", "logprobs"},
    {kText, R"({"echo":1})", "echo"},
    {kText, R"({"best_of":4})", "best_of", 400, "unsupported"},
    {kText, R"({"suffix":"x"})", "suffix", 400, "unsupported"},
};

TEST(Parse, WrongFieldsAreNamed) {
  Api api;
  for (const Wrong& wrong : kWrong) {
    const Json base = wrong.path == kChat ? chat_base() : Json{{"prompt", "x"}};
    const auto stream = api.call("POST", wrong.path, with(base, wrong.change));
    EXPECT_EQ(stream->status, wrong.status) << wrong.change;
    const Json error = api.json(stream)["error"];
    EXPECT_EQ(error.value("param", ""), wrong.param) << wrong.change;
    EXPECT_EQ(error.value("code", ""), wrong.code) << wrong.change;
    EXPECT_NE(error.value("message", ""), "") << wrong.change;
  }
  EXPECT_TRUE(api.backend->requests.empty());
}

TEST(Parse, BrokenBodies) {
  Api api;
  for (const std::string& body :
       {std::string(""),
        std::string("  \n"),
        std::string("{"),
        std::string("[1]"),
        std::string("\"x\""),
        std::string("\xff\xfe"),
        std::string("{\"a\":\"\xff\"}"),
        std::string(100000, '['),
        std::string("{} x")}) {
    const auto stream = api.call("POST", kChat, body);
    EXPECT_EQ(stream->status, 400) << body.substr(0, 20);
    const Json error = api.json(stream)["error"];
    EXPECT_EQ(error["code"], "invalid_json");
    EXPECT_TRUE(error["param"].is_null());
  }
}

TEST(Parse, ErrorHasOpenAiShape) {
  Api api;
  const auto stream = api.call("POST", kText, R"({"prompt":"a","n":0})");
  EXPECT_EQ(
      stream->body,
      R"({"error":{"message":"n: expected a whole number from 1 to 128, got 0")"
      R"(,"type":"invalid_request_error","code":"invalid_value","param":"n"}})");
}

TEST(Parse, ChatArrivesWhole) {
  Api api;
  api.call("POST", kChat, R"({
    "model": "org/tiny", "temperature": 0.5, "top_p": 0.9, "top_k": 40,
    "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 1,
    "frequency_penalty": -1, "seed": -1, "n": 2, "max_tokens": 5,
    "stop": ["a", "", "b"], "logit_bias": {"5": -100, "7": 2},
    "logprobs": true, "top_logprobs": 3, "ignore_eos": true,
    "reasoning_effort": "none", "chat_template_kwargs": {"depth": 2},
    "unknown": {"x": 1}, "tools": [{"type": "function", "function":
      {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": false, "prediction": {"type": "content",
      "content": [{"type": "text", "text": "it "}, {"text": "is"}]},
    "messages": [
      {"role": "system", "content": "s"},
      {"role": "user", "name": "bob", "content":
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "reasoning_content": "hm",
       "tool_calls": [{"id": "c1", "type": "function",
         "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "42"}]})");
  ASSERT_EQ(api.backend->requests.size(), 1u);
  const chat::Request& r = api.backend->requests[0];
  EXPECT_FLOAT_EQ(*r.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(*r.sampling.top_p, 0.9f);
  EXPECT_EQ(*r.sampling.top_k, 40);
  EXPECT_EQ(*r.sampling.seed, UINT64_MAX);
  EXPECT_EQ(r.choices, 2);
  EXPECT_EQ(*r.max_tokens, 5);
  EXPECT_EQ(r.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_FLOAT_EQ(r.sampling.logit_bias.at(5), -100);
  EXPECT_EQ(*r.logprobs, 3);
  EXPECT_TRUE(r.ignore_end);
  EXPECT_EQ(r.prediction, "it is");
  EXPECT_EQ(
      dump_json(r.template_kwargs),
      R"({"reasoning_effort":"none","enable_thinking":false,"depth":2})");
  ASSERT_EQ(r.tools.size(), 1u);
  EXPECT_EQ(r.tools[0].declaration["function"]["name"], "f");
  EXPECT_EQ(r.tool_choice.kind, chat::ToolChoice::Kind::named);
  ASSERT_EQ(r.messages.size(), 4u);
  EXPECT_EQ(r.messages[1].content, "a\nb");
  EXPECT_EQ(r.messages[1].name, "bob");
  EXPECT_EQ(r.messages[2].reasoning, "hm");
  EXPECT_EQ(r.messages[2].tool_calls[0].arguments, "{\"a\": 1}");
  EXPECT_EQ(r.messages[3].tool_call_id, "c1");
}

// What a client keeps of a call that went wrong never refuses later turns.
TEST(Parse, BrokenCallsInHistoryAreTaken) {
  Api api;
  api.call("POST", kChat, R"({"messages": [
    {"role": "user", "content": "q"},
    {"role": "assistant", "tool_calls": [
      {"id": null, "function": {"name": "a", "arguments": "{\"cut"}},
      {"id": 7, "function": {"name": "b", "arguments": [1, 2]}},
      {"id": "x", "function": {"arguments": null}},
      {"name": "c", "arguments": {"k": 1}}]},
    {"role": "tool", "content": null},
    {"role": "tool", "tool_call_id": 7, "content": {"ok": true}}]})");
  ASSERT_EQ(api.backend->requests.size(), 1u);
  const auto& messages = api.backend->requests[0].messages;
  const auto& calls = messages[1].tool_calls;
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0].id, "");
  EXPECT_EQ(calls[0].arguments, "{\"cut");
  EXPECT_EQ(calls[1].id, "7");
  EXPECT_EQ(calls[1].arguments, "[1,2]");
  EXPECT_EQ(calls[2].name, "");
  EXPECT_EQ(calls[2].arguments, "");
  EXPECT_EQ(calls[3].name, "c");
  EXPECT_EQ(calls[3].arguments, "{\"k\":1}");
  EXPECT_EQ(messages[2].content, "");
  EXPECT_EQ(messages[3].content, "{\"ok\":true}");
  EXPECT_EQ(messages[3].tool_call_id, "7");
}

TEST(Parse, FunctionsAsTheyWereBeforeTools) {
  using Kind = chat::ToolChoice::Kind;
  Api api;
  const char* body = R"({"messages":[
      {"role":"user","content":"x"},
      {"role":"assistant","content":null,
       "function_call":{"name":"f","arguments":"{}"}},
      {"role":"function","name":"f","content":"42"}],
    "functions":[{"name":"f","parameters":{"type":"object"}}],
    "function_call":{"name":"f"}})";
  EXPECT_NE(api.call("POST", kChat, body)->status, 400);
  const chat::Request& request = api.backend->requests.at(0);
  EXPECT_EQ(
      dump_json(request.tools.at(0).declaration),
      R"({"type":"function","function":{"name":"f","parameters":)"
      R"({"type":"object"}}})");
  EXPECT_EQ(request.tool_choice.kind, Kind::named);
  EXPECT_EQ(request.tool_choice.name, "f");
  EXPECT_FALSE(request.parallel_calls);
  EXPECT_EQ(request.messages[1].tool_calls.at(0).name, "f");
  EXPECT_EQ(request.messages[2].role, "tool");
  EXPECT_EQ(request.messages[2].name, "f");
}

TEST(Parse, PromptForms) {
  Api api;
  for (const auto& [prompt, count] :
       {std::pair{R"("a")", 1u},
        {R"(["a","b"])", 2u},
        {"[3,4]", 1u},
        {"[[3,4],[5]]", 2u}}) {
    api.call(
        "POST",
        kText,
        std::string("{\"max_tokens\":0,\"prompt\":") + prompt + "}");
    EXPECT_EQ(api.backend->requests.back().prompts.size(), count) << prompt;
    EXPECT_EQ(api.backend->requests.back().max_tokens, 0);
  }
  const auto& ids = api.backend->requests.back().prompts[0];
  EXPECT_EQ(std::get<1>(ids), (std::vector<int32_t>{3, 4}));
}

TEST(Parse, EveryNameOfTheModelIsAccepted) {
  Api api;
  for (const char* name :
       {"default", "tiny", "org/tiny", "/models/tiny.gguf"}) {
    const auto stream = api.call(
        "POST", kChat, with(chat_base(), Json{{"model", name}}.dump()));
    EXPECT_EQ(stream->status, 0) << name << stream->body;
  }
  EXPECT_EQ(api.backend->requests.size(), 4u);
}

TEST(Parse, LanesAreWhatClientsSay) {
  HttpRequest http;
  const Json plain = chat_base();
  Json body = plain;
  EXPECT_EQ(request_lane(http, body), "");
  body["user"] = "me";
  EXPECT_EQ(request_lane(http, body), "me");
  body["prompt_cache_key"] = "talk 1";
  EXPECT_EQ(request_lane(http, body), "talk 1");
  body["prompt_cache_key"] = 7;
  EXPECT_EQ(request_lane(http, body), "me");
  http.headers["x-session-id"] = "s1";
  EXPECT_EQ(request_lane(http, body), "s1");
  http.headers["x-claude-code-agent-id"] = "a1";
  EXPECT_EQ(request_lane(http, plain), "a1");
  http.headers["x-claude-code-agent-id"] = "";
  EXPECT_EQ(request_lane(http, plain), "s1");

  Api api;
  body = plain;
  body["prompt_cache_key"] = "talk 2";
  api.call("POST", kChat, dump_json(body));
  EXPECT_EQ(api.backend->requests.at(0).lane, "talk 2");
}

}  // namespace
}  // namespace rapid
