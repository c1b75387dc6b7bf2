// The events of /v1/messages, and that they add up to the whole message.
#include <gtest/gtest.h>

#include "api_fakes.h"

namespace rapid {
namespace {

using chat::Delta;
using chat::Finished;

constexpr const char* kPath = "/v1/messages";

std::string body(const std::string& more = "") {
  return R"({"max_tokens":9,"messages":[{"role":"user","content":"x"}])" +
         more + "}";
}

void rich_script(const chat::Request&, const ChatSink& sink) {
  sink(chat::Started{.prompt_tokens = 10});
  sink(chat::Progress{.done = 10, .total = 10, .cached = 4});
  sink(Delta{0, Delta::Kind::reasoning, "h", {}});
  sink(Delta{0, Delta::Kind::reasoning, "m", {}});
  sink(Delta{0, Delta::Kind::content, "A", {}});
  sink(Delta{0, Delta::Kind::content, "é", {}});
  sink(chat::ToolCallEvent{0, 0, {"call_1", "f", "{\"a\":1}"}});
  sink(chat::ToolCallEvent{0, 1, {"call_2", "g", "{}"}});
  sink(chat::Rejected{0, "<tool_call>{", "cut"});
  sink(Finished{0, Finished::Reason::tool_calls});
  sink(chat::Done{
      {.prompt_tokens = 10,
       .completion_tokens = 6,
       .cached_tokens = 4,
       .reasoning_tokens = 2}});
}

// What the stream's deltas make, as clients do it.
Json added_up(const FakeStream& stream) {
  Json message;
  std::string input;
  for (const std::string& text : stream.events) {
    const Json event = *parse_json(text);
    const std::string type = event["type"];
    if (type == "message_start") {
      message = event["message"];
    } else if (type == "content_block_start") {
      EXPECT_EQ(event["index"], message["content"].size());
      message["content"].push_back(event["content_block"]);
      input.clear();
    } else if (type == "content_block_delta") {
      Json& block = message["content"].at(event["index"].get<size_t>());
      const Json& delta = event["delta"];
      const std::string kind = delta["type"];
      if (kind == "input_json_delta") {
        input += delta["partial_json"].get<std::string>();
        continue;
      }
      const std::string key = kind.substr(0, kind.find("_delta"));
      block[key] =
          block[key].get<std::string>() + delta[key].get<std::string>();
    } else if (type == "content_block_stop") {
      Json& block = message["content"].at(event["index"].get<size_t>());
      if (block["type"] == "tool_use") {
        block["input"] = *parse_json(input);
      }
    } else if (type == "message_delta") {
      message["stop_reason"] = event["delta"]["stop_reason"];
      message["stop_sequence"] = event["delta"]["stop_sequence"];
      message["usage"].update(event["usage"]);
      message["rapid_mlx"] = event["rapid_mlx"];
    }
  }
  return message;
}

TEST(AnthropicWriter, WholeMessage) {
  Api api;
  api.backend->script = rich_script;
  const Json reply = api.json(api.call("POST", kPath, body()));
  EXPECT_EQ(reply["id"], "msg_r1");
  EXPECT_EQ(reply["type"], "message");
  EXPECT_EQ(reply["role"], "assistant");
  EXPECT_EQ(reply["model"], "tiny");
  ASSERT_EQ(reply["content"].size(), 5u);
  EXPECT_EQ(reply["content"][0]["type"], "thinking");
  EXPECT_EQ(reply["content"][0]["thinking"], "hm");
  EXPECT_FALSE(reply["content"][0]["signature"].get<std::string>().empty());
  EXPECT_EQ(dump_json(reply["content"][1]), R"({"type":"text","text":"Aé"})");
  EXPECT_EQ(
      dump_json(reply["content"][2]),
      R"({"type":"tool_use","id":"call_1","name":"f","input":{"a":1}})");
  EXPECT_EQ(reply["content"][3]["input"], Json::object());
  EXPECT_EQ(reply["content"][4]["text"], "<tool_call>{");
  EXPECT_EQ(reply["stop_reason"], "tool_use");
  EXPECT_TRUE(reply["stop_sequence"].is_null());
  EXPECT_EQ(
      dump_json(reply["usage"]),
      R"({"input_tokens":6,"cache_creation_input_tokens":0,)"
      R"("cache_read_input_tokens":4,"output_tokens":6,)"
      R"("output_tokens_details":{"thinking_tokens":2}})");
  EXPECT_EQ(reply["rapid_mlx"]["rejected"][0]["reason"], "cut");
}

TEST(AnthropicWriter, EventsInOrder) {
  Api api;
  api.backend->script = rich_script;
  const auto stream = api.call("POST", kPath, body(R"(,"stream":true)"));
  EXPECT_TRUE(stream->ended);
  EXPECT_EQ(stream->keepalive, R"(ping {"type":"ping"})");
  const std::vector<std::string> names = {
      "message_start",       "ping",
      "content_block_start", "content_block_delta",
      "content_block_delta", "content_block_delta",
      "content_block_stop",  "content_block_start",
      "content_block_delta", "content_block_delta",
      "content_block_stop",  "content_block_start",
      "content_block_delta", "content_block_stop",
      "content_block_start", "content_block_delta",
      "content_block_stop",  "content_block_start",
      "content_block_delta", "content_block_stop",
      "message_delta",       "message_stop"};
  EXPECT_EQ(stream->names, names);
  const Json start = *parse_json(stream->events[0]);
  EXPECT_EQ(start["message"]["usage"]["input_tokens"], 6);
  EXPECT_EQ(start["message"]["usage"]["cache_read_input_tokens"], 4);
  EXPECT_EQ(
      stream->events[5].substr(0, 79),
      R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","sign)");
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ((*parse_json(stream->events[i]))["type"], names[i]);
  }
}

TEST(AnthropicWriter, StreamAddsUpToTheWhole) {
  Api api;
  api.backend->script = rich_script;
  const Json whole = api.json(api.call("POST", kPath, body()));
  const auto stream = api.call("POST", kPath, body(R"(,"stream":true)"));
  EXPECT_EQ(dump_json(added_up(*stream)), dump_json(whole));
}

TEST(AnthropicWriter, ThinkingMayBeLeftOut) {
  Api api;
  api.backend->script = rich_script;
  const Json reply = api.json(api.call(
      "POST",
      kPath,
      body(R"(,"thinking":{"type":"adaptive","display":"omitted"})")));
  EXPECT_EQ(reply["content"][0]["thinking"], "");
  EXPECT_FALSE(reply["content"][0]["signature"].get<std::string>().empty());
}

TEST(AnthropicWriter, StopReasons) {
  Api api;
  Finished end;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{.prompt_tokens = 3});
    sink(end);
    sink(chat::Done{{.prompt_tokens = 3}});
  };
  const auto reason = [&] {
    const Json reply = api.json(api.call("POST", kPath, body()));
    return reply["stop_reason"].get<std::string>() + " " +
           dump_json(reply["stop_sequence"]);
  };
  EXPECT_EQ(reason(), "end_turn null");
  end.stop = "END";
  EXPECT_EQ(reason(), "stop_sequence \"END\"");
  end.reason = Finished::Reason::length;
  EXPECT_EQ(reason(), "max_tokens null");
  end.reason = Finished::Reason::tool_calls;
  EXPECT_EQ(reason(), "tool_use null");
}

