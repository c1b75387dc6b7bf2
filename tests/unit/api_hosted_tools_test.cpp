// Tools that the server runs: who may ask for which, the rounds as one answer,
// and how the dialects show them.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <thread>

#include "api/anthropic_common.h"
#include "api/hosted_tools.h"
#include "api/tool_backend.h"
#include "api_fakes.h"
#include "unit/mcp_fakes.h"

namespace rapid {
namespace {

using chat::Delta;
using chat::Finished;

std::vector<McpServedTool> some_tools() {
  const auto echo = [](const Json& arguments) -> Result<std::string> {
    if (!arguments.contains("text")) {
      return Error{ErrorCode::invalid_argument, "no text"};
    }
    return arguments.at("text").get<std::string>();
  };
  return {
      {{"read", "reads", Json::object(), true}, echo},
      {{"write", "writes", Json::object(), false}, echo},
      {{"erase", "erases", Json::object(), false}, echo}};
}

std::shared_ptr<const HostedTools> hosted(
    std::vector<std::string> allow, const ToolLimits& limits = {}) {
  std::vector<std::unique_ptr<McpClient>> clients;
  McpServerConfig files{.name = "files"};
  files.always_allow = {"write"};
  clients.push_back(loop_client(files, some_tools()));
  clients.push_back(loop_client({.name = "notes"}, some_tools()));
  return std::make_shared<const HostedTools>(
      McpToolBox(std::move(clients)), std::move(allow), limits);
}

// The names that a tool entry adds, or what is wrong.
std::string offered(const HostedOffer& from, const char* entry) {
  HostedOffer offer = from;
  chat::Request request;
  request.tools.push_back({.name = "own"});
  const Json json = Json::parse(entry);
  if (const auto done = offer.add(Fields(json, "tools[0]"), request); !done) {
    return done.error().param + "!";
  }
  std::string out;
  EXPECT_EQ(request.tools.size(), offer.names.size() + 1);
  for (const std::string& name : offer.names) {
    out += name + " ";
  }
  return out;
}

TEST(HostedTools, OnlyWhatIsAllowedIsOffered) {
  const HostedOffer offer{hosted({"files__read", "notes__*"})};
  EXPECT_EQ(
      offered(offer, R"({"type":"mcp"})"),
      "files__read files__write notes__read notes__write notes__erase ");
  EXPECT_EQ(
      offered(offer, R"({"server_label":"files"})"),
      "files__read files__write ");
  EXPECT_EQ(
      offered(
          offer,
          R"({"server_label":"notes","require_approval":"never",
              "allowed_tools":["erase","notes__read"]})"),
      "notes__read notes__erase ");
  EXPECT_EQ(
      offered(
          offer,
          R"({"server_label":"files","allowed_tools":{"read_only":true}})"),
      "files__read ");
}

TEST(HostedTools, WrongWishesNameTheField) {
  const HostedOffer offer{hosted({"files__read"})};
  for (const auto& [entry, param] :
       std::vector<std::pair<const char*, const char*>>{
           {R"({"server_label":"mail"})", "tools[0].server_label!"},
           {R"({"server_label":"notes"})", "tools[0].server_label!"},
           {R"({"server_label":"files","allowed_tools":["erase"]})",
            "tools[0].allowed_tools!"},
           {R"({"server_label":"mail","server_url":"http://x"})",
            "tools[0].server_label!"},
           {R"({"server_label":"files","require_approval":"always"})",
            "tools[0].require_approval!"},
           {R"({"server_label":7})", "tools[0].server_label!"}}) {
    EXPECT_EQ(offered(offer, entry), param) << entry;
  }
  EXPECT_EQ(offered({}, "{}"), "tools[0].type!");
  HostedOffer twice = offer;
  chat::Request request;
  request.tools.push_back({.name = "files__read"});
  EXPECT_FALSE(twice.add(Fields(Json::object(), "t"), request));
}

// A sink whose end can be waited for.
struct Heard {
  ChatSink sink() {
    return [this](const chat::Event& event) {
      std::lock_guard lock(mutex);
      events.push_back(event);
      over = over || std::holds_alternative<chat::Done>(event) ||
             std::holds_alternative<chat::Failed>(event);
      changed.notify_all();
    };
  }
  void wait() {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(
        lock, std::chrono::seconds(30), [this] { return over; }));
  }
  // One letter an event: Text, Call, Run, reSult, Finished, Done, eRror.
  std::string letters() {
    std::lock_guard lock(mutex);
    std::string out;
    for (const chat::Event& event : events) {
      const auto* run = std::get_if<chat::ToolRun>(&event);
      out += std::holds_alternative<Delta>(event)                 ? 'T'
             : std::holds_alternative<chat::ToolCallEvent>(event) ? 'C'
             : run != nullptr && run->result                      ? 'S'
             : run != nullptr                                     ? 'R'
             : std::holds_alternative<Finished>(event)            ? 'F'
             : std::holds_alternative<chat::Done>(event)          ? 'D'
             : std::holds_alternative<chat::Failed>(event)        ? 'E'
                                                                  : '.';
    }
    return out;
  }
  template <typename T>
  T last() {
    std::lock_guard lock(mutex);
    for (size_t i = events.size(); i-- > 0;) {
      if (const auto* found = std::get_if<T>(&events[i])) {
        return *found;
      }
    }
    ADD_FAILURE() << "no such event";
    return {};
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<chat::Event> events;
  bool over = false;
};

class ToolBackendTest : public testing::Test {
 protected:
  // The n-th round calls what calls[n] says, then text.
  void SetUp() override {
    backend->script = [this](
                          const chat::Request& request, const ChatSink& sink) {
      sink(chat::Started{.prompt_tokens = 5});
      sink(Delta{0, Delta::Kind::content, "x", {}});
      const size_t round = backend->requests.size() - 1;
      const auto wanted =
          round < calls.size() ? calls[round] : std::vector<std::string>();
      int index = 0;
      for (const std::string& name : wanted) {
        const auto known = [&](const auto& tool) { return tool.name == name; };
        if (std::ranges::any_of(request.tools, known)) {
          sink(chat::ToolCallEvent{
              0, index, {"c" + name, name, R"({"text":"hi"})"}});
          ++index;
        }
      }
      sink(Finished{
          0,
          index > 0 ? Finished::Reason::tool_calls : Finished::Reason::stop});
      sink(chat::Done{{.prompt_tokens = 5, .completion_tokens = 3}});
    };
    request.messages = {{.role = "user", .content = "q"}};
    request.tools.push_back({.name = "own"});
  }

