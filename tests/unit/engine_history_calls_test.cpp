// Calls in history: in the format's own words where the template has none, and
// with the ids that a template takes their names from.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/history.h"
#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {
namespace {

using chat::Message;
using chat::ToolCall;

Json tool(const char* name) {
  Json out = Json::object();
  out["type"] = "function";
  out["function"] = {
      {"name", name},
      {"parameters",
       {{"type", "object"},
        {"properties",
         {{"path", {{"type", "string"}}},
          {"code", {{"type", "string"}}},
          {"depth", {{"type", "integer"}}},
          {"deep", {{"type", "object"}}}}}}}};
  return out;
}

// Knows neither tools nor calls: what stands between its marks is content.
Result<RenderedPrompt> only_content(const TemplateInput& input) {
  RenderedPrompt out;
  for (const Json& message : input.messages) {
    const std::string role = message["role"];
    if (role == "tool" || !message["content"].is_string()) {
      continue;
    }
    out.text += "[" + role + "]" + message["content"].get<std::string>() +
                "[/" + role + "]";
  }
  return out;
}

std::string between(
    const std::string& text, const std::string& begin, const std::string& end) {
  const size_t at = text.find(begin);
  if (at == std::string::npos) {
    return "nothing after " + begin + " in " + text;
  }
  const size_t from = at + begin.size();
  return text.substr(from, text.find(end, from) - from);
}

std::vector<ToolCall> parsed(
    const OutputFormat& format, const std::string& text) {
  FormatInput input;
  for (const char* name : {"read", "write_file"}) {
    input.tools.push_back(
        {.name = name, .parameters = tool(name)["function"]["parameters"]});
  }
  std::vector<FormatEvent> events;
  const auto machine = start_machine(format, input);
  machine->feed(text, events);
  machine->finish(FinishCause::end, events);
  std::vector<ToolCall> out;
  for (const FormatEvent& event : events) {
    if (const auto* call = std::get_if<FormatCall>(&event)) {
      out.push_back({"", call->name, call->arguments});
    }
  }
  return out;
}

TEST(HistoryCalls, InTheFormatsOwnWordsAndReadBack) {
  const std::vector<ToolCall> calls = {
      {"c1", "read", R"({"path":"/tmp/ä \"q\"","depth":3})"},
      {"c2",
       "write_file",
       R"({"path":"b","code":"if (a < b) {\n  f();\n}","deep":{"x":[1,null]}})"}};
  std::vector<Message> history = {{.role = "user", .content = "q"}};
  history.push_back({.role = "assistant", .content = "Let me look."});
  history.back().tool_calls = calls;
  history.push_back({.role = "tool", .content = "found", .tool_call_id = "c1"});
  TemplateInput input;
  input.tools = Json::array({tool("read"), tool("write_file")});

  int formats = 0;
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    // A screen agent's actions are no JSON calls.
    if (format->syntaxes().empty() || format->name() == "ui_tars") {
      continue;
    }
    SCOPED_TRACE(format->name());
    const HistoryOptions options{
        .support = probe_template(only_content),
        .render_calls = render_calls_of(*format)};
    ASSERT_FALSE(options.support.with_tools.calls);
    const auto prompt = render_history(only_content, history, input, options);
    ASSERT_TRUE(prompt) << prompt.error().what;
    const std::string turn =
        between(prompt->text, "[assistant]", "[/assistant]");
    EXPECT_TRUE(turn.starts_with("Let me look.\n")) << turn;
    const auto back = parsed(*format, turn);
    ASSERT_EQ(back.size(), calls.size()) << turn;
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(back[i].name, calls[i].name);
      EXPECT_EQ(*parse_json(back[i].arguments), *parse_json(calls[i].arguments))
          << turn;
    }
    // The system message teaches the same way of writing.
    const std::string taught = between(prompt->text, "write:\n", "[/system]");
    EXPECT_NE(taught.find("FUNCTION_NAME"), std::string::npos) << taught;
    EXPECT_NE(prompt->text.find("found"), std::string::npos);
    ++formats;
  }
  EXPECT_GE(formats, 20);
}

TEST(HistoryCalls, AFormatWithoutCallsHasNoRenderer) {
  const OutputFormat* plain = FormatRegistry::global().find("plain");
  EXPECT_EQ(render_calls_of(*plain), nullptr);
}

