// Setups are merged, backed up, and taken back byte for byte.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agents/registry.h"
#include "agents/setup.h"
#include "hub/text_file.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;

class AgentSetupTest : public testing::Test {
 protected:
  AgentPlaces places() {
    return {
        folder.path() / "home",
        folder.path() / "notes",
        [this](const std::string& name) {
          return name == "MOVED" ? moved : std::string();
        }};
  }

  AgentPlan plan() const {
    return {
        .edits = {
            {"~/.one/settings.json",
             "MOVED",
             ConfigSyntax::json,
             {{"env", {{"URL", "http://x"}}}}},
            {"~/.two/new.toml", "", ConfigSyntax::toml, {{"model", "m"}}}}};
  }

  fs::path file(const std::string& name) {
    return folder.path() / "home" / name;
  }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories(file(name).parent_path());
    std::ofstream(file(name), std::ios::binary) << text;
  }
  std::string read(const std::string& name) {
    const auto text = read_optional_text(file(name));
    return text ? *text : "unreadable";
  }
  void set_up() {
    const auto changes = planned_changes(plan(), places());
    ASSERT_TRUE(changes) << changes.error().what;
    const Status done = apply("agent", *changes, places());
    ASSERT_TRUE(done) << done.error().what;
  }
  void take_back() {
    const auto changes = undo_changes("agent", places());
    ASSERT_TRUE(changes) << changes.error().what;
    ASSERT_TRUE(undo("agent", *changes, places()));
  }

  test::TempFolder folder;
  std::string moved;
};

TEST_F(AgentSetupTest, MergesAndTakesBack) {
  const std::string mine = "{\"env\": {\"A\": \"1\"},   \"theme\": \"dark\"}";
  write(".one/settings.json", mine);
  fs::permissions(
      file(".one/settings.json"),
      fs::perms::owner_read | fs::perms::owner_write);
  set_up();
  EXPECT_TRUE(is_set_up("agent", places()));
  const Json now = Json::parse(read(".one/settings.json"));
  EXPECT_EQ(now["theme"], "dark");
  EXPECT_EQ(now["env"]["A"], "1");
  EXPECT_EQ(now["env"]["URL"], "http://x");
  EXPECT_EQ(read(".two/new.toml"), "model = \"m\"\n");
  EXPECT_EQ(read(".one/settings.json.rapid-mlx-backup"), mine);
  EXPECT_EQ(
      fs::status(file(".one/settings.json")).permissions(),
      fs::perms::owner_read | fs::perms::owner_write);
  take_back();
  EXPECT_EQ(read(".one/settings.json"), mine);
  EXPECT_FALSE(fs::exists(file(".two/new.toml")));
  EXPECT_FALSE(fs::exists(file(".one/settings.json.rapid-mlx-backup")));
  EXPECT_FALSE(is_set_up("agent", places()));
}

TEST_F(AgentSetupTest, ASecondSetupKeepsTheFirstBackup) {
  write(".one/settings.json", "{\"env\": {\"URL\": \"mine\"}}");
  set_up();
  set_up();
  take_back();
  EXPECT_EQ(read(".one/settings.json"), "{\"env\": {\"URL\": \"mine\"}}");
}

TEST_F(AgentSetupTest, WhatWasChangedSinceIsKept) {
  write(".one/settings.json", "{\"env\": {\"URL\": \"mine\"}}");
  set_up();
  Json now = Json::parse(read(".one/settings.json"));
  now["theme"] = "light";
  write(".one/settings.json", now.dump());
  take_back();
  const Json back = Json::parse(read(".one/settings.json"));
  EXPECT_EQ(back["theme"], "light");
  EXPECT_EQ(back["env"]["URL"], "mine");
}

TEST_F(AgentSetupTest, AVariableMovesTheFolder) {
  moved = (folder.path() / "elsewhere").string();
  set_up();
  EXPECT_TRUE(fs::exists(folder.path() / "elsewhere/settings.json"));
  EXPECT_FALSE(fs::exists(file(".one/settings.json")));
}

TEST_F(AgentSetupTest, ALinkStaysALink) {
  write("real.json", "{}");
  fs::create_directories(file(".one"));
  fs::create_symlink(file("real.json"), file(".one/settings.json"));
  set_up();
  EXPECT_TRUE(fs::is_symlink(file(".one/settings.json")));
  EXPECT_NE(read("real.json").find("http://x"), std::string::npos);
}

TEST_F(AgentSetupTest, ABrokenFileIsLeftAlone) {
  write(".one/settings.json", "{\"env\": ");
  const auto changes = planned_changes(plan(), places());
  ASSERT_FALSE(changes);
  EXPECT_NE(changes.error().what.find("settings.json"), std::string::npos);
  EXPECT_EQ(read(".one/settings.json"), "{\"env\": ");
}

TEST_F(AgentSetupTest, NothingToTakeBackIsSaid) {
  const auto changes = undo_changes("agent", places());
  ASSERT_FALSE(changes);
  EXPECT_EQ(changes.error().code, ErrorCode::not_found);
}

TEST(AgentRegistryTest, EveryProfileFitsItsFiles) {
  const auto& all = AgentRegistry::global().all();
  EXPECT_GE(all.size(), 20u);
  const AgentTarget target{
      .root = "http://127.0.0.1:9001",
      .model = "a-model",
      .context = 12345,
      .key = "k e'y"};
  for (const AgentProfile& profile : all) {
    SCOPED_TRACE(profile.name);
    const AgentPlan plan = profile.plan(target);
    std::string told = plan.snippet;
    for (const auto& [name, value] : plan.environment) {
      told += value + "\n";
    }
    for (const auto* command : {&plan.setup_command, &plan.launch}) {
      for (const std::string& word : *command) {
        told += word + "\n";
      }
    }
    for (const ConfigEdit& edit : plan.edits) {
      const auto text = patch_config(edit.syntax, "", edit.patch);
      ASSERT_TRUE(text) << text.error().what;
      told += *text;
    }
    // Those that ask the server for its models need not be told one.
    EXPECT_NE(told.find("http"), std::string::npos);
    EXPECT_EQ(
        told.find("127.0.0.1:9001") == std::string::npos,
        !profile.obstacle.empty());
    EXPECT_FALSE(plan.launch.empty() && plan.snippet.empty());
    EXPECT_FALSE(plan.edits.empty() && profile.needs_setup);
  }
}

TEST(AgentRegistryTest, NamesAndAliasesAreFound) {
  for (const char* name :
       {"claude-code", "codex",  "opencode",    "qwen-code", "hermes",
        "aider",       "cline",  "continue",    "goose",     "openhands",
        "pi",          "vibe",   "copilot",     "openclaw",  "open-webui",
        "librechat",   "cursor", "pydantic-ai", "langchain", "smolagents",
        "claude",      "qwen"}) {
    EXPECT_TRUE(AgentRegistry::global().find(name)) << name;
  }
  const auto none = AgentRegistry::global().find("nobody");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().hint.find("aider"), std::string::npos);
}

}  // namespace
}  // namespace rapid