TEST(AnthropicWriter, ALongPromptBeginsBeforeItsAnswer) {
  Api api;
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{.prompt_tokens = 900});
    sink(chat::Progress{.done = 512, .total = 900, .cached = 100});
    sink(chat::Failed{{ErrorCode::internal, "it broke"}});
  };
  const auto stream = api.call("POST", kPath, body(R"(,"stream":true)"));
  EXPECT_EQ(
      stream->names,
      (std::vector<std::string>{"message_start", "ping", "error"}));
  EXPECT_EQ(
      stream->events.back(),
      R"({"type":"error","error":{"type":"api_error","message":"it broke"}})");
  EXPECT_TRUE(stream->ended);
}

TEST(AnthropicWriter, FailuresInTheDialectsShape) {
  Api api;
  const auto error = [&](Error given) {
    api.backend->refusal = std::move(given);
    const auto stream = api.call("POST", kPath, body(R"(,"stream":true)"));
    const Json reply = api.json(stream);
    EXPECT_EQ(reply["type"], "error");
    return std::to_string(stream->status) + " " +
           reply["error"]["type"].get<std::string>() + ": " +
           reply["error"]["message"].get<std::string>();
  };
  EXPECT_EQ(error({ErrorCode::busy, "full"}), "429 rate_limit_error: full");
  EXPECT_EQ(
      error({ErrorCode::context_length, "9 tokens > 8"}),
      "400 invalid_request_error: prompt is too long: 9 tokens > 8");
  EXPECT_EQ(error({ErrorCode::too_large, "big"}), "413 request_too_large: big");
  api.backend->refusal.reset();
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(chat::Failed{{ErrorCode::busy, "full"}});
  };
  EXPECT_EQ(api.call("POST", kPath, body(R"(,"stream":true)"))->status, 429);
}

TEST(AnthropicWriter, IgnoredPartsAreNamed) {
  Api api;
  api.backend->script = rich_script;
  const auto stream = api.call(
      "POST",
      kPath,
      body(R"(,"tools":[{"type":"web_search_20250305","name":"s"}])"));
  const std::string expected = "tools[0] of type web_search_20250305";
  EXPECT_EQ(stream->headers["x-rapid-mlx-ignored"], expected);
  EXPECT_EQ(api.json(stream)["rapid_mlx"]["ignored"][0], expected);
}

}  // namespace
}  // namespace rapid
