// /v1/responses: what becomes of a body, the events in order, what is stored.
#include <gtest/gtest.h>

#include "api/response_store.h"
#include "api/responses_input.h"
#include "api_fakes.h"

namespace rapid {
namespace {

using chat::Delta;
using chat::Finished;

constexpr const char* kTools = R"([
  {"type":"function","name":"f","description":"D","parameters":
    {"type":"object","properties":{"a":{"type":"number"}}},"strict":true},
  {"type":"namespace","name":"mcp__files","description":"Files.","tools":[
    {"type":"function","name":"read","parameters":{"type":"object"}},
    {"type":"function","name":"write","description":"W"}]},
  {"type":"custom","name":"patch","description":"P","format":
    {"type":"grammar","syntax":"lark","definition":"start: \"x\""}},
  {"type":"web_search"}])";

// Reasoning, text, three kinds of calls, and something rejected.
void rich_script(const chat::Request&, const ChatSink& sink) {
  sink(chat::Started{.prompt_tokens = 4});
  sink(chat::Progress{.done = 2, .total = 4});
  sink(Delta{0, Delta::Kind::reasoning, "h", {}});
  sink(Delta{0, Delta::Kind::reasoning, "m", {}});
  sink(Delta{0, Delta::Kind::content, "A", {}});
  sink(Delta{0, Delta::Kind::content, "é", {}});
  sink(chat::ToolCallEvent{0, 0, {"call_1", "f", "{\"a\":1}"}});
  sink(chat::ToolCallEvent{0, 1, {"call_2", "mcp__files__read", "{}"}});
  sink(chat::ToolCallEvent{0, 2, {"call_3", "patch", "{\"input\":\"x\"}"}});
  sink(chat::Rejected{0, "<tool_call>{", "cut"});
  sink(Finished{0, Finished::Reason::tool_calls});
  sink(chat::Done{
      {.prompt_tokens = 4,
       .completion_tokens = 6,
       .cached_tokens = 2,
       .reasoning_tokens = 1}});
}

class Responses : public testing::Test {
 protected:
  Responses() { api.backend->script = rich_script; }

  std::shared_ptr<FakeStream> post(const Json& body) {
    return api.call("POST", "/v1/responses", dump_json(body));
  }
  Json create(const Json& body) {
    const auto stream = post(body);
    EXPECT_EQ(stream->status, 200) << stream->body;
    return api.json(stream);
  }
  const chat::Request& asked() const { return api.backend->requests.back(); }
  // "param: message" of a refusal.
  std::string refusal(const std::string& body) {
    const auto stream = api.call("POST", "/v1/responses", body);
    EXPECT_GE(stream->status, 400) << body;
    const Json error = api.json(stream)["error"];
    return error["param"].is_string() ? error["param"].get<std::string>() : "";
  }

  Api api;
};

Json events_of(const FakeStream& stream) {
  Json out = Json::array();
  for (const std::string& text : stream.events) {
    out.push_back(*parse_json(text));
  }
  return out;
}

TEST_F(Responses, EventsInOrder) {
  const auto stream =
      post({{"input", "x"}, {"stream", true}, {"tools", *parse_json(kTools)}});
  const std::vector<std::string> expected = {
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.reasoning_text.delta",
      "response.reasoning_text.delta",
      "response.reasoning_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.custom_tool_call_input.delta",
      "response.custom_tool_call_input.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed"};
  EXPECT_EQ(stream->names, expected);
  EXPECT_TRUE(stream->ended);
  const Json events = events_of(*stream);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    EXPECT_EQ(events[i]["type"], stream->names[i]);
  }
  EXPECT_EQ(events[16]["output_index"], 2);
  EXPECT_EQ(events[17]["delta"], "{\"a\":1}");
  EXPECT_EQ(events[17]["item_id"], events[16]["item"]["id"]);
}

// Ids and times differ between two replies; nothing else may.
Json comparable(Json response) {
  for (const char* key : {"id", "created_at", "completed_at"}) {
    response[key] = 0;
  }
  for (Json& item : response["output"]) {
    item.erase("id");
  }
  return response;
}

TEST_F(Responses, StreamingAndNotAreOnePath) {
  Json body = {{"input", "x"}, {"tools", *parse_json(kTools)}};
  const Json whole = create(body);
  body["stream"] = true;
  const Json events = events_of(*post(body));
  EXPECT_EQ(comparable(whole), comparable(events.back()["response"]));
  size_t done = 0;
  for (const Json& event : events) {
    if (event["type"] == "response.output_item.done") {
      EXPECT_EQ(event["item"], events.back()["response"]["output"][done++]);
    }
  }
  EXPECT_EQ(done, whole["output"].size());
}

