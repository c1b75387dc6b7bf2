// Which format is chosen, and what is said about why.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/format_choice.h"

namespace rapid {
namespace {

using Reason = FormatChoice::Reason;

TemplateFacts facts(std::string_view source, std::string call) {
  TemplateFacts out;
  out.source = source;
  out.rendered_call = std::move(call);
  out.has_token = [](std::string_view name) { return name == "<tool_call>"; };
  return out;
}

constexpr const char* kHermes =
    "<tool_call>\n{\"name\": \"probe\", \"arguments\": {\"key\": "
    "\"value\"}}\n</tool_call>";

TEST(FormatChoice, TheTemplatesCallDecides) {
  const auto choice = choose_format(facts("", kHermes), "");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->format->name(), "hermes");
  EXPECT_EQ(choice->reason, Reason::same);
  EXPECT_EQ(choice->tokens, std::vector<std::string>{"<tool_call>"});
  EXPECT_EQ(std::ranges::count(choice->rivals, "qwen"), 1)
      << "writes calls as hermes does";
  EXPECT_NE(choice->why().find("renders a call this way"), std::string::npos);
  EXPECT_NE(choice->why().find("qwen"), std::string::npos);
  EXPECT_NE(choice->why().find("<tool_call>"), std::string::npos);
}

TEST(FormatChoice, ReadableIsLessThanSame) {
  const auto choice = choose_format(
      facts("", "[{'name': 'probe', 'arguments': {'key': 'value'}}]"), "");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->reason, Reason::readable) << choice->format->name();
}

TEST(FormatChoice, WordsOfTheTemplate) {
  const auto choice =
      choose_format(facts("<|tool_calls_section_begin|>", ""), "");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->format->name(), "kimi");
  EXPECT_EQ(choice->reason, Reason::signs);
  EXPECT_TRUE(choice->rivals.empty());
}

TEST(FormatChoice, NothingSpeaks) {
  const auto choice = choose_format(facts("{{ messages }}", ""), "");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->format->name(), "plain");
  EXPECT_EQ(choice->reason, Reason::none);
}

TEST(FormatChoice, Forced) {
  const auto choice = choose_format(facts("", kHermes), "moonshot");
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->format->name(), "kimi");
  EXPECT_EQ(choice->reason, Reason::forced);
  const auto wrong = choose_format(facts("", kHermes), "no-such");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().hint.find("hermes"), std::string::npos);
}

}  // namespace
}  // namespace rapid
