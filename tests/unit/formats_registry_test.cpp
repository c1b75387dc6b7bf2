#include <gtest/gtest.h>

#include <stdexcept>

#include "formats/registry.h"
#include "formats/tag_scanner.h"

namespace rapid {
namespace {

TEST(FormatRegistry, FindsByNameAndAlias) {
  const FormatRegistry& all = FormatRegistry::global();
  ASSERT_NE(all.find("plain"), nullptr);
  ASSERT_NE(all.find("hermes"), nullptr);
  EXPECT_EQ(all.find("nous"), all.find("hermes"));
  EXPECT_EQ(all.find("nothing"), nullptr);
}

TEST(FormatRegistry, RefusesDuplicates) {
  FormatRegistry registry;
  register_all_formats(registry);
  EXPECT_THROW(register_all_formats(registry), std::logic_error);
}

TEST(FormatRegistry, ChoosesByTemplate) {
  const FormatRegistry& all = FormatRegistry::global();
  EXPECT_EQ(all.choose({}).name(), "plain");
  EXPECT_EQ(all.choose({.source = "x <tool_call> y"}).name(), "hermes");
  EXPECT_EQ(
      all.choose({.rendered_call = "<tool_call>\n{\"name\": \"probe\", "
                                   "\"arguments\": {\"key\": \"value\"}}\n"
                                   "</tool_call>"})
          .name(),
      "hermes");
}

TEST(TagScanner, PartialTag) {
  EXPECT_EQ(partial_tag("abc<to", "<tool>"), 3u);
  EXPECT_EQ(partial_tag("abc<tool>", "<tool>"), 0u);
  EXPECT_EQ(partial_tag("aab", "aabaac"), 3u);
  EXPECT_EQ(partial_tag("", "x"), 0u);
  EXPECT_EQ(partial_tag("x", ""), 0u);
}

// What comes out for each way to cut `text` in two and byte by byte.
TEST(TagScanner, DoesNotDependOnTheCut) {
  const std::vector<std::string> tags = {"abcd", "bc", "END", "aEND", ""};
  const auto run = [&](const std::vector<std::string>& pieces) {
    TagScanner scanner(tags);
    std::string out;
    for (const std::string& piece : pieces) {
      const auto step = scanner.feed(piece);
      out += step.text;
      if (step.match) {
        return out + "|" + std::to_string(*step.match);
      }
    }
    return out + scanner.flush();
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"xabcd", "xa|1"},   // "bc" is complete first
      {"xxaEND", "xx|3"},  // same end: the longer one
      {"xxEEND", "xxE|2"},
      {"abEaEN", "abEaEN"}};
  for (const auto& [text, want] : cases) {
    for (size_t i = 0; i <= text.size(); ++i) {
      EXPECT_EQ(run({text.substr(0, i), text.substr(i)}), want) << text << i;
    }
    std::vector<std::string> bytes;
    for (const char c : text) {
      bytes.push_back(std::string(1, c));
    }
    EXPECT_EQ(run(bytes), want) << text;
  }
}

TEST(TagScanner, GivesBackTheRest) {
  TagScanner scanner({"<a>"});
  EXPECT_EQ(scanner.feed("x<").text, "x");
  EXPECT_EQ(scanner.held(), 1u);
  const auto step = scanner.feed("a>y");
  EXPECT_EQ(step.match, 0u);
  EXPECT_EQ(step.rest, "y");
  EXPECT_EQ(scanner.flush(), "");
}

}  // namespace
}  // namespace rapid