TEST_F(Responses, Output) {
  const Json reply = create({{"input", "x"}, {"tools", *parse_json(kTools)}});
  EXPECT_EQ(reply["status"], "completed");
  const Json& output = reply["output"];
  ASSERT_EQ(output.size(), 6u);
  EXPECT_EQ(output[0]["content"][0]["text"], "hm");
  EXPECT_TRUE(output[0]["summary"].empty());
  EXPECT_EQ(output[1]["content"][0]["text"], "Aé");
  EXPECT_EQ(output[2]["name"], "f");
  EXPECT_FALSE(output[2].contains("namespace"));
  EXPECT_EQ(output[3]["namespace"], "mcp__files");
  EXPECT_EQ(output[3]["name"], "read");
  EXPECT_EQ(output[4]["type"], "custom_tool_call");
  EXPECT_EQ(output[4]["input"], "x");
  EXPECT_EQ(output[5]["content"][0]["text"], "<tool_call>{");
  EXPECT_EQ(
      dump_json(reply["usage"]),
      R"({"input_tokens":4,"input_tokens_details":{"cached_tokens":2,)"
      R"("cache_write_tokens":0},"output_tokens":6,"output_tokens_details":)"
      R"({"reasoning_tokens":1},"total_tokens":10})");
  EXPECT_EQ(reply["rapid_mlx"]["rejected"][0]["raw"], "<tool_call>{");
  EXPECT_NE(
      dump_json(reply["rapid_mlx"]["ignored"]).find("web_search"),
      std::string::npos);
}

TEST_F(Responses, ToolsAsTheModelSeesThem) {
  create({{"input", "x"}, {"tools", *parse_json(kTools)}});
  const auto& tools = asked().tools;
  ASSERT_EQ(tools.size(), 4u);
  EXPECT_EQ(
      dump_json(tools[0].declaration),
      R"({"type":"function","function":{"name":"f","description":"D",)"
      R"("parameters":{"type":"object","properties":{"a":{"type":"number"}}},)"
      R"("strict":true}})");
  EXPECT_EQ(tools[1].name, "mcp__files__read");
  EXPECT_EQ(tools[1].description, "Files.");
  EXPECT_EQ(tools[2].description, "W");
  EXPECT_EQ(tools[3].parameters["required"], Json::array({"input"}));
  EXPECT_NE(tools[3].description.find("start: \"x\""), std::string::npos);
}

TEST_F(Responses, ToolChoice) {
  using Kind = chat::ToolChoice::Kind;
  const auto choose = [&](const char* choice) {
    create(
        {{"input", "x"},
         {"tools", *parse_json(kTools)},
         {"tool_choice", *parse_json(choice)}});
    return asked().tool_choice;
  };
  EXPECT_EQ(choose("\"none\"").kind, Kind::none);
  EXPECT_EQ(choose("\"required\"").kind, Kind::required);
  EXPECT_EQ(choose(R"({"type":"function","name":"f"})").name, "f");
  EXPECT_EQ(choose(R"({"type":"custom","name":"patch"})").name, "patch");
  EXPECT_EQ(
      choose(R"({"type":"function","name":"read","namespace":"mcp__files"})")
          .name,
      "mcp__files__read");
  EXPECT_EQ(
      choose(R"({"type":"allowed_tools","mode":"required","tools":[
          {"type":"function","name":"f"},{"type":"web_search"}]})")
          .kind,
      Kind::required);
  EXPECT_EQ(asked().tools.size(), 1u);
}

TEST_F(Responses, ReasoningAsSummaryAndSealed) {
  Json reply = create(
      {{"input", "x"},
       {"reasoning", {{"effort", "low"}, {"summary", "auto"}}},
       {"include", Json::array({"reasoning.encrypted_content"})}});
  EXPECT_EQ(asked().reasoning_effort, "low");
  Json item = reply["output"][0];
  EXPECT_EQ(item["summary"][0]["text"], "hm");
  EXPECT_FALSE(item.contains("content"));
  // A client that keeps only the sealed text still gives the thought back.
  item["summary"] = Json::array();
  const auto messages = messages_of_items(Json::array({item}));
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].reasoning, "hm");
}