// Templates that print ids: a call's own, or one that they count.
enum class Prints { name_and_id, id, number, number_in_message };

RenderTemplate printing(Prints prints) {
  return [prints](const TemplateInput& input) -> Result<RenderedPrompt> {
    RenderedPrompt out;
    int number = 0;
    for (const Json& message : input.messages) {
      out.text += message["role"].get<std::string>() + ":" +
                  (message["content"].is_string()
                       ? message["content"].get<std::string>()
                       : "");
      number = prints == Prints::number_in_message ? 0 : number;
      for (const Json& call : message.value("tool_calls", Json::array())) {
        const std::string name = call["function"]["name"];
        const std::string id = call["id"];
        out.text += prints == Prints::name_and_id ? "<" + name + "#" + id + ">"
                    : prints == Prints::id
                        ? "<" + id + ">"
                        : fmt::format("<functions.{}:{}>", name, number++);
        out.text += dump_json(call["function"]["arguments"]);
      }
      if (message["role"] == "tool") {
        out.text += "@" + message["tool_call_id"].get<std::string>();
      }
      out.text += ";";
    }
    if (!input.tools.is_null()) {
      out.text += dump_json(input.tools);
    }
    return out;
  };
}

std::string numbered(Prints prints, const std::vector<Message>& messages) {
  const auto render = printing(prints);
  const HistoryOptions options{.support = probe_template(render)};
  EXPECT_TRUE(options.support.without_tools.calls);
  EXPECT_TRUE(options.support.without_tools.parallel);
  const auto prompt = render_history(render, messages, {}, options);
  return prompt ? prompt->text : "error: " + prompt.error().what;
}

Message calling(std::vector<ToolCall> calls) {
  Message out{.role = "assistant"};
  out.tool_calls = std::move(calls);
  return out;
}

Message result(std::string id, std::string content) {
  return {
      .role = "tool",
      .content = std::move(content),
      .tool_call_id = std::move(id)};
}

TEST(HistoryCalls, IdsAreWhatTheTemplateMakesOfThem) {
  // As other servers write ids: none twice the same, then all the same.
  const std::vector<Message> messages = {
      calling({{"call_x", "f", "{}"}, {"call_y", "g", "{}"}}),
      result("call_y", "2"),
      result("call_x", "1"),
      calling({{"call_x", "f", "{}"}}),
      result("call_x", "3"),
      calling({{"", "h", "{}"}}),
      result("", "4")};
  const std::string counted =
      "assistant:<functions.f:0>{}<functions.g:1>{};tool:1@functions.f:0;"
      "tool:2@functions.g:1;assistant:<functions.f:2>{};tool:3@functions.f:2;"
      "assistant:<functions.h:3>{};tool:4@functions.h:3;";
  EXPECT_EQ(numbered(Prints::id, messages), counted);
  EXPECT_EQ(numbered(Prints::number, messages), counted);
  EXPECT_EQ(
      numbered(Prints::number_in_message, messages),
      "assistant:<functions.f:0>{}<functions.g:1>{};tool:1@functions.f:0;"
      "tool:2@functions.g:1;assistant:<functions.f:0>{};tool:3@functions.f:0;"
      "assistant:<functions.h:0>{};tool:4@functions.h:0;");
  EXPECT_EQ(
      numbered(Prints::name_and_id, messages),
      "assistant:<f#call_x>{}<g#call_y>{};tool:1@call_x;tool:2@call_y;"
      "assistant:<f#call_x>{};tool:3@call_x;assistant:<h#call00000>{};"
      "tool:4@call00000;");
}

TEST(HistoryCalls, TwoCallsOfOneIdKeepTheirOrder) {
  EXPECT_EQ(
      numbered(
          Prints::id,
          {calling({{"a", "f", "{}"}, {"a", "f", "{}"}}),
           result("a", "1"),
           result("a", "2"),
           result("no", "3")}),
      "assistant:<functions.f:0>{}<functions.f:1>{};tool:1@functions.f:0;"
      "tool:2@functions.f:1;tool:3@no;");
}

// A probe whose id carries the name shows which format the template is of.
TEST(HistoryCalls, TheProbeOfTheFormatHasTheName) {
  const auto render = printing(Prints::id);
  EXPECT_EQ(
      rendered_call(render, {.support = probe_template(render)}),
      ";assistant:<functions.probe:0>{\"key\":\"value\"};");
}

}  // namespace
}  // namespace rapid
