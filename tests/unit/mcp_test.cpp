// The Model Context Protocol: configuration, both sides of a session.
#include <gtest/gtest.h>

#include <deque>
#include <fstream>

#include "mcp/config.h"
#include "mcp/server.h"
#include "mcp/tool_box.h"
#include "mcp/tool_rounds.h"
#include "unit/mcp_fakes.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

McpConfig parsed(const char* text) {
  auto config = parse_mcp_config(
      Json::parse(text),
      [](const std::string& name) { return "<" + name + ">"; });
  EXPECT_TRUE(config) << config.error().what;
  return config ? *config : McpConfig{};
}

TEST(McpConfigTest, ReadsBothKindsOfServers) {
  const McpConfig config = parsed(R"({"mcpServers": {
    "files": {"command": "npx", "args": ["-y", "${PKG}"],
              "env": {"KEY": "a${K}b"}, "alwaysAllow": ["read"]},
    "notes": {"url": "http://h/mcp", "headers": {"X": "${T}"},
              "timeout": 5},
    "off": {"command": "x", "disabled": true},
    "off2": {"command": "x", "enabled": false}}})");
  ASSERT_EQ(config.servers.size(), 2u);
  EXPECT_TRUE(config.left_out.empty());
  EXPECT_EQ(config.servers[0].arguments[1], "<PKG>");
  EXPECT_EQ(config.servers[0].environment.at("KEY"), "a<K>b");
  EXPECT_EQ(config.servers[0].always_allow[0], "read");
  EXPECT_EQ(config.servers[1].headers.at("X"), "<T>");
  EXPECT_EQ(config.servers[1].timeout, 5);
}

TEST(McpConfigTest, WrongEntriesAreLeftOutAndTold) {
  const McpConfig config = parsed(R"({"servers": {
    "none": {}, "both": {"command": "a", "url": "http://h"},
    "old": {"type": "sse", "url": "http://h/sse"}, "text": "x",
    "args": {"command": "a", "args": "b"},
    "scheme": {"url": "file:///x"},
    "time": {"command": "a", "timeout": "5"},
    "good": {"command": "a"}}})");
  EXPECT_EQ(config.servers.size(), 1u);
  ASSERT_EQ(config.left_out.size(), 7u);
  EXPECT_NE(config.left_out[0].what.find("none"), std::string::npos);
  const auto none = [](const std::string&) { return std::string(); };
  EXPECT_FALSE(parse_mcp_config(Json::parse("[]"), none));
  EXPECT_FALSE(parse_mcp_config(Json::parse("{}"), none));
}

