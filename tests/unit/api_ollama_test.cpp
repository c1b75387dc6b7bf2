// The Ollama routes: bodies, lines, and that they add up to the whole reply.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "api/model_check.h"
#include "api_fakes.h"
#include "hub/catalogue.h"
#include "scoped_env.h"
#include "temp_folder.h"

namespace rapid {
namespace {

using chat::Delta;
using chat::Finished;

constexpr const char* kChat = "/api/chat";
constexpr const char* kText = "/api/generate";

std::string with(Json base, const std::string& changes) {
  base.update(*parse_json(changes));
  return dump_json(base);
}

Json chat_base() {
  return *parse_json(R"({"messages":[{"role":"user","content":"x"}]})");
}

void rich_script(const chat::Request&, const ChatSink& sink) {
  sink(chat::Started{.prompt_tokens = 10});
  sink(chat::Progress{.done = 10, .total = 10, .cached = 4});
  sink(Delta{0, Delta::Kind::reasoning, "hm", {}});
  sink(Delta{0, Delta::Kind::content, "A", {}});
  sink(Delta{0, Delta::Kind::content, "é", {}});
  sink(chat::ToolCallEvent{0, 0, {"call_1", "f", "{\"a\":1}"}});
  sink(chat::ToolCallEvent{0, 1, {"call_2", "g", "{}"}});
  sink(Finished{0, Finished::Reason::tool_calls});
  sink(chat::Done{
      {.prompt_tokens = 10,
       .completion_tokens = 6,
       .cached_tokens = 4,
       .prefill_seconds = 0.5,
       .decode_seconds = 0.25}});
}

TEST(Ollama, WhatCannotRunIsNotPulled) {
  Api api;
  set_model_check(
      [](const std::string& model, const std::string& architecture) -> Status {
        return Error{
            ErrorCode::unsupported,
            model + " is a " + architecture,
            "",
            "model"};
      });
  const CatalogueEntry& entry = catalogue()[0];
  const Json body = {{"model", entry.alias + ":latest"}};
  const auto stream = api.call("POST", "/api/pull", dump_json(body));
  EXPECT_EQ(stream->status, 400);
  EXPECT_EQ(
      api.json(stream)["error"], entry.alias + " is a " + entry.architecture);
  set_model_check(nullptr);
}

TEST(Ollama, ChatArrivesWhole) {
  Api api;
  const auto stream = api.call("POST", kChat, R"({
    "model": "tiny:latest", "stream": false, "think": "low",
    "format": {"type": "object"},
    "options": {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1,
      "repeat_penalty": 1.1, "presence_penalty": 1, "frequency_penalty": -1,
      "seed": 3, "num_predict": 7, "num_ctx": 99999, "stop": ["a"],
      "mirostat": 1, "num_gpu": 99},
    "tools": [{"type": "function", "function":
      {"name": "f", "parameters": {"type": "object"}}}],
    "messages": [
      {"role": "system", "content": "s"},
      {"role": "user", "content": "look", "images": ["aaaa"]},
      {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
        {"function": {"name": "f", "arguments": {"a": 1}}}]},
      {"role": "tool", "tool_name": "f", "content": "42"}]})");
  ASSERT_EQ(api.backend->requests.size(), 1u) << stream->body;
  const chat::Request& r = api.backend->requests[0];
  EXPECT_FLOAT_EQ(*r.sampling.temperature, 0.5f);
  EXPECT_EQ(*r.sampling.top_k, 5);
  EXPECT_FLOAT_EQ(*r.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(*r.sampling.seed, 3u);
  EXPECT_EQ(*r.max_tokens, 7);
  EXPECT_EQ(r.stop, std::vector<std::string>{"a"});
  EXPECT_EQ(r.constraint->kind, GrammarSource::Kind::json_schema);
  EXPECT_EQ(r.reasoning_effort, "low");
  EXPECT_EQ(r.template_kwargs["enable_thinking"], true);
  ASSERT_EQ(r.messages.size(), 4u);
  EXPECT_EQ(
      r.messages[1].content,
      "look\n[image: not shown, this model reads text only]");
  EXPECT_EQ(r.messages[2].reasoning, "hm");
  EXPECT_EQ(r.messages[2].tool_calls[0].arguments, "{\"a\":1}");
  EXPECT_EQ(r.messages[3].name, "f");
  EXPECT_EQ(r.tools.at(0).name, "f");
}

TEST(Ollama, Defaults) {
  Api api;
  api.call(
      "POST",
      kChat,
      with(chat_base(), R"({"options": {"num_predict": -1}, "format": ""})"));
  const chat::Request& r = api.backend->requests.at(0);
  EXPECT_FALSE(r.max_tokens);
  EXPECT_FALSE(r.constraint);
  EXPECT_TRUE(r.template_kwargs.empty());
}

TEST(Ollama, WholeReply) {
  Api api;
  api.backend->script = rich_script;
  Json reply = api.json(
      api.call("POST", kChat, with(chat_base(), R"({"stream":false})")));
  EXPECT_EQ(reply["created_at"].get<std::string>().size(), 27u);
  EXPECT_GT(reply["total_duration"], 0);
  for (const char* key : {"created_at", "total_duration"}) {
    reply.erase(key);
  }
  EXPECT_EQ(
      dump_json(reply),
      R"({"model":"tiny","message":{"role":"assistant","content":"Aé",)"
      R"("thinking":"hm","tool_calls":[{"id":"call_1","function":{"index":0,)"
      R"("name":"f","arguments":{"a":1}}},{"id":"call_2","function":)"
      R"({"index":1,"name":"g","arguments":{}}}]},"done":true,)"
      R"("done_reason":"stop","load_duration":0,"prompt_eval_count":10,)"
      R"("prompt_eval_duration":500000000,"eval_count":6,)"
      R"("eval_duration":250000000,"rapid_mlx":{"timings":)"
      R"({"prefill_seconds":0.5,"decode_seconds":0.25},"cached_tokens":4}})");
}

TEST(Ollama, LinesAddUpToTheWhole) {
  Api api;
  api.backend->script = rich_script;
  const Json whole = api.json(
      api.call("POST", kChat, with(chat_base(), R"({"stream":false})")));
  const auto stream = api.call("POST", kChat, dump_json(chat_base()));
  EXPECT_TRUE(stream->lines);
  EXPECT_TRUE(stream->ended);
  ASSERT_EQ(stream->events.size(), 6u);
  std::string content;
  std::string thinking;
  Json calls = Json::array();
  for (const std::string& line : stream->events) {
    const Json message = (*parse_json(line))["message"];
    EXPECT_EQ(message["role"], "assistant");
    content += message["content"].get<std::string>();
    thinking += message.value("thinking", "");
    for (const Json& call : message.value("tool_calls", Json::array())) {
      calls.push_back(call);
    }
    EXPECT_EQ((*parse_json(line))["done"], &line == &stream->events.back());
  }
  EXPECT_EQ(content, whole["message"]["content"]);
  EXPECT_EQ(thinking, whole["message"]["thinking"]);
  EXPECT_EQ(calls, whole["message"]["tool_calls"]);
  EXPECT_EQ((*parse_json(stream->events.back()))["eval_count"], 6);
}

TEST(Ollama, Generate) {
  Api api;
  api.backend->script = rich_script;
  const Json reply = api.json(api.call(
      "POST",
      kText,
      R"({"prompt":"x","system":"s","stream":false,"logprobs":true})"));
  EXPECT_EQ(reply["response"], "Aé");
  EXPECT_EQ(reply["thinking"], "hm");
  EXPECT_FALSE(reply.contains("message"));
  const chat::Request& asked = api.backend->requests.at(0);
  ASSERT_EQ(asked.messages.size(), 2u);
  EXPECT_EQ(asked.messages[0].role, "system");
  EXPECT_EQ(*asked.logprobs, 0);
  api.call("POST", kText, R"({"prompt":"x","raw":true,"format":"json"})");
  const chat::Request& raw = api.backend->requests.at(1);
  EXPECT_TRUE(raw.messages.empty());
  EXPECT_EQ(std::get<std::string>(raw.prompts.at(0)), "x");
  EXPECT_EQ(raw.constraint->kind, GrammarSource::Kind::json_object);
}

TEST(Ollama, AQuestionlessRequestLoads) {
  Api api;
  for (const char* path : {kChat, kText}) {
    const auto stream = api.call("POST", path, R"({"model":"tiny"})");
    EXPECT_EQ(stream->status, 200);
    EXPECT_EQ(api.json(stream)["done_reason"], "load");
    EXPECT_EQ(api.json(stream)["done"], true);
    // The only model of a server stays.
    const auto unload =
        api.call("POST", path, R"({"model":"tiny","keep_alive":"0s"})");
    EXPECT_EQ(unload->status, 400);
  }
  EXPECT_TRUE(api.backend->requests.empty());
}

struct Wrong {
  const char* path;
  const char* change;
  const char* words;
  int status = 400;
};

const Wrong kWrong[] = {
    {kChat, R"({"messages":3})", "messages: "},
    {kChat, R"({"messages":[{"content":"x"}]})", "messages[0].role: "},
    {kChat,
     R"({"messages":[{"role":"user","content":[]}]})",
     "messages[0].content: "},
    {kChat,
     R"({"messages":[{"role":"user","images":["aa"]}]})",
     "messages[0].images is not supported"},
    {kChat, R"({"options":{"temperature":"hot"}})", "options.temperature: "},
    {kChat, R"({"options":3})", "options: "},
    {kChat, R"({"options":{"stop":3}})", "options.stop: "},
    {kChat, R"({"format":"xml"})", "format: "},
    {kChat, R"({"think":3})", "think: "},
    {kChat, R"({"stream":"no"})", "stream: "},
    {kChat, R"({"keep_alive":"soon"})", "keep_alive: "},
    {kChat, R"({"model":"other"})", "\"other\"", 404},
    {kText, R"({"prompt":3})", "prompt: "},
    {kText, R"({"suffix":"x"})", "suffix is not supported"},
    {kText, R"({"context":[1,2]})", "context is not supported"},
    {"/api/show", R"({"model":"other"})", "\"other\"", 404},
    {"/api/pull", R"({"model":3})", "model: "},
    {"/api/pull", R"({})", "model: "},
};

TEST(Ollama, ErrorsAreWords) {
  Api api;
  for (const Wrong& wrong : kWrong) {
    const Json base = wrong.path == kChat ? chat_base() : Json::object();
    const auto stream = api.call("POST", wrong.path, with(base, wrong.change));
    EXPECT_EQ(stream->status, wrong.status) << wrong.change;
    const Json reply = api.json(stream);
    ASSERT_TRUE(reply.is_object() && reply["error"].is_string()) << reply;
    EXPECT_NE(
        reply["error"].get<std::string>().find(wrong.words), std::string::npos)
        << reply;
  }
  EXPECT_TRUE(api.backend->requests.empty());
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(Delta{0, Delta::Kind::content, "A", {}});
    sink(chat::Failed{{ErrorCode::internal, "it broke"}});
  };
  const auto stream = api.call("POST", kChat, dump_json(chat_base()));
  EXPECT_EQ(stream->events.back(), R"({"error":"it broke"})");
  EXPECT_TRUE(stream->ended);
}