TEST_F(Responses, TurnsBecomeMessages) {
  create({{"instructions", "Be brief."}, {"input", *parse_json(R"([
         {"role":"developer","content":"dev"},
         {"role":"user","content":[{"type":"input_text","text":"a"},
           {"type":"input_text","text":"b"}]},
         {"type":"reasoning","id":"rs_1","summary":[],
           "content":[{"type":"reasoning_text","text":"think"}]},
         {"type":"message","role":"assistant","id":"msg_1","status":"completed",
           "content":[{"type":"output_text","text":"so","annotations":[]}]},
         {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
         {"type":"custom_tool_call","call_id":"c2","name":"patch","input":"x"},
         {"type":"web_search_call","id":"ws_1","status":"completed"},
         {"type":"function_call_output","call_id":"c1","output":"r1"},
         {"type":"custom_tool_call_output","call_id":"c2",
           "output":[{"type":"input_text","text":"r2"}]},
         {"type":"message","role":"assistant","content":"one"},
         {"type":"message","role":"assistant","content":"two"}])")}});
  const auto& messages = asked().messages;
  std::string told;
  for (const auto& message : messages) {
    told += message.role + "(" + message.reasoning + "|" + message.content;
    for (const auto& call : message.tool_calls) {
      told += "|" + call.id + " " + call.name + " " + call.arguments;
    }
    told +=
        message.tool_call_id.empty() ? ") " : "|" + message.tool_call_id + ") ";
  }
  EXPECT_EQ(
      told,
      "system(|Be brief.) developer(|dev) user(|a\nb) "
      "assistant(think|so|c1 f {}|c2 patch {\"input\":\"x\"}) "
      "tool(|r1|c1) tool(|r2|c2) assistant(|one) assistant(|two) ");
}

TEST_F(Responses, GoesOnFromAStoredOne) {
  const Json first = create({{"input", "one"}, {"tools", *parse_json(kTools)}});
  const std::string id = first["id"];
  create(
      {{"input",
        Json::array(
            {{{"type", "function_call_output"},
              {"call_id", "call_1"},
              {"output", "42"}}})},
       {"instructions", "new"},
       {"previous_response_id", id}});
  const auto& messages = asked().messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "one");
  EXPECT_EQ(messages[2].reasoning, "hm");
  EXPECT_EQ(messages[2].content, "Aé<tool_call>{");
  ASSERT_EQ(messages[2].tool_calls.size(), 3u);
  EXPECT_EQ(messages[2].tool_calls[1].name, "mcp__files__read");
  EXPECT_EQ(messages[2].tool_calls[2].arguments, "{\"input\":\"x\"}");
  EXPECT_EQ(messages[3].tool_call_id, "call_1");

  create(
      {{"input",
        Json::array(
            {{{"type", "item_reference"}, {"id", first["output"][1]["id"]}},
             {{"role", "user"}, {"content", "y"}}})}});
  EXPECT_EQ(asked().messages.at(0).content, "Aé");
  EXPECT_EQ(
      refusal(R"({"input":"x","previous_response_id":"resp_none"})"),
      "previous_response_id");
}

TEST_F(Responses, FetchedListedAndForgotten) {
  const Json made = create({{"input", "x"}, {"metadata", {{"k", "v"}}}});
  const std::string path = "/v1/responses/" + made["id"].get<std::string>();
  EXPECT_EQ(api.json(api.call("GET", path)), made);
  EXPECT_EQ(made["metadata"]["k"], "v");
  const Json items = api.json(api.call("GET", path + "/input_items?limit=1"));
  EXPECT_EQ(items["data"][0]["content"][0]["text"], "x");
  EXPECT_EQ(items["has_more"], false);
  EXPECT_EQ(items["first_id"], items["data"][0]["id"]);
  EXPECT_EQ(api.call("GET", path + "/input_items?limit=0")->status, 400);
  EXPECT_EQ(api.json(api.call("POST", path + "/cancel")), made);
  EXPECT_EQ(
      dump_json(api.json(api.call("DELETE", path))),
      "{\"id\":" + dump_json(made["id"]) +
          R"(,"object":"response","deleted":true})");
  for (const char* method : {"GET", "DELETE"}) {
    EXPECT_EQ(api.call(method, path)->status, 404);
  }
  const Json loose = create({{"input", "x"}, {"store", false}});
  EXPECT_EQ(
      api.call("GET", "/v1/responses/" + loose["id"].get<std::string>())
          ->status,
      404);
}

TEST_F(Responses, InputItemsPageByPage) {
  Json input = Json::array();
  for (int i = 0; i < 5; ++i) {
    input.push_back({{"role", "user"}, {"content", std::to_string(i)}});
  }
  const Json made = create({{"input", input}});
  const std::string path = "/v1/responses/" + made["id"].get<std::string>() +
                           "/input_items?order=asc&limit=2";
  const Json page = api.json(api.call("GET", path));
  EXPECT_EQ(page["data"][1]["content"][0]["text"], "1");
  EXPECT_EQ(page["has_more"], true);
  const Json next = api.json(
      api.call("GET", path + "&after=" + page["last_id"].get<std::string>()));
  EXPECT_EQ(next["data"][0]["content"][0]["text"], "2");
}

TEST_F(Responses, CutAnswersAreIncomplete) {
  api.backend->script = [](const chat::Request& request, const ChatSink& sink) {
    EXPECT_EQ(request.max_tokens, 5);
    sink(chat::Started{});
    sink(Delta{0, Delta::Kind::content, "half", {}});
    sink(Finished{0, Finished::Reason::length});
    sink(chat::Done{});
  };
  const auto stream =
      post({{"input", "x"}, {"max_output_tokens", 5}, {"stream", true}});
  EXPECT_EQ(stream->names.back(), "response.incomplete");
  const Json last = events_of(*stream).back()["response"];
  EXPECT_EQ(last["status"], "incomplete");
  EXPECT_EQ(last["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(last["output"][0]["status"], "incomplete");
}

TEST_F(Responses, FailuresBeforeAndAfterTheHead) {
  bool begun = false;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    if (begun) {
      sink(Delta{0, Delta::Kind::content, "half", {}});
    }
    sink(chat::Failed{{ErrorCode::busy, "too many"}});
  };
  EXPECT_EQ(post({{"input", "x"}, {"stream", true}})->status, 429);
  EXPECT_EQ(post({{"input", "x"}})->status, 429);
  begun = true;
  const auto stream = post({{"input", "x"}, {"stream", true}});
  EXPECT_EQ(stream->names.back(), "response.failed");
  const Json last = events_of(*stream).back()["response"];
  EXPECT_EQ(last["error"]["code"], "rate_limit_exceeded");
  EXPECT_TRUE(stream->ended);
}

// Holds the sink, so that a test decides what happens when.
TEST_F(Responses, CancelledWhileUnderWay) {
  ChatSink held;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(Delta{0, Delta::Kind::content, "half", {}});
    held = sink;
  };
  const auto stream = post({{"input", "x"}, {"stream", true}});
  const std::string id = events_of(*stream)[0]["response"]["id"];
  EXPECT_EQ(
      api.json(api.call("GET", "/v1/responses/" + id))["status"],
      "in_progress");
  const Json ended =
      api.json(api.call("POST", "/v1/responses/" + id + "/cancel"));
  EXPECT_EQ(ended["status"], "cancelled");
  EXPECT_EQ(ended["output"][0]["content"][0]["text"], "half");
  EXPECT_EQ(api.backend->cancelled, std::vector<Ticket>{7});
  EXPECT_TRUE(stream->ended);
  held(chat::Done{});  // too late
  EXPECT_EQ(api.json(api.call("GET", "/v1/responses/" + id)), ended);
}

TEST_F(Responses, InTheBackground) {
  ChatSink held;
  api.backend->script = [&](const chat::Request& request,
                            const ChatSink& sink) {
    held = [&, request, sink](const chat::Event&) {
      rich_script(request, sink);
    };
  };
  const Json queued = create({{"input", "x"}, {"background", true}});
  EXPECT_EQ(queued["status"], "queued");
  const std::string path = "/v1/responses/" + queued["id"].get<std::string>();
  EXPECT_EQ(api.json(api.call("GET", path))["status"], "in_progress");
  EXPECT_EQ(
      api.json(api.call("GET", path + "/input_items"))["data"].size(), 1u);
  held(chat::Done{});
  EXPECT_EQ(api.json(api.call("GET", path))["status"], "completed");
  EXPECT_TRUE(api.backend->cancelled.empty());
}

TEST_F(Responses, ASilentStreamSaysInProgress) {
  ChatSink held;
  api.backend->script = [&](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});
    sink(chat::Progress{.done = 1, .total = 9});
    held = sink;
  };
  const auto stream = post({{"input", "x"}, {"stream", true}});
  ASSERT_EQ(stream->names.size(), 2u);
  ASSERT_TRUE(stream->keepalive_data);
  const Json event = *parse_json(stream->keepalive_data());
  EXPECT_EQ(event["type"], "response.in_progress");
  EXPECT_EQ(event["sequence_number"], 2);
  held(Delta{0, Delta::Kind::content, "x", {}});
  EXPECT_EQ(events_of(*stream)[2]["sequence_number"], 3);
}

