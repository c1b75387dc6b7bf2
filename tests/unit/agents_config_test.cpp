// Configuration files are changed in the keys of the patch and nowhere else.
#include <gtest/gtest.h>

#include "agents/config_document.h"
#include "agents/text_lines.h"

namespace rapid {
namespace {

std::string patched(
    ConfigSyntax syntax, std::string_view text, const Json& patch) {
  auto out = patch_config(syntax, text, patch);
  EXPECT_TRUE(out) << out.error().what;
  return out ? *out : "";
}

TEST(AgentConfig, TomlKeepsCommentsAndOrder) {
  const std::string text =
      "# mine\n"
      "model = \"old\"  # chosen\n"
      "approval = \"never\"\n"
      "\n"
      "[servers.a]\n"
      "command = \"x\"  # [b]\n"
      "args = [\n"
      "  \"1\",\n"
      "]\n"
      "\n"
      "[model_providers.other]\n"
      "name = \"o\"\n";
  const Json patch = {
      {"model", "new"},
      {"window", 4096},
      {"model_providers", {{"mine", {{"name", "m"}, {"wire_api", "r"}}}}}};
  EXPECT_EQ(
      patched(ConfigSyntax::toml, text, patch),
      "# mine\n"
      "model = \"new\"\n"
      "approval = \"never\"\n"
      "window = 4096\n"
      "\n"
      "[servers.a]\n"
      "command = \"x\"  # [b]\n"
      "args = [\n"
      "  \"1\",\n"
      "]\n"
      "\n"
      "[model_providers.other]\n"
      "name = \"o\"\n"
      "\n"
      "[model_providers.mine]\n"
      "name = \"m\"\n"
      "wire_api = \"r\"\n");
}

TEST(AgentConfig, TomlListsOfTablesAreMergedByName) {
  const std::string text =
      "[[providers]]\nname = \"a\"\nurl = \"1\"\n\n"
      "[[providers]]\nname = \"b\"\nurl = \"2\"\n";
  const Json patch = {
      {"providers",
       Json::array(
           {{{"name", "b"}, {"url", "3"}}, {{"name", "c"}, {"url", "4"}}})}};
  const std::string out = patched(ConfigSyntax::toml, text, patch);
  const auto values = parse_config(ConfigSyntax::toml, out);
  ASSERT_TRUE(values);
  EXPECT_EQ(
      values->at("providers").dump(),
      R"([{"name":"a","url":"1"},{"name":"b","url":"3"},)"
      R"({"name":"c","url":"4"}])");
}

TEST(AgentConfig, YamlKeepsOtherBlocks) {
  const std::string text =
      "# mine\n"
      "model:\n"
      "  provider: other  # gone with its block\n"
      "  keep: 'yes'\n"
      "\n"
      "# tools\n"
      "tools:\n"
      "- a\n"
      "- b\n";
  const Json patch = {
      {"model", {{"provider", "custom"}, {"base_url", "http://h/v1"}}}};
  EXPECT_EQ(
      patched(ConfigSyntax::yaml, text, patch),
      "# mine\n"
      "model:\n"
      "  provider: custom\n"
      "  keep: \"yes\"\n"
      "  base_url: \"http://h/v1\"\n"
      "\n"
      "# tools\n"
      "tools:\n"
      "- a\n"
      "- b\n");
}

TEST(AgentConfig, YamlListsGetAnItem) {
  const std::string text = "models:\n- name: a\n  roles: [chat]\nlast: 1\n";
  const Json patch = {
      {"models", Json::array({{{"name", "b"}, {"roles", {"x", "y", "z"}}}})}};
  EXPECT_EQ(
      patched(ConfigSyntax::yaml, text, patch),
      "models:\n"
      "  - name: a\n"
      "    roles:\n"
      "      - chat\n"
      "  - name: b\n"
      "    roles:\n"
      "      - x\n"
      "      - \"y\"\n"
      "      - z\n"
      "last: 1\n");
}

TEST(AgentConfig, JsonKeepsItsIndentation) {
  EXPECT_EQ(
      patched(
          ConfigSyntax::json,
          "{\n\t\"a\": 1 // one\n}",
          {{"b", {{"c", true}}}}),
      "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": true\n\t}\n}\n");
}

TEST(AgentConfig, WhatIsSoAlreadyStays) {
  const std::string text = "{\"a\":   1}";
  EXPECT_EQ(patched(ConfigSyntax::json, text, {{"a", 1}}), text);
}

TEST(AgentConfig, EmptyFilesBecomeThePatch) {
  const Json patch = {{"a", "x"}, {"b", {{"c", 1}}}};
  for (const ConfigSyntax syntax :
       {ConfigSyntax::json, ConfigSyntax::toml, ConfigSyntax::yaml}) {
    const auto values = parse_config(syntax, patched(syntax, "", patch));
    ASSERT_TRUE(values);
    EXPECT_EQ(*values, patch);
  }
}

TEST(AgentConfig, TheInverseBringsBackWhatWas) {
  const Json patch = {
      {"model", "new"},
      {"added", 1},
      {"p", {{"mine", {{"k", "v"}}}}},
      {"list", Json::array({{{"name", "a"}, {"x", 2}}, {{"name", "c"}}})}};
  const Json before = {
      {"model", "old"},
      {"p", {{"other", 1}}},
      {"list", Json::array({{{"name", "a"}, {"x", 1}}, {{"name", "b"}}})}};
  Json values = before;
  merge_patch(values, patch);
  EXPECT_NE(values, before);
  merge_patch(values, inverse_patch(before, patch));
  EXPECT_EQ(values, before);
}

TEST(AgentConfig, BrokenFilesAreErrors) {
  for (const auto& [syntax, text] :
       std::vector<std::pair<ConfigSyntax, std::string>>{
           {ConfigSyntax::json, "{\"a\": "},
           {ConfigSyntax::json, "[1]"},
           {ConfigSyntax::toml, "a = = 1\n"},
           {ConfigSyntax::yaml, "a: [1\n"},
           {ConfigSyntax::yaml, "- a\n"}}) {
    const auto out = patch_config(syntax, text, {{"b", 1}});
    ASSERT_FALSE(out) << text;
    EXPECT_EQ(out.error().code, ErrorCode::corrupt);
  }
}

// A value over several lines, a table written inline: said, not guessed.
TEST(AgentConfig, LayoutsThatTheEditorDoesNotKnowAreRefused) {
  const auto lines =
      patch_config(ConfigSyntax::toml, "a = [\n  1,\n  2,\n]\n", {{"a", 3}});
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().code, ErrorCode::unsupported);
  const auto inlined =
      patch_config(ConfigSyntax::toml, "p = { x = 1 }\n", {{"p", {{"y", 2}}}});
  ASSERT_FALSE(inlined);
}

TEST(AgentConfig, DiffsShowWhatChangesAndALittleAround) {
  EXPECT_EQ(
      line_diff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\ne\ng\n"),
      "  ...\n  c\n  d\n  e\n- f\n+ g\n");
  EXPECT_EQ(line_diff("a\n", "a\n"), "");
}

}  // namespace
}  // namespace rapid