TEST(Ollama, Listings) {
  Api api;
  api.backend->card_.parameters = 134'515'008;
  api.backend->card_.weight_bytes = 1000;
  api.backend->card_.reasoning = "think";
  api.backend->card_.format = "hermes";
  const Json tags = api.json(api.call("GET", "/api/tags"));
  const Json& one = tags["models"].at(0);
  EXPECT_EQ(one["name"], "tiny");
  EXPECT_EQ(one["size"], 1000);
  EXPECT_EQ(one["digest"].get<std::string>().size(), 64u);
  EXPECT_EQ(
      dump_json(one["details"]),
      R"({"parent_model":"","format":"gguf","family":"toy","families":["toy"],)"
      R"("parameter_size":"135M","quantization_level":"unknown"})");
  const Json running = api.json(api.call("GET", "/api/ps"));
  EXPECT_EQ(running["models"][0]["context_length"], 2048);
  EXPECT_EQ(running["models"][0]["size_vram"], 0);
  EXPECT_EQ(running["models"][0]["expires_at"].get<std::string>().size(), 27u);
  const Json shown =
      api.json(api.call("POST", "/api/show", R"({"name":"tiny:latest"})"));
  EXPECT_EQ(shown["model_info"]["toy.context_length"], 2048);
  EXPECT_EQ(
      dump_json(shown["capabilities"]), R"(["completion","tools","thinking"])");
  const Json version = api.json(api.call("GET", "/api/version"));
  EXPECT_FALSE(version["version"].get<std::string>().empty());
}