TEST_F(Responses, Truncation) {
  api.backend->tokens = [](const chat::Request& request) {
    return 600 * request.messages.size();  // of 2048
  };
  Json input = Json::array();
  for (const char* text : {"1", "2", "3", "4"}) {
    input.push_back({{"role", "user"}, {"content", text}});
    input.push_back({{"role", "assistant"}, {"content", text}});
  }
  input.push_back({{"role", "user"}, {"content", "5"}});
  Json body = {{"input", input}, {"instructions", "s"}};
  create(body);
  EXPECT_EQ(asked().messages.size(), 10u);
  body["truncation"] = "auto";
  const Json reply = create(body);
  ASSERT_EQ(asked().messages.size(), 2u);
  EXPECT_EQ(asked().messages[0].role, "system");
  EXPECT_EQ(asked().messages[1].content, "5");
  EXPECT_NE(
      dump_json(reply["rapid_mlx"]).find("the first 8 messages"),
      std::string::npos);
}

TEST_F(Responses, Format) {
  create(
      {{"input", "x"},
       {"text",
        {{"format",
          {{"type", "json_schema"},
           {"name", "n"},
           {"schema", {{"type", "object"}}}}}}}});
  ASSERT_TRUE(asked().constraint);
  EXPECT_EQ(asked().constraint->text, R"({"type":"object"})");
  EXPECT_EQ(
      refusal(R"({"input":"x","text":{"format":{"type":"json_schema"}}})"),
      "text.format.schema");
}

