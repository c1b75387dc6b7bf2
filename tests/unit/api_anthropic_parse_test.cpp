// Bodies of /v1/messages: what arrives, and errors that name their field.
#include <gtest/gtest.h>

#include "api_fakes.h"

namespace rapid {
namespace {

constexpr const char* kPath = "/v1/messages?beta=true";

Json base() {
  return *parse_json(
      R"({"max_tokens":9,"messages":[{"role":"user","content":"x"}]})");
}

std::string with(const std::string& changes) {
  Json body = base();
  body.update(*parse_json(changes));
  return dump_json(body);
}

chat::Request ask(Api& api, const std::string& changes) {
  const auto stream = api.call("POST", kPath, with(changes));
  EXPECT_TRUE(stream->body.empty()) << stream->body;
  return api.backend->requests.empty() ? chat::Request()
                                       : api.backend->requests.back();
}

std::string listed(const chat::Request& request) {
  std::string out;
  for (const chat::Message& message : request.messages) {
    out += message.role + ":" + message.content;
    out += message.reasoning.empty() ? "" : "(" + message.reasoning + ")";
    for (const chat::ToolCall& call : message.tool_calls) {
      out += "[" + call.id + " " + call.name + call.arguments + "]";
    }
    out += message.tool_call_id.empty() ? "" : "@" + message.tool_call_id;
    out += "|";
  }
  return out;
}

TEST(AnthropicParse, AWholeConversation) {
  Api api;
  const auto request = ask(api, R"({
    "system": [
      {"type": "text", "text": "x-anthropic-billing-header: cc_version=2;"},
      {"type": "text", "text": "You are brief.",
       "cache_control": {"type": "ephemeral"}},
      {"type": "text", "text": "Today."}],
    "messages": [
      {"role": "user", "content": [
        {"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "text", "text": "Let "}, {"type": "text", "text": "me."},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "42"},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
         "content": [{"type": "text", "text": "no"},
                     {"type": "image", "source": {}}]},
        {"type": "text", "text": "go on"}]},
      {"role": "system", "content": "be quick"},
      {"role": "user", "content": "now"}]})");
  EXPECT_EQ(
      listed(request),
      "system:You are brief.\nToday.|user:one\ntwo|"
      "assistant:Let me.(hm)[t1 f{\"a\":1}][t2 g{}]|tool:42@t1|"
      "tool:Error: no\n[image: not shown, this model reads text only]@t2|"
      "user:go on|system:be quick|user:now|");
}

TEST(AnthropicParse, SystemAsText) {
  Api api;
  EXPECT_EQ(
      listed(ask(
          api, R"({"system":"x-anthropic-billing-header: cc=1;\nBe kind."})")),
      "system:Be kind.|user:x|");
  EXPECT_EQ(listed(ask(api, R"({"system":""})")), "user:x|");
}

TEST(AnthropicParse, Settings) {
  Api api;
  auto request = ask(api, R"({"temperature": 0.5, "top_p": 0.9, "top_k": 7,
    "stop_sequences": ["a", "", "b"], "metadata": {"user_id": "me"},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"format": {"type": "json_schema",
                                 "schema": {"type": "object"}}}})");
  EXPECT_FLOAT_EQ(*request.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(*request.sampling.top_p, 0.9f);
  EXPECT_EQ(*request.sampling.top_k, 7);
  EXPECT_EQ(*request.max_tokens, 9);
  EXPECT_TRUE(request.may_shorten);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.lane, "me");
  EXPECT_EQ(*request.reasoning_max_tokens, 2000);
  EXPECT_EQ(request.template_kwargs["enable_thinking"], true);
  EXPECT_EQ(request.constraint->kind, GrammarSource::Kind::json_schema);
  request = ask(api, R"({"thinking": {"type": "adaptive"},
                         "output_config": {"effort": "xhigh"}})");
  EXPECT_EQ(request.reasoning_effort, "xhigh");
  EXPECT_EQ(request.template_kwargs["reasoning_effort"], "high");
  EXPECT_EQ(request.template_kwargs["enable_thinking"], true);
  for (const char* none : {"{}", R"({"thinking": {"type": "disabled"}})"}) {
    EXPECT_EQ(ask(api, none).template_kwargs["enable_thinking"], false);
  }
}

TEST(AnthropicParse, ToolsOfAllKinds) {
  Api api;
  const std::string tools = R"("tools": [
    {"name": "f", "description": "d", "input_schema": {"type": "object"},
     "strict": true, "cache_control": {"type": "ephemeral"},
     "eager_input_streaming": true},
    {"type": "custom", "name": "late", "input_schema": {"type": "object"},
     "defer_loading": true},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}])";
  const auto stream = api.call("POST", kPath, with("{" + tools + R"(,
    "tool_choice": {"type": "tool", "name": "f",
                    "disable_parallel_tool_use": true}})"));
  const chat::Request& request = api.backend->requests.at(0);
  ASSERT_EQ(request.tools.size(), 3u);
  EXPECT_EQ(
      dump_json(request.tools[0].declaration),
      R"({"type":"function","function":{"name":"f","description":"d",)"
      R"("parameters":{"type":"object"},"strict":true}})");
  EXPECT_FALSE(request.tools[0].deferred);
  EXPECT_TRUE(request.tools[1].deferred);
  EXPECT_TRUE(request.tools[2].parameters["properties"].contains("command"));
  EXPECT_EQ(request.tool_choice.kind, chat::ToolChoice::Kind::named);
  EXPECT_EQ(request.tool_choice.name, "f");
  EXPECT_FALSE(request.parallel_calls);
  const auto kind = [&](const std::string& type) {
    return ask(api, "{" + tools + R"(,"tool_choice":{"type":")" + type + "\"}}")
        .tool_choice.kind;
  };
  EXPECT_EQ(kind("auto"), chat::ToolChoice::Kind::automatic);
  EXPECT_EQ(kind("any"), chat::ToolChoice::Kind::required);
  EXPECT_EQ(kind("none"), chat::ToolChoice::Kind::none);
}

