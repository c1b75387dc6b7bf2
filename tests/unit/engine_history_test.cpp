#include <gtest/gtest.h>

#include <random>

#include "engine/chat_prompt.h"
#include "engine/history.h"
#include "unit/fake_text.h"

namespace rapid {
namespace {

using chat::Message;
using Messages = std::vector<Message>;

Message says(std::string role, std::string content) {
  return {.role = std::move(role), .content = std::move(content)};
}

Message calls(std::vector<chat::ToolCall> list, std::string content = "") {
  Message out = says("assistant", std::move(content));
  out.tool_calls = std::move(list);
  return out;
}

Message result(std::string id, std::string content, std::string name = "") {
  Message out = says("tool", std::move(content));
  out.tool_call_id = std::move(id);
  out.name = std::move(name);
  return out;
}

Error refusal(const char* what) {
  return {ErrorCode::invalid_argument, what, "", "messages"};
}

// role:content; for each message; calls as name(arguments)#id.
RenderedPrompt print(const TemplateInput& input) {
  RenderedPrompt out;
  if (!input.tools.is_null()) {
    out.text += "tools:" + dump_json(input.tools) + ";";
  }
  for (const Json& message : input.messages) {
    out.text += message["role"].get<std::string>() + ":";
    if (message["content"].is_string()) {
      out.text += message["content"].get<std::string>();
    }
    if (message.contains("reasoning_content")) {
      out.text += "~" + message["reasoning_content"].get<std::string>();
    }
    for (const Json& call : message.value("tool_calls", Json::array())) {
      const Json& function = call["function"];
      out.text += function["name"].get<std::string>() + "(" +
                  dump_json(function["arguments"]) + ")#" +
                  call["id"].get<std::string>();
    }
    if (message["role"] == "tool") {
      out.text += "@" + message["tool_call_id"].get<std::string>() + "/" +
                  message["name"].get<std::string>();
    }
    out.text += ";";
  }
  return out;
}

// A template's rule: why it raises, or null.
using Rule = const char* (*)(const Json& messages);

std::string rendered(
    const Messages& messages,
    Rule rule = nullptr,
    HistoryOptions options = {}) {
  const auto prompt = render_history(
      [&](const TemplateInput& input) -> Result<RenderedPrompt> {
        const char* why = rule ? rule(input.messages) : nullptr;
        if (why != nullptr) {
          return refusal(why);
        }
        return print(input);
      },
      messages,
      {},
      options);
  return prompt ? prompt->text : "error: " + prompt.error().what;
}

TEST(History, ArgumentsAreAnObject) {
  const auto repaired = [](const char* text) {
    return dump_json(repaired_arguments(text));
  };
  EXPECT_EQ(repaired(R"( {"b" : 1.0,"a":"\u00e9"} )"), R"({"b":1.0,"a":"é"})");
  EXPECT_EQ(repaired(""), "{}");
  EXPECT_EQ(repaired(" \n"), "{}");
  EXPECT_EQ(repaired("null"), "{}");
  EXPECT_EQ(repaired(R"("")"), "{}");
  EXPECT_EQ(repaired(R"("{\"a\": 1}")"), R"({"a":1})");
  EXPECT_EQ(repaired(R"("text")"), R"({"_raw":"\"text\""})");
  EXPECT_EQ(repaired(R"({"a": "cut)"), R"({"_raw":"{\"a\": \"cut"})");
  EXPECT_EQ(repaired("[1, 2]"), R"({"_raw":"[1, 2]"})");
  EXPECT_EQ(repaired("7"), R"({"_raw":"7"})");
  EXPECT_EQ(repaired("ls -l"), R"({"_raw":"ls -l"})");
  EXPECT_EQ(
      repaired(R"({"a": "\ud800"})"), R"({"_raw":"{\"a\": \"\\ud800\"}"})");
}

// What other clients make of our arguments renders to the same prompt.
TEST(History, WritingDoesNotMatter) {
  const auto with = [](const char* arguments) {
    return rendered({says("user", "q"), calls({{"c1", "f", arguments}})});
  };
  const std::string plain = with(R"({"city":"Köln","n":[1,2]})");
  EXPECT_EQ(with("{ \"city\": \"K\\u00f6ln\",\n\t\"n\": [ 1,2 ] }"), plain);
  EXPECT_EQ(with(R"("{\"city\":\"Köln\",\"n\":[1,2]}")"), plain);
  EXPECT_NE(with(R"({"n":[1,2],"city":"Köln"})"), plain);
}

TEST(History, SpacedJsonIsPythons) {
  auto value =
      parse_json(R"({"a":[1,2.5,null,true],"b":{"c":"x\"\n"},"d":{}})");
  ASSERT_TRUE(value);
  EXPECT_EQ(
      spaced_json(*value),
      R"({"a": [1, 2.5, null, true], "b": {"c": "x\"\n"}, "d": {}})");
}

TEST(History, MissingIdsAndNamesAreFilled) {
  EXPECT_EQ(
      rendered(
          {says("user", "q"),
           calls({{"", "f", "{}"}, {"", "g", "{}"}}),
           result("", "1"),
           result("", "2"),
           calls({{"", "", "{}"}})}),
      "user:q;assistant:f({})#call00000g({})#call00001;"
      "tool:1@call00000/f;tool:2@call00001/g;"
      "assistant:tool({})#call00002;");
  // A sent id that looks like ours stays apart from it.
  EXPECT_EQ(
      rendered({calls({{"call00000", "f", "{}"}, {"", "g", "{}"}})}),
      "assistant:f({})#call00000g({})#call00001;");
}

TEST(History, ResultsFindTheirCalls) {
  const Message two = calls({{"a", "f", "{}"}, {"b", "g", "{}"}});
  // By id, in the order of the calls.
  EXPECT_EQ(
      rendered({two, result("b", "2"), result("a", "1")}),
      "assistant:f({})#ag({})#b;tool:1@a/f;tool:2@b/g;");
  // By name, when the id is unknown.
  EXPECT_EQ(
      rendered({two, result("x", "2", "g"), result("", "1")}),
      "assistant:f({})#ag({})#b;tool:1@a/f;tool:2@b/g;");
  // A duplicate keeps its id; one of no call stands as it came.
  EXPECT_EQ(
      rendered({two, result("a", "1"), result("a", "again")}),
      "assistant:f({})#ag({})#b;tool:1@a/f;tool:again@a/f;");
  EXPECT_EQ(
      rendered({says("user", "q"), result("z", "1"), result("", "2")}),
      "user:q;tool:1@z/tool;tool:2@call00000/tool;");
  // The same id in every turn.
  EXPECT_EQ(
      rendered(
          {calls({{"0", "f", "{}"}}),
           result("0", "1"),
           calls({{"0", "g", "{}"}}),
           result("0", "2")}),
      "assistant:f({})#0;tool:1@0/f;assistant:g({})#0;tool:2@0/g;");
}

TEST(History, CanonicalFormIsAFixedPoint) {
  const Messages once = canonical_history(
      {calls({{"", "f", "[1"}, {"k", "", "null"}}), result("k", "x")}, false);
  const Messages twice = canonical_history(once, false);
  EXPECT_EQ(rendered(once), rendered(twice));
  EXPECT_EQ(once[0].tool_calls[0].arguments, twice[0].tool_calls[0].arguments);
}

TEST(History, DeveloperIsSystemWhereUnknown) {
  EXPECT_EQ(rendered({says("developer", "d")}), "system:d;");
  EXPECT_EQ(
      rendered({says("developer", "d")}, nullptr, {.knows_developer = true}),
      "developer:d;");
}

const char* alternates(const Json& messages) {
  std::string last;
  for (const Json& message : messages) {
    const std::string role = message["role"];
    if (role == "system") {
      if (!last.empty()) {
        return "system message must be first";
      }
      last = "system";
      continue;
    }
    const bool turn = role == (last == "user" ? "assistant" : "user");
    if (!turn) {
      return "roles must alternate";
    }
    last = role;
  }
  return nullptr;
}

TEST(History, OnlyWhatIsRefusedIsRepaired) {
  const Messages twice = {says("user", "a"), says("user", "b")};
  EXPECT_EQ(rendered(twice), "user:a;user:b;");
  EXPECT_EQ(rendered(twice, alternates), "user:a\n\nb;");
  const Messages late = {
      says("user", "a"), says("assistant", "b"), says("system", "c")};
  EXPECT_EQ(rendered(late), "user:a;assistant:b;system:c;");
  EXPECT_EQ(rendered(late, alternates), "user:a;assistant:b;user:c;");
  const Messages empty = {
      says("user", "a"), says("assistant", ""), says("assistant", "b")};
  EXPECT_EQ(rendered(empty, alternates), "user:a;assistant:b;");
  // Calls as text, where no `tool` role is known.
  EXPECT_EQ(
      rendered(
          {says("user", "q"),
           calls({{"1", "f", R"({"a":1})"}}),
           result("1", "x")},
          alternates),
      "user:q;assistant:<tool_call>\n{\"name\": \"f\", \"arguments\": "
      "{\"a\": 1}}\n</tool_call>;user:<tool_response>\nx\n</tool_response>;");
}

TEST(History, ShortIdsWhereDemanded) {
  const auto rule = [](const Json& messages) -> const char* {
    for (const Json& message : messages) {
      for (const Json& call : message.value("tool_calls", Json::array())) {
        if (call["id"].get<std::string>().size() != 9) {
          return "ids of nine characters";
        }
      }
    }
    return nullptr;
  };
  const std::string text = rendered(
      {calls({{"call_123456789", "f", "{}"}}), result("call_123456789", "x")},
      rule);
  ASSERT_TRUE(text.starts_with("assistant:f({})#")) << text;
  const std::string id = text.substr(16, 9);
  EXPECT_EQ(text.substr(25), ";tool:x@" + id + "/f;");
  EXPECT_EQ(
      rendered({calls({{"abcdefghi", "f", "{}"}})}, rule),
      "assistant:f({})#abcdefghi;");
}

TEST(History, EachCallGetsItsResultWhereDemanded) {
  const auto rule = [](const Json& messages) -> const char* {
    for (size_t i = 0; i < messages.size(); ++i) {
      const size_t count =
          messages[i].value("tool_calls", Json::array()).size();
      for (size_t r = 1; r <= count; ++r) {
        if (i + r >= messages.size() || messages[i + r]["role"] != "tool") {
          return "not as many results as calls";
        }
      }
      const bool before = i > 0 && (messages[i - 1]["role"] == "tool" ||
                                    messages[i - 1].contains("tool_calls"));
      if (messages[i]["role"] == "tool" && !before) {
        return "a result of no call";
      }
    }
    return nullptr;
  };
  EXPECT_EQ(
      rendered(
          {says("user", "q"),
           result("b", "early"),
           calls({{"a", "f", "{}"}, {"b", "g", "{}"}}),
           says("user", "wait"),
           result("a", "late"),
           result("a", "more"),
           calls({{"c", "h", "{}"}})},
          rule),
      "user:q;assistant:f({})#ag({})#b;tool:late@a/f;tool:early@b/g;user:wait;"
      "user:<tool_response>\nmore\n</tool_response>;"
      "assistant:h({})#c;tool:@c/h;");
}

TEST(History, ThatNothingHelpsIsTheTemplatesOwnMessage) {
  EXPECT_EQ(
      rendered(
          {says("user", "q")},
          [](const Json&) -> const char* { return "never mind"; }),
      "error: never mind");
}

// A template that prints only role and content.
Result<RenderedPrompt> silent(const TemplateInput& input) {
  RenderedPrompt out;
  for (const Json& message : input.messages) {
    if (message["content"].is_null()) {
      return refusal("content is none");
    }
    if (message["role"] != "tool") {
      out.text += message["role"].get<std::string>() + ":" +
                  message["content"].get<std::string>() + ";";
    }
  }
  return out;
}

TEST(History, NothingIsDroppedInSilence) {
  HistoryOptions options{.support = probe_template(silent)};
  EXPECT_FALSE(options.support.tools);
  EXPECT_FALSE(options.support.with_tools.calls);
  EXPECT_TRUE(options.support.late_system);
  TemplateInput input;
  input.tools = Json::array({{{"name", "f"}}});
  const Messages chat = {
      says("user", "q"),
      calls({{"1", "f", "{}"}}, "Let me see."),
      result("1", "x"),
      result("", "y")};
  const auto prompt = render_history(silent, chat, input, options);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(
      prompt->text,
      "system:# Tools\n\nYou may call the functions that are declared within "
      "<tools></tools>:\n<tools>\n{\"name\": \"f\"}\n</tools>\n\nTo call a "
      "function, write:\n<tool_call>\n{\"name\": \"FUNCTION_NAME\", "
      "\"arguments\": {\"PARAMETER\": \"VALUE\"}}\n</tool_call>;user:q;"
      "assistant:Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}"
      "\n</tool_call>;user:<tool_response>\nx\n</tool_response>\n"
      "<tool_response>\ny\n</tool_response>;");
  // The seam for a model's own format.
  options.render_calls = [](std::span<const chat::ToolCall> list,
                            const ToolSet&) { return "CALL " + list[0].name; };
  const auto own = render_history(silent, chat, {}, options);
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->text.starts_with(
      "user:q;assistant:Let me see.\nCALL f;user:<tool_response>"));
}

// Knows calls only as text, without content, one in a message.
Result<RenderedPrompt> narrow(const TemplateInput& input) {
  for (const Json& message : input.messages) {
    for (const Json& call : message.value("tool_calls", Json::array())) {
      if (!call["function"]["arguments"].is_string()) {
        return refusal("can only concatenate str");
      }
    }
    if (message.contains("tool_calls") && message["tool_calls"].size() > 1) {
      return refusal("one call at once");
    }
  }
  TemplateInput copy = input;
  for (Json& message : copy.messages) {
    if (message.contains("tool_calls") && !message["content"].is_null()) {
      message.erase("tool_calls");
    }
    if (message["role"] == "tool") {
      message["name"] = "";
    }
  }
  return print(copy);
}

TEST(History, NarrowTemplatesGetWhatTheyTake) {
  HistoryOptions options{.support = probe_template(narrow)};
  const CallSupport& form = options.support.without_tools;
  EXPECT_TRUE(form.calls && form.results);
  EXPECT_TRUE(form.null_content && form.string_arguments);
  EXPECT_FALSE(form.parallel || form.with_content);
  const auto prompt = render_history(
      narrow,
      {calls({{"a", "f", R"({"x":[1,2]})"}, {"b", "g", ""}}),
       result("b", "2"),
       result("a", "1"),
       calls({{"c", "h", "{}"}}, "text")},
      {},
      options);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(
      prompt->text,
      "assistant:f(\"{\\\"x\\\": [1, 2]}\")#a;tool:1@a/;"
      "assistant:g(\"{}\")#b;tool:2@b/;"
      "assistant:text;assistant:h(\"{}\")#c;");
  // Where that is not taken either, as text.
  options.support.without_tools.after_content = false;
  const auto text =
      render_history(narrow, {calls({{"c", "h", "{}"}}, "text")}, {}, options);
  ASSERT_TRUE(text);
  EXPECT_EQ(
      text->text,
      "assistant:text\n<tool_call>\n{\"name\": \"h\", \"arguments\": {}}\n"
      "</tool_call>;");
}

TEST(History, OneCallForTheChoiceOfFormat) {
  EXPECT_EQ(rendered_call(silent, {.support = probe_template(silent)}), "");
  EXPECT_EQ(
      rendered_call(narrow, {.support = probe_template(narrow)}),
      ";assistant:probe(\"{\\\"key\\\": \\\"value\\\"}\")#call00000;");
}

TEST(History, RequestsWithBrokenCallsMakePrompts) {
  chat::Request request;
  request.messages = {
      says("user", "q"), calls({{"", "f", "{\"a\": \"cu"}}), result("", "")};
  const auto prompts = build_prompts(*fake_text_model(), request);
  ASSERT_TRUE(prompts) << prompts.error().what;
  EXPECT_NE(
      (*prompts)[0].text.find(R"({"_raw":"{\"a\": \"cu"})"), std::string::npos);
}

}  // namespace
}  // namespace rapid
