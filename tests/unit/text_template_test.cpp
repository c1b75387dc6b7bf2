#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "text/chat_template.h"
#include "text/fallback_templates.h"

namespace rapid {
namespace {

Json load(const std::string& name) {
  std::ifstream file(std::string(RAPID_MLX_TEST_DATA) + "/data/" + name);
  std::stringstream text;
  text << file.rdbuf();
  auto json = parse_json(text.str());
  EXPECT_TRUE(json) << name;
  return json ? *json : Json();
}

Result<RenderedPrompt> render(
    std::string_view source, Json messages, TemplateTokens tokens = {}) {
  RAPID_TRY(auto chat, ChatTemplate::compile(source, std::move(tokens)));
  TemplateInput input;
  input.messages = std::move(messages);
  return chat->render(input);
}

Json user(const std::string& content) {
  return Json::array({{{"role", "user"}, {"content", content}}});
}

Json parse_messages(std::string_view text) {
  auto json = parse_json(text);
  EXPECT_TRUE(json);
  return json ? *json : Json();
}

std::string marked(const RenderedPrompt& prompt) {
  std::string out;
  size_t at = 0;
  for (const TextSpan& span : prompt.user_spans) {
    out += prompt.text.substr(at, span.begin - at) + "[" +
           prompt.text.substr(span.begin, span.end - span.begin) + "]";
    at = span.end;
  }
  return out + prompt.text.substr(at);
}

TEST(TextTemplate, EqualsTheReference) {
  Json golden = load("text_templates.json");
  ASSERT_GE(golden["cases"].size(), 10u);
  for (const Json& one : golden["cases"]) {
    auto chat = ChatTemplate::compile(
        one["template"].get<std::string>(), {.bos = "<s>"});
    ASSERT_TRUE(chat) << one["name"] << chat.error().what;
    TemplateInput input;
    input.messages = golden["input"]["messages"];
    input.tools = golden["input"]["tools"];
    input.extra = golden["input"]["extra"];
    auto prompt = (*chat)->render(input);
    ASSERT_TRUE(prompt) << one["name"] << prompt.error().what;
    EXPECT_EQ(prompt->text, one["text"].get<std::string>()) << one["name"];
  }
}

// Many strings that the template compares do not use up the search.
TEST(TextTemplate, ComparedStringsKeepTheirSpans) {
  Json messages = Json::array();
  for (int i = 0; i < 150; ++i) {
    const std::string id = "call/" + std::to_string(i);
    messages.push_back({{"role", "assistant"}, {"id", id}, {"content", "c"}});
    messages.push_back({{"role", "tool"}, {"ref", id}, {"content", "r"}});
  }
  messages.push_back({{"role", "user"}, {"content", "<|end|>"}});
  auto prompt = render(
      "{% for m in messages %}{% if m.role == 'tool' %}"
      "{% set ns = namespace(found=false) %}"
      "{% for n in messages %}{% if n.id == m.ref %}{% set ns.found = true %}"
      "{% endif %}{% endfor %}"
      "{% if not ns.found %}{{ raise_exception('no call') }}{% endif %}"
      "{% endif %}{{ m.content }}<|end|>{% endfor %}",
      messages);
  ASSERT_TRUE(prompt) << prompt.error().what;
  EXPECT_TRUE(marked(*prompt).ends_with("[c]<|end|>[r]<|end|>[<|end|>]<|end|>"))
      << marked(*prompt);
}

TEST(TextTemplate, SpansAreTheUsersText) {
  const char* chatml =
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + "
      "m['content'] + '<|im_end|>' + '\n' }}{% endfor %}";
  auto prompt = render(chatml, user("a <|im_end|> \"b\""));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(
      marked(*prompt), "<|im_start|>user\n[a <|im_end|> \"b]\"<|im_end|>\n");
  // The very text of a control token, alone.
  prompt = render(chatml, user("<|im_end|>"));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(marked(*prompt), "<|im_start|>user\n[<|im_end|>]<|im_end|>\n");
}

TEST(TextTemplate, SpansSurviveLogicThatLooksAtTheText) {
  const char* source =
      "{% for m in messages %}<u>{% if '</think>' in m.content %}"
      "{{ m.content.split('</think>')[-1] | trim }}{% else %}none"
      "{% endif %}</u>{% endfor %}";
  auto prompt = render(source, user("x </think> <u> y"));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(marked(*prompt), "<u>[<u> y]</u>");
  prompt = render("{{ messages[0].content | upper | tojson }}", user("<s>"));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(marked(*prompt), "\"[<S>]\"");
  // Logic that no replacement survives: every occurrence counts as data.
  prompt = render(
      "<s>{% if messages[0].content | reverse == '>s<' %}"
      "{{ messages[0].content }}{% endif %}",
      user("<s>"));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->text, "<s><s>");
  ASSERT_FALSE(prompt->user_spans.empty());
  EXPECT_EQ(prompt->user_spans.back().end, 6u);
}

TEST(TextTemplate, SpansCoverToolsAndDocuments) {
  auto chat = ChatTemplate::compile("{{ tools | tojson }}{{ documents[0] }}");
  ASSERT_TRUE(chat);
  TemplateInput input;
  input.tools = Json::array({{{"<|x|>", "<|y|>"}}});
  input.documents = Json::array({"<|z|>"});
  auto prompt = (*chat)->render(input);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(marked(*prompt), "[{\"[<|x|>]\": \"[<|y|>]\"}][<|z|>]");
}

TEST(TextTemplate, RaiseIsTheTemplatesOwnMessage) {
  auto prompt = render(
      "{{ raise_exception('No "
      "roles!') }}",
      user("x"));
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(prompt.error().what, "the chat template refused: No roles!");
}

TEST(TextTemplate, HostileTemplatesAreErrors) {
  const char* sources[] = {
      "{{ 'a' * 2000000000 }}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
      "{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% include 'chat' %}",
      "{% extends 'chat' %}",
      "{% set x = namespace(v='aaaaaaaa') %}{% for i in range(60) %}"
      "{% set x.v = x.v + x.v %}{% endfor %}",
      "{{ 'a' | indent(999999999) }}",
      "{{ messages[0].content.a.b }}",
  };
  for (const char* source : sources) {
    auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(render(source, user("x"))) << source;
    EXPECT_LT(
        std::chrono::steady_clock::now() - start, std::chrono::seconds(30))
        << source;
  }
  for (const char* source : {"{% if %}", "{{", "{% endfor %}", "{{ a b }}"}) {
    auto chat = ChatTemplate::compile(source);
    ASSERT_FALSE(chat) << source;
    EXPECT_EQ(chat.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(chat.error().what.find("line"), std::string::npos) << source;
  }
}

TEST(TextTemplate, StrftimeNowIsTheClock) {
  auto prompt = render("{{ strftime_now('%Y') }}", user("x"));
  ASSERT_TRUE(prompt);
  EXPECT_GE(std::stoi(prompt->text), 2024);
}

TEST(TextTemplate, FallbackFoldsTheSystemText) {
  EXPECT_FALSE(fallback_template("no-such-architecture"));
  auto source = fallback_template("gemma3");
  ASSERT_TRUE(source);
  Json messages = parse_messages(
      R"([{"role": "system", "content": "Be brief."},
          {"role": "user", "content": "Hi "},
          {"role": "assistant", "content": "Yo"}])");
  auto prompt = render(*source, messages, {.bos = "<bos>"});
  ASSERT_TRUE(prompt) << prompt.error().what;
  EXPECT_EQ(
      prompt->text,
      "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
      "<start_of_turn>model\nYo<end_of_turn>\n<start_of_turn>model\n");
}

}  // namespace
}  // namespace rapid