  // All tools of `tools` are asked for.
  std::shared_ptr<Backend> over(
      const std::shared_ptr<const HostedTools>& tools) {
    HostedOffer offer{tools};
    EXPECT_TRUE(offer.add(Fields(Json::object(), "tools[1]"), request));
    return make_tool_backend(backend, offer, context.background);
  }
  void run(const std::shared_ptr<const HostedTools>& tools) {
    const auto tool_backend = over(tools);
    ASSERT_TRUE(tool_backend->submit(request, heard.sink()));
    heard.wait();
  }

  std::shared_ptr<FakeBackend> backend = std::make_shared<FakeBackend>();
  std::vector<std::vector<std::string>> calls;
  chat::Request request;
  Heard heard;
  ApiContext context;
};

TEST_F(ToolBackendTest, RoundsAreOneAnswer) {
  calls = {{"files__write", "files__read"}, {"files__read"}};
  request.tool_choice.kind = chat::ToolChoice::Kind::required;
  run(hosted({"files__read"}));
  EXPECT_EQ(heard.letters(), ".TRSRSTRSTFD");
  EXPECT_EQ(*heard.last<chat::ToolRun>().result, "hi");
  EXPECT_EQ(heard.last<chat::ToolRun>().server, "files");
  EXPECT_EQ(heard.last<Finished>().reason, Finished::Reason::stop);
  const chat::Usage usage = heard.last<chat::Done>().usage;
  EXPECT_EQ(usage.prompt_tokens, 15);
  EXPECT_EQ(usage.completion_tokens, 9);
  ASSERT_EQ(backend->requests.size(), 3u);
  const auto& messages = backend->requests[1].messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].content, "x");
  EXPECT_EQ(messages[1].tool_calls.size(), 2u);
  EXPECT_EQ(messages[3].content, "hi");
  // Had it to call for ever, it would never answer.
  EXPECT_EQ(
      backend->requests[1].tool_choice.kind, chat::ToolChoice::Kind::automatic);
}