TEST_F(Responses, RefusalsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "input"},
      {R"({"input":5})", "input"},
      {R"({"input":[]})", "input"},
      {R"({"input":[5]})", "input[0]"},
      {R"({"input":[{"role":"user"}]})", "input[0].content"},
      {R"({"input":[{"role":"robot","content":"x"}]})", "input[0].role"},
      {R"({"input":[{"type":"message","role":"user","content":[5]}]})",
       "input[0].content[0]"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image",
           "image_url":"x"}]}]})",
       "input[0].content[0]"},
      {R"({"input":[{"type":"novelty"}]})", "input[0].type"},
      {R"({"input":[{"type":"function_call","name":"f"}]})",
       "input[0].call_id"},
      {R"({"input":[{"type":"item_reference","id":"msg_1"}]})", "input[0].id"},
      {R"({"input":"x","tools":{}})", "tools"},
      {R"({"input":"x","tools":[{"type":"function"}]})", "tools[0].name"},
      {R"({"input":"x","tools":[{"name":"f"}]})", "tools[0].type"},
      {R"({"input":"x","tools":[{"type":"namespace","name":"n","tools":[5]}]})",
       "tools[0].tools[0]"},
      {R"({"input":"x","tool_choice":"required"})", "tool_choice"},
      {R"({"input":"x","tool_choice":{"type":"function","name":"f"}})",
       "tool_choice"},
      {R"({"input":"x","stream":"yes"})", "stream"},
      {R"({"input":"x","store":1})", "store"},
      {R"({"input":"x","background":true,"store":false})", "background"},
      {R"({"input":"x","truncation":"maybe"})", "truncation"},
      {R"({"input":"x","metadata":{"a":1}})", "metadata.a"},
      {R"({"input":"x","max_output_tokens":0})", "max_output_tokens"},
      {R"({"input":"x","temperature":"hot"})", "temperature"},
      {R"({"input":"x","n":2})", "n"},
      {R"({"input":"x","reasoning":{"effort":1}})", "reasoning.effort"},
      {R"({"input":"x","include":5})", "include"},
      {R"({"input":"x","instructions":[]})", "instructions"},
      {R"({"input":"x","conversation":"c"})", "conversation"},
      {R"({"input":"x","prompt":{"id":"p"}})", "prompt"},
      {R"({"input":"x","model":"other"})", "model"}};
  for (const auto& [body, param] : cases) {
    EXPECT_EQ(refusal(body), param) << body;
  }
  EXPECT_TRUE(api.backend->requests.empty());
}

TEST_F(Responses, CountsItsInput) {
  const auto stream = api.call(
      "POST", "/v1/responses/input_tokens", R"({"input":"x","model":"tiny"})");
  EXPECT_EQ(
      stream->body, R"({"object":"response.input_tokens","input_tokens":2})");
}

}  // namespace
}  // namespace rapid