TEST(AnthropicParse, DeferredToolsAreShownWhenAskedFor) {
  Api api;
  const auto late = ask(api, R"({"tools": [
    {"name": "late", "input_schema": {}, "defer_loading": true}],
    "messages": [
      {"role": "user", "content": "q"},
      {"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "find", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
        "content": [{"type": "tool_reference", "tool_name": "late"}]}]}]})");
  EXPECT_NE(
      late.messages.back().content.find("\"name\":\"late\""),
      std::string::npos);
  // The server's own search is not here: nothing can stay hidden.
  const auto all = ask(api, R"({"tools": [
    {"name": "late", "input_schema": {}, "defer_loading": true},
    {"type": "tool_search_tool_bm25_20251119", "name": "search"}]})");
  EXPECT_FALSE(all.tools.at(0).deferred);
}

TEST(AnthropicParse, Documents) {
  Api api;
  EXPECT_EQ(
      listed(ask(api, R"({"messages": [{"role": "user", "content": [
        {"type": "document", "title": "T",
         "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
        {"type": "search_result", "title": "R", "source": "u",
         "content": [{"type": "text", "text": "found"}]}]}]})")),
      "user:T\nD\nR\nu\nfound|");
}

struct Wrong {
  const char* change;
  const char* words;  // in the message
  int status = 400;
  const char* type = "invalid_request_error";
};

const Wrong kWrong[] = {
    {R"({"messages":3})", "messages: "},
    {R"({"messages":[]})", "messages: "},
    {R"({"messages":["x"]})", "messages[0]: "},
    {R"({"messages":[{"role":"king","content":"x"}]})", "messages[0].role: "},
    {R"({"messages":[{"role":"user"}]})", "messages[0].content: "},
    {R"({"messages":[{"role":"user","content":[7]}]})",
     "messages[0].content[0]: "},
    {R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})",
     "messages[0].content[0] of type \"image\" is not supported"},
    {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
     "messages[0].content[0].text: "},
    {R"({"messages":[{"role":"user","content":[{"type":"tool_result"}]}]})",
     "messages[0].content[0].tool_use_id: "},
    {R"({"system":5})", "system: "},
    {R"({"system":[{"type":"text","text":3}]})", "system[0].text: "},
    {R"({"max_tokens":"9"})", "max_tokens: "},
    {R"({"temperature":3})", "temperature: "},
    {R"({"stop_sequences":[1]})", "stop_sequences[0]: "},
    {R"({"stream":"yes"})", "stream: "},
    {R"({"thinking":{"type":"much"}})", "thinking.type: "},
    {R"({"thinking":{"type":"enabled","budget_tokens":"x"}})",
     "thinking.budget_tokens: "},
    {R"({"tools":[{}]})", "tools[0].name: "},
    {R"({"tools":[{"name":"f","input_schema":4}]})", "tools[0].input_schema: "},
    {R"({"tool_choice":{"type":"maybe"}})", "tool_choice.type: "},
    {R"({"tool_choice":{"type":"any"}})", "tool_choice: "},
    {R"({"tool_choice":{"type":"tool","name":"f"}})", "tool_choice.name: "},
    {R"({"output_config":{"format":{"type":"xml"}}})",
     "output_config.format.type: "},
    {R"({"model":"other"})", "\"other\"", 404, "not_found_error"},
};

TEST(AnthropicParse, WrongFieldsAreNamed) {
  for (const char* path : {kPath, "/v1/messages/count_tokens"}) {
    Api api;
    for (const Wrong& wrong : kWrong) {
      const auto stream = api.call("POST", path, with(wrong.change));
      EXPECT_EQ(stream->status, wrong.status) << wrong.change;
      const Json reply = api.json(stream);
      EXPECT_EQ(reply["type"], "error");
      EXPECT_EQ(reply["error"]["type"], wrong.type) << wrong.change;
      EXPECT_NE(
          reply["error"]["message"].get<std::string>().find(wrong.words),
          std::string::npos)
          << reply;
    }
    EXPECT_TRUE(api.backend->requests.empty());
  }
}

TEST(AnthropicParse, BuiltInModelNamesMeanTheOneHere) {
  Api api;
  ask(api, R"({"model":"claude-haiku-4-5"})");
  ask(api, R"({"model":"tiny"})");
  EXPECT_EQ(api.backend->requests.size(), 2u);
}

TEST(AnthropicParse, CountTokens) {
  Api api;
  const auto stream =
      api.call("POST", "/v1/messages/count_tokens", dump_json(base()));
  EXPECT_EQ(stream->body, R"({"input_tokens":2})");
  EXPECT_EQ(stream->headers["request-id"], "r1");
}

}  // namespace
}  // namespace rapid
