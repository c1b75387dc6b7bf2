#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command_tree.h"
#include "cli/completion_scripts.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "unit/scoped_env.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using test::ScopedEnv;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;

struct Seen {
  int port = 8000;
  bool exact = false;
  bool old = false;
  std::string model;
};

struct SettingsTest : testing::Test {
  TempFolder folder;
  ScopedEnv home{"RAPID_MLX_HOME", folder.path().string()};
  CommandTable table;
  std::shared_ptr<Seen> seen = std::make_shared<Seen>();

  SettingsTest() {
    table.add({
        .name = "work",
        .summary = "Does 'some' work: [all]",
        .examples = ".Example\n",
        .configure =
            [seen = seen](CLI::App& app) {
              app.add_option("-p,--port", seen->port, "A port")
                  ->option_text("N (8000)")
                  ->check(CLI::Range(1, 65535));
              app.add_flag("--exact", seen->exact, "Exactly");
              app.add_option("MODEL", seen->model, "Which")->required();
              app.add_flag("--old", seen->old, "Hidden")->group("");
              return [] { return 0; };
            },
    });
  }

  int run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "work");
    return run_cli(table, std::move(arguments));
  }
};

TEST_F(SettingsTest, StandForWhatIsNotGiven) {
  ASSERT_TRUE(write_settings(
      {{"work", {{"port", "9000"}, {"exact", "true"}, {"gone", "1"}}}}));
  EXPECT_EQ(run({"m"}), 0);
  EXPECT_EQ(seen->port, 9000);
  EXPECT_TRUE(seen->exact);
  for (const char* own : {"--port=7", "-p7"}) {
    EXPECT_EQ(run({"m", own}), 0);
    EXPECT_EQ(seen->port, 7) << own;
  }
  EXPECT_EQ(seen->model, "m");
}

TEST_F(SettingsTest, ABrokenFileIsAnErrorThatNamesIt) {
  folder.write("config.json", "{\"work\": 1}");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run({"m"}), kExitFailed);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("config.json"));
}

TEST_F(SettingsTest, OnlyWhatTheOptionTakesIsSet) {
  EXPECT_TRUE(check_option(table, "work", "port", "1"));
  EXPECT_TRUE(check_option(table, "work", "exact", "false"));
  EXPECT_FALSE(check_option(table, "work", "port", "many"));
  EXPECT_FALSE(check_option(table, "work", "port", "70000"));
  EXPECT_FALSE(check_option(table, "work", "ports", "1"));
  EXPECT_FALSE(check_option(table, "work", "help", "true"));
  EXPECT_FALSE(check_option(table, "play", "port", "1"));
}

TEST_F(SettingsTest, TheTreeIsWhatTheParserKnows) {
  const auto tree = command_tree(table);
  ASSERT_EQ(tree.size(), 1u);
  std::vector<std::string> names;
  for (const OptionDoc& option : tree[0].options) {
    names.push_back(option.names.front());
  }
  EXPECT_THAT(
      names, ElementsAre("--help", "--port", "--exact", "MODEL", "--old"));
  EXPECT_THAT(tree[0].options[1].names, ElementsAre("--port", "-p"));
  EXPECT_EQ(tree[0].options[1].value, "N (8000)");
  EXPECT_TRUE(tree[0].options[2].flag);
  EXPECT_TRUE(tree[0].options[3].positional);
  EXPECT_TRUE(tree[0].options[4].hidden);
}

TEST_F(SettingsTest, ScriptsAndPageHoldEveryOption) {
  const auto tree = command_tree(table);
  for (const std::string& script :
       {bash_completion(tree), zsh_completion(tree), fish_completion(tree)}) {
    EXPECT_THAT(script, HasSubstr("work"));
    EXPECT_THAT(script, HasSubstr("port"));
    EXPECT_THAT(script, HasSubstr("models --names"));
    EXPECT_EQ(script.find("old"), std::string::npos);
  }
  EXPECT_THAT(
      zsh_completion(tree), HasSubstr("'work:Does '\\''some'\\'' work"));
  const std::string page = man_page(tree, "1.2");
  EXPECT_THAT(page, HasSubstr(".SS work\n"));
  EXPECT_THAT(page, HasSubstr("\\-\\-port, \\-p N (8000)"));
  EXPECT_THAT(page, HasSubstr("\n\\&.Example"));
}

}  // namespace
}  // namespace rapid