TEST_F(ToolBackendTest, TheClientsCallsEndIt) {
  calls = {{"own", "files__write"}};
  run(hosted({}));
  EXPECT_EQ(heard.letters(), ".TCRSFD");
  EXPECT_EQ(heard.last<chat::ToolCallEvent>().index, 0);
  EXPECT_EQ(heard.last<Finished>().reason, Finished::Reason::tool_calls);
}

TEST_F(ToolBackendTest, RoundsAndTokensAreBounded) {
  calls.assign(9, {"files__write"});
  run(hosted({}, {.rounds = 2}));
  EXPECT_EQ(heard.letters(), ".TRSTRSTFD");
  EXPECT_EQ(backend->requests.back().tools.size(), 1u);  // the client's own
  heard.events.clear();
  heard.over = false;
  backend->requests.clear();
  request.tools.resize(1);
  request.max_tokens = 6;
  run(hosted({}));
  EXPECT_EQ(heard.letters(), ".TRSTRSFD");
  EXPECT_EQ(backend->requests[1].max_tokens, 3);
  EXPECT_EQ(heard.last<Finished>().reason, Finished::Reason::length);
  EXPECT_TRUE(heard.last<chat::ToolRun>().is_error);  // it was not run
}

TEST_F(ToolBackendTest, RefusalsAreTold) {
  backend->refusal = Error{ErrorCode::busy, "full"};
  run(hosted({"files__read"}));
  EXPECT_EQ(heard.letters(), "E");
  EXPECT_EQ(heard.last<chat::Failed>().error.code, ErrorCode::busy);
  request.choices = 2;
  request.tools.resize(1);
  EXPECT_EQ(
      over(hosted({"files__read"}))
          ->submit(request, heard.sink())
          .error()
          .param,
      "n");
}

TEST_F(ToolBackendTest, NothingIsHeardOnceCancelled) {
  backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Started{});  // and never more
  };
  const auto tools = hosted({"files__read"});
  {
    const auto tool_backend = over(tools);
    const auto ticket = tool_backend->submit(request, heard.sink());
    ASSERT_TRUE(ticket);
    tool_backend->cancel(*ticket);
    std::lock_guard lock(heard.mutex);
    heard.events.clear();
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (tools->running > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(tools->running, 0);
  EXPECT_EQ(heard.letters(), "");
}

// Text, a call that is run, text.
void shown_script(const chat::Request&, const ChatSink& sink) {
  sink(chat::Started{});
  sink(Delta{0, Delta::Kind::content, "Let me see.", {}});
  chat::ToolRun run{{"call_1", "files__read", "{\"a\":1}"}, "files", "read"};
  sink(run);
  run.result = "gone";
  run.is_error = true;
  sink(run);
  sink(Delta{0, Delta::Kind::content, "No.", {}});
  sink(Finished{0, Finished::Reason::stop});
  sink(chat::Done{});
}

constexpr const char* kChat = "/v1/chat/completions";

TEST(HostedToolsShown, InAChat) {
  Api api;
  api.backend->script = shown_script;
  const Json whole = api.json(api.call(
      "POST", kChat, R"({"messages":[{"role":"user","content":"q"}]})"));
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "Let me see.\n\nNo.");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
  const Json& run = whole["rapid_mlx"]["tool_runs"][0];
  EXPECT_EQ(run["name"], "read");
  EXPECT_EQ(run["result"], "gone");
  EXPECT_EQ(run["is_error"], true);
  const auto stream = api.call(
      "POST",
      kChat,
      R"({"stream":true,"messages":[{"role":"user","content":"q"}]})");
  std::string text;
  int runs = 0;
  for (const std::string& event : stream->events) {
    const auto chunk = parse_json(event);
    if (chunk) {
      // What every client looks at is there.
      const Json& delta = chunk->at("choices").at(0).at("delta");
      text += delta.value("content", "");
      runs += chunk->contains("rapid_mlx") ? 1 : 0;
    }
  }
  EXPECT_EQ(text, "Let me see.\n\nNo.");
  EXPECT_EQ(runs, 2);
}