TEST(Ollama, PullTellsHowItEnds) {
  const test::TempFolder folder;
  const test::ScopedEnv home("RAPID_MLX_HOME", folder.path().string());
  std::filesystem::create_directories(folder.path() / "models/org/here");
  auto api = std::make_unique<Api>();
  const auto missing =
      api->call("POST", "/api/pull", R"({"model":"no such name"})");
  const auto plain = api->call(
      "POST", "/api/pull", R"({"model":"no such name","stream":false})");
  api.reset();  // waits for both
  ASSERT_EQ(missing->events.size(), 2u);
  EXPECT_EQ(missing->events[0], R"({"status":"pulling manifest"})");
  EXPECT_TRUE((*parse_json(missing->events[1])).contains("error"));
  EXPECT_TRUE(missing->ended);
  EXPECT_EQ(plain->status, 404);
}

TEST(Ollama, DeleteRefusesWhatIsServed) {
  const test::TempFolder folder;
  const test::ScopedEnv home("RAPID_MLX_HOME", folder.path().string());
  Api api;
  const auto served =
      api.call("DELETE", "/api/delete", R"({"model":"tiny:latest"})");
  EXPECT_EQ(served->status, 400);
  const auto missing =
      api.call("DELETE", "/api/delete", R"({"model":"org/none"})");
  EXPECT_EQ(missing->status, 404);
}

}  // namespace
}  // namespace rapid