std::vector<McpServedTool> echo_tools() {
  std::vector<McpServedTool> out;
  out.push_back(
      {{"echo",
        "says it again",
        {{"type", "object"}, {"properties", {{"text", {{"type", "string"}}}}}},
        true},
       [](const Json& arguments) -> Result<std::string> {
         if (!arguments.contains("text")) {
           return Error{ErrorCode::invalid_argument, "no text", "say one"};
         }
         return arguments.at("text").get<std::string>();
       }});
  out.push_back(
      {{"a.b c", ""}, [](const Json&) { return std::string(40'000, 'x'); }});
  return out;
}

TEST(McpServerTest, AnswersAsTheProtocolHasIt) {
  const McpServer server("us", "1", echo_tools());
  const auto ask = [&](const char* text) {
    return server.reply(Json::parse(text));
  };
  EXPECT_EQ(
      ask(R"({"id": 1, "method": "initialize",
              "params": {"protocolVersion": "2025-03-26"}})")
          ["result"]["protocolVersion"],
      "2025-03-26");
  EXPECT_EQ(
      ask(R"({"id": 1, "method": "initialize",
              "params": {"protocolVersion": "2099-01-01"}})")
          ["result"]["protocolVersion"],
      "2025-06-18");
  EXPECT_TRUE(ask(R"({"method": "notifications/initialized"})").is_null());
  EXPECT_EQ(ask(R"({"id": "p", "method": "ping"})")["id"], "p");
  EXPECT_EQ(ask(R"({"id": 2, "method": "x"})")["error"]["code"], -32601);
  EXPECT_EQ(ask("[]")["error"]["code"], -32600);
  EXPECT_EQ(
      ask(R"({"id": 3, "method": "tools/call", "params": {"name": "no"}})")
          ["error"]["code"],
      -32602);
  const Json failed =
      ask(R"({"id": 4, "method": "tools/call", "params": {"name": "echo"}})");
  EXPECT_EQ(failed["result"]["isError"], true);
  EXPECT_EQ(failed["result"]["content"][0]["text"], "no text; say one");
}

McpToolBox box_of(const std::vector<std::string>& names) {
  std::vector<std::unique_ptr<McpClient>> clients;
  for (const std::string& name : names) {
    McpServerConfig config{.name = name};
    config.always_allow = {"echo"};
    clients.push_back(loop_client(config, echo_tools()));
  }
  return McpToolBox(std::move(clients));
}

TEST(McpToolBoxTest, NamesAreOnesThatModelsMayWrite) {
  const McpToolBox box = box_of({"my files", "my_files", std::string(80, 'n')});
  std::vector<std::string> names;
  for (const chat::Tool& tool : box.tools()) {
    names.push_back(tool.name);
    EXPECT_LE(tool.name.size(), 64u);
    EXPECT_EQ(tool.parameters["type"], "object");
    EXPECT_EQ(tool.declaration["function"]["name"], tool.name);
  }
  ASSERT_EQ(names.size(), 6u);
  EXPECT_EQ(names[0], "my_files__echo");
  EXPECT_EQ(names[1], "my_files__a_b_c");
  EXPECT_EQ(names[2], "my_files__echo_2");
  EXPECT_NE(names[4], names[5]);
}

TEST(McpToolBoxTest, CallsAndTellsWhatFails) {
  const McpToolBox box = box_of({"s"});
  const auto going = [] { return true; };
  EXPECT_EQ(box.call("s__echo", R"({"text": "hi"})", going)->text, "hi");
  for (const char* arguments : {"", "{}", "[1]", "{\"a\":"}) {
    const auto result = box.call("s__echo", arguments, going);
    ASSERT_TRUE(result);
    EXPECT_TRUE(result->is_error) << arguments;
  }
  EXPECT_TRUE(box.call("nobody", "{}", going)->is_error);
  EXPECT_FALSE(box.call("s__echo", "{}", [] { return false; }));
  const auto large = box.call("s__a_b_c", "{}", going);
  EXPECT_LT(large->text.size(), 33'000u);
  EXPECT_NE(large->text.find("of 40000 bytes"), std::string::npos);
  EXPECT_TRUE(box.always_allowed("s__echo"));
  EXPECT_FALSE(box.always_allowed("s__a_b_c"));
}

// A model that says again and again what it said first.
struct Rounds {
  McpToolBox box = box_of({"s"});
  ToolRound said = {
      .text = "t", .calls = {{"c1", "s__echo", R"({"text":"hi"})"}}};
  std::vector<bool> offered;
  std::vector<std::string> results;

  std::vector<chat::Message> run(const ToolLimits& limits, bool allow = true) {
    const auto turns = run_tool_rounds(
        [&](const auto& history, bool offer) -> Result<ToolRound> {
          EXPECT_EQ(history[0].content, "q");
          offered.push_back(offer);
          return offer ? said : ToolRound{.text = "end"};
        },
        {{.role = "user", .content = "q"}},
        {.box = box,
         .limits = limits,
         .allowed = [&](const chat::ToolCall&) { return allow; },
         .ended =
             [&](const chat::ToolCall&, const McpResult& result) {
               results.push_back(result.text);
             }});
    EXPECT_TRUE(turns);
    return turns ? *turns : std::vector<chat::Message>();
  }
};

TEST(ToolRoundsTest, EndWithTheRounds) {
  Rounds rounds;
  const auto turns = rounds.run({.rounds = 2});
  EXPECT_EQ(rounds.offered, (std::vector{true, true, false}));
  ASSERT_EQ(turns.size(), 4u);
  EXPECT_EQ(turns[2].role, "assistant");
  EXPECT_EQ(turns[2].tool_calls[0].id, "c1");
  EXPECT_EQ(turns[3].role, "tool");
  EXPECT_EQ(turns[3].content, "hi");
  EXPECT_EQ(turns[3].tool_call_id, "c1");
}

TEST(ToolRoundsTest, EndWithCallsAndBytesAndTime) {
  Rounds calls;
  EXPECT_EQ(calls.run({.calls = 3}).size(), 6u);
  EXPECT_EQ(calls.results, (std::vector<std::string>{"hi", "hi", "hi"}));
  Rounds bytes;
  bytes.said.calls.push_back(bytes.said.calls[0]);
  bytes.run({.bytes = 3});
  ASSERT_EQ(bytes.results.size(), 2u);
  EXPECT_EQ(bytes.results[0], "hi");
  EXPECT_NE(bytes.results[1].find("too long"), std::string::npos);
  Rounds time;
  time.run({.seconds = 0});
  EXPECT_EQ(time.offered, std::vector{false});
}

TEST(ToolRoundsTest, ForbiddenCallsAndThoseOfOthers) {
  Rounds forbidden;
  forbidden.run({.rounds = 1}, false);
  ASSERT_EQ(forbidden.results.size(), 1u);
  EXPECT_NE(forbidden.results[0].find("not allow"), std::string::npos);
  Rounds mixed;
  mixed.said.calls.push_back({"c2", "theirs", "{}"});
  EXPECT_TRUE(mixed.run({}).empty());
  EXPECT_EQ(mixed.offered.size(), 1u);
  EXPECT_EQ(mixed.results, std::vector<std::string>{"hi"});
  Rounds cut;
  cut.said.last = true;
  cut.run({});
  ASSERT_EQ(cut.results.size(), 1u);
  EXPECT_NE(cut.results[0].find("not run"), std::string::npos);
}

TEST(McpTextTest, ContentOfEveryKind) {
  EXPECT_EQ(
      mcp_text(Json::parse(R"({"content": [
        {"type": "text", "text": "a"},
        {"type": "image", "mimeType": "image/png", "data": "x"},
        {"type": "resource", "resource": {"uri": "f:/a", "text": "b"}},
        {"type": "resource_link", "uri": "f:/c"}]})")),
      "a\n[image image/png]\nb\n[resource_link f:/c]");
  EXPECT_EQ(
      mcp_text(Json::parse(R"({"structuredContent": {"n": 1}})")),
      R"({"n":1})");
}

// A real child process that speaks over its standard streams.
class McpStdioTest : public testing::Test {
 protected:
  std::unique_ptr<McpClient> start(const std::string& script) {
    std::ofstream(folder.path() / "server.py") << script;
    auto client = McpClient::start(
        {.name = "py",
         .command = "python3",
         .arguments = {(folder.path() / "server.py").string()},
         .environment = {{"GREETING", "hello there"}},
         .folder = folder.path().string(),
         .timeout = 20},
        folder.path() / "logs",
        [] { return true; });
    if (!client) {
      error = client.error();
      return nullptr;
    }
    return std::move(*client);
  }

  test::TempFolder folder;
  Error error;
};

constexpr const char* kPythonServer = R"(
import json, os, sys
print("not a message")
sys.stderr.write("started\n")
for line in sys.stdin:
    m = json.loads(line)
    if m["method"] == "initialize":
        r = {"protocolVersion": "2024-11-05", "serverInfo": {"name": "py", "version": "2"}}
    elif m["method"] == "tools/list":
        if "cursor" not in m["params"]:
            r = {"tools": [{"name": "greet"}], "nextCursor": "2"}
        else:
            r = {"tools": [{"name": "die"}]}
    elif m["method"] == "tools/call":
        if m["params"]["name"] == "die":
            sys.exit(3)
        print(json.dumps({"jsonrpc": "2.0", "id": "q", "method": "ping"}), flush=True)
        assert json.loads(sys.stdin.readline())["id"] == "q"
        r = {"content": [{"type": "text", "text": os.environ["GREETING"] + " " + os.path.basename(os.getcwd())}]}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
)";

TEST_F(McpStdioTest, TalksToAChild) {
  const auto client = start(kPythonServer);
  ASSERT_NE(client, nullptr) << error.what;
  EXPECT_EQ(client->title(), "py 2");
  ASSERT_EQ(client->tools().size(), 2u);
  const auto going = [] { return true; };
  const auto result = client->call("greet", Json::object(), going);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(result->text, "hello there " + folder.path().filename().string());
  const auto died = client->call("die", Json::object(), going);
  ASSERT_FALSE(died);
  EXPECT_NE(died.error().what.find("exit status 3"), std::string::npos)
      << died.error().what;
  const auto again = client->call("greet", Json::object(), going);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->text, result->text);
  std::ifstream log(folder.path() / "logs/mcp-py.log");
  std::string line;
  std::getline(log, line);
  EXPECT_EQ(line, "started");
}

TEST_F(McpStdioTest, AServerThatDoesNotStartIsAnError) {
  EXPECT_EQ(start("import sys; sys.exit(7)"), nullptr);
  EXPECT_NE(error.what.find("py"), std::string::npos);
  const auto missing = McpClient::start(
      {.name = "none", .command = "no-such-program-at-all"}, folder.path(), [] {
        return true;
      });
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rapid