TEST(HostedToolsShown, InAResponseAndBack) {
  Api api;
  api.backend->script = shown_script;
  const auto stream =
      api.call("POST", "/v1/responses", R"({"input":"q","stream":true})");
  std::string of_call;
  for (const std::string& name : stream->names) {
    of_call += name.find("mcp") != std::string::npos ? name + "\n" : "";
  }
  EXPECT_EQ(
      of_call,
      "response.mcp_call.in_progress\n"
      "response.mcp_call_arguments.delta\n"
      "response.mcp_call_arguments.done\n"
      "response.mcp_call.failed\n");
  const Json response = parse_json(stream->events.back())->at("response");
  ASSERT_EQ(response["output"].size(), 3u);
  const Json& item = response["output"][1];
  EXPECT_EQ(item["type"], "mcp_call");
  EXPECT_EQ(item["status"], "failed");
  EXPECT_EQ(item["output"], "gone");
  EXPECT_EQ(item["error"]["type"], "mcp_tool_execution_error");
  api.call(
      "POST",
      "/v1/responses",
      dump_json(
          {{"input", "go on"}, {"previous_response_id", response["id"]}}));
  const auto& messages = api.backend->requests.back().messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[1].content, "Let me see.");
  EXPECT_EQ(messages[1].tool_calls[0].name, "files__read");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].content, "gone");
  EXPECT_EQ(messages[2].tool_call_id, messages[1].tool_calls[0].id);
  EXPECT_EQ(messages[3].content, "No.");
}

TEST(HostedToolsShown, InAMessageAndBack) {
  Api api;
  api.backend->script = shown_script;
  const char* kAsk = R"({"max_tokens":9,"stream":STREAM,"messages":[
      {"role":"user","content":"q"}]})";
  const auto body = [&](const char* stream) {
    std::string out = kAsk;
    return out.replace(out.find("STREAM"), 6, stream);
  };
  const Json whole = api.json(api.call("POST", "/v1/messages", body("false")));
  const Json& content = whole["content"];
  ASSERT_EQ(content.size(), 4u);
  EXPECT_EQ(
      content[1],
      Json::parse(R"({"type":"mcp_tool_use","id":"call_1","name":"read",
                      "server_name":"files","input":{"a":1}})"));
  EXPECT_EQ(
      content[2],
      Json::parse(R"({"type":"mcp_tool_result","tool_use_id":"call_1",
                      "is_error":true,
                      "content":[{"type":"text","text":"gone"}]})"));
  EXPECT_EQ(whole["stop_reason"], "end_turn");
  const auto stream = api.call("POST", "/v1/messages", body("true"));
  std::string kinds;
  for (const std::string& event : stream->events) {
    const auto json = parse_json(event);
    if (json && json->value("type", "") == "content_block_start") {
      kinds += json->at("content_block").at("type").get<std::string>() + " ";
    }
  }
  EXPECT_EQ(kinds, "text mcp_tool_use mcp_tool_result text ");
  api.call(
      "POST",
      "/v1/messages",
      dump_json(
          {{"max_tokens", 9},
           {"messages",
            {{{"role", "user"}, {"content", "q"}},
             {{"role", "assistant"}, {"content", content}},
             {{"role", "user"}, {"content", "go on"}}}}}));
  const auto& messages = api.backend->requests.back().messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[1].content, "Let me see.");
  EXPECT_EQ(messages[1].tool_calls.at(0).name, "files__read");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].content, "Error: gone");
  EXPECT_EQ(messages[2].tool_call_id, "call_1");
  EXPECT_EQ(messages[3].content, "No.");
}

TEST(HostedToolsShown, AskedForInAMessage) {
  Api api;
  const auto names = [&](const char* more) -> std::string {
    Json body = Json::parse(more);
    body["max_tokens"] = 9;
    body["messages"] = Json::array({{{"role", "user"}, {"content", "q"}}});
    const auto ask = read_anthropic({.body = dump_json(body)}, api.context);
    if (!ask) {
      return ask.error().param + "!";
    }
    std::string out;
    for (const chat::Tool& tool : ask->request.tools) {
      out += tool.name + " ";
    }
    return out;
  };
  const char* kServer = R"({"mcp_servers":[{"name":"notes","type":"url",
      "url":"https://not.followed"}]})";
  EXPECT_EQ(names(kServer), "") << "no tools here: ignored, as before";
  api.context.set_hosted_tools(hosted({"files__read", "notes__*"}));
  EXPECT_EQ(names(kServer), "notes__read notes__write notes__erase ");
  EXPECT_EQ(
      names(R"({"mcp_servers":[{"name":"notes","tool_configuration":{
                "allowed_tools":["read"]}}]})"),
      "notes__read ");
  EXPECT_EQ(
      names(R"({"mcp_servers":[{"name":"notes"}],"tools":[
                {"type":"mcp_toolset","mcp_server_name":"notes",
                 "configs":{"erase":{"enabled":false}}}]})"),
      "notes__read notes__write ");
  EXPECT_EQ(
      names(R"({"tools":[{"type":"mcp_toolset","mcp_server_name":"files",
                "default_config":{"enabled":false},
                "configs":{"read":{"enabled":true}}}]})"),
      "files__read ");
  EXPECT_EQ(
      names(R"({"mcp_servers":[{"name":"nobody"}]})"), "mcp_servers[0].name!");
  EXPECT_EQ(names(R"({"mcp_servers":[{"url":"x"}]})"), "mcp_servers[0].name!");
  EXPECT_EQ(
      names(R"({"tools":[{"type":"mcp_toolset","mcp_server_name":"files",
                "default_config":{"enabled":false},
                "configs":{"erase":{"enabled":true}}}]})"),
      "tools[0].configs!")
      << "not allowed by the operator";
}

TEST(HostedToolsShown, RoutesOfTheirOwn) {
  Api api;
  EXPECT_EQ(api.call("GET", "/v1/mcp/tools")->status, 404);
  EXPECT_EQ(
      api.json(api.call(
          "POST",
          kChat,
          R"({"messages":[{"role":"user","content":"q"}],
              "tools":[{"type":"mcp"}]})"))["error"]["param"],
      "tools[0].type");
  api.context.set_hosted_tools(hosted({"notes__read"}));
  const Json tools = api.json(api.call("GET", "/v1/mcp/tools"));
  EXPECT_EQ(tools["count"], 2);
  EXPECT_EQ(tools["tools"][1]["server"], "notes");
  EXPECT_EQ(
      api.json(api.call("GET", "/v1/mcp/servers"))["servers"][0]["tools"], 3);
  EXPECT_EQ(
      api.call("POST", "/v1/mcp/execute", R"({"tool_name":"notes__erase"})")
          ->status,
      400);
}

}  // namespace
}  // namespace rapid
