#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/installation.h"
#include "cli/left_behind.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;

using Words = std::vector<std::string>;

struct Installing : testing::Test {
  TempFolder folder;
  fs::path root = folder.path() / "env";
  fs::path program = folder.write("env/bin/rapid-mlx", "");

  void package(
      const std::string& info, const std::string& metadata, bool asked) {
    const std::string at = "env/lib/python3.12/site-packages/" + info;
    folder.write(at + "/METADATA", metadata);
    folder.write(at + "/INSTALLER", "pip\n");
    if (asked) {
      folder.write(at + "/REQUESTED", "");
    }
  }

  Installation found() { return find_installation(program, folder.path()); }

  Words uninstall() {
    const auto command = uninstall_command(found());
    EXPECT_TRUE(command) << command.error().what;
    return command ? *command : Words();
  }

  Words upgrade(const std::string& file = "") {
    const auto command = upgrade_command(found(), file);
    EXPECT_TRUE(command) << command.error().what;
    return command ? *command : Words();
  }
};

TEST_F(Installing, PipInAVirtualEnvironment) {
  package("rapid_mlx-0.1.0.dist-info", "Requires-Dist: mlx[cpu]==1\n", true);
  package("mlx-1.dist-info", "Requires-Dist: mlx-cpu==1; extra\n", false);
  package("mlx_cpu-1.dist-info", "", false);
  package("mlx_audio-1.dist-info", "Requires-Dist: numpy\n", true);
  folder.write("env/pyvenv.cfg", "");
  const auto python = folder.write("env/bin/python3", "").string();
  EXPECT_EQ(found().method, InstallMethod::pip);
  EXPECT_EQ(describe(found()), "pip in " + root.string());
  EXPECT_EQ(
      uninstall(),
      (Words{
          python,
          "-m",
          "pip",
          "uninstall",
          "-y",
          "rapid-mlx",
          "mlx",
          "mlx-cpu"}));
  EXPECT_EQ(
      upgrade(),
      (Words{python, "-m", "pip", "install", "--upgrade", "rapid-mlx"}));
  EXPECT_EQ(upgrade("new.whl").back(), "new.whl");
}

TEST_F(Installing, PackagesThatOthersNeedOrAPersonAskedForStay) {
  package("rapid_mlx-0.1.0.dist-info", "Requires-Dist: mlx[cpu]==1\n", true);
  package("mlx-1.dist-info", "", false);
  package(
      "mlx_lm-1.dist-info", "Name: mlx-lm\nRequires-Dist: MLX>=0.3\n", true);
  EXPECT_EQ(uninstall().back(), "rapid-mlx");
  fs::remove_all(root / "lib/python3.12/site-packages/mlx_lm-1.dist-info");
  EXPECT_EQ(uninstall().back(), "mlx");
  package("mlx-1.dist-info", "", true);
  EXPECT_EQ(uninstall().back(), "rapid-mlx");
}

TEST_F(Installing, FoldersThatPipLeavesEmptyAreSwept) {
  package("rapid_mlx-0.1.0.dist-info", "", true);
  folder.write("env/pyvenv.cfg", "");
  const fs::path packages = root / "lib/python3.12/site-packages";
  fs::create_directories(packages / "mlx/share/cmake");
  fs::create_directories(root / "share/man");
  const Installation here = found();
  const auto kept = folder.write("env/share/man/other", "");
  sweep_folders(here);
  EXPECT_FALSE(fs::exists(packages / "mlx"));
  EXPECT_TRUE(fs::exists(kept));
  fs::remove(kept);
  fs::create_directories(packages / "mlx/lib");
  package("mlx-1.dist-info", "", true);
  sweep_folders(here);
  EXPECT_FALSE(fs::exists(root / "share"));
  EXPECT_TRUE(fs::exists(packages / "mlx/lib"));  // of a package that stays
}

TEST_F(Installing, WithoutAnEnvironmentTheVersionedPython) {
  package("rapid_mlx-0.1.0.dist-info", "", true);
  EXPECT_EQ(upgrade()[0], "python3.12");
}

TEST_F(Installing, OtherInstallersOfWheels) {
  package("rapid_mlx-0.1.0.dist-info", "", true);
  folder.write(
      "env/lib/python3.12/site-packages/rapid_mlx-0.1.0.dist-info/INSTALLER",
      "uv");
  EXPECT_EQ(found().method, InstallMethod::uv);
  const fs::path pipx = folder.path() / "pipx/venvs/rapid-mlx";
  fs::create_directories(pipx.parent_path());
  fs::rename(root, pipx);
  program = pipx / "bin/rapid-mlx";
  EXPECT_THAT(uninstall(), ElementsAre("pipx", "uninstall", "rapid-mlx"));
  const fs::path tool = folder.path() / "uv/tools/rapid-mlx";
  fs::create_directories(tool.parent_path());
  fs::rename(pipx, tool);
  program = tool / "bin/rapid-mlx";
  EXPECT_THAT(uninstall(), ElementsAre("uv", "tool", "uninstall", "rapid-mlx"));
}

TEST_F(Installing, TheScriptIsAskedByItsOwnCopy) {
  folder.write("env/share/rapid-mlx/prefix", "/opt/me\n");
  const std::string script = (root / "share/rapid-mlx/install.sh").string();
  EXPECT_EQ(describe(found()), "install.sh in /opt/me");
  EXPECT_THAT(
      uninstall(),
      ElementsAre(
          "sh",
          script,
          "--prefix",
          "/opt/me",
          "--uninstall",
          "--program-only"));
  EXPECT_THAT(
      upgrade("a.whl"),
      ElementsAre("sh", script, "--prefix", "/opt/me", "--wheel", "a.whl"));
}

TEST_F(Installing, PackageManagersOfSystems) {
  folder.write("var/lib/dpkg/info/rapid-mlx.list", "/.\n" + program.string());
  EXPECT_EQ(found().method, InstallMethod::deb);
  EXPECT_EQ(uninstall().back(), "rapid-mlx");
  program = "/opt/homebrew/Cellar/rapid-mlx/0.1.0/bin/rapid-mlx";
  EXPECT_EQ(found().method, InstallMethod::brew);
  EXPECT_THAT(upgrade(), ElementsAre("brew", "upgrade", "rapid-mlx"));
}

TEST_F(Installing, ABuildAndTheUnknownAreLeftToThePerson) {
  EXPECT_EQ(found().method, InstallMethod::unknown);
  EXPECT_FALSE(uninstall_command(found()));
  program = folder.write("env/build/release/bin/rapid-mlx", "");
  folder.write("env/build/release/CMakeCache.txt", "");
  EXPECT_EQ(found().method, InstallMethod::source);
  const auto refused = upgrade_command(found(), "");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr(root.string()));
}

TEST(LeftBehind, ModelsStayUnlessAskedForAndStrangersInAFolderOfTheUsers) {
  TempFolder folder;
  folder.write("home/models/a/weights", "12345");
  folder.write("home/cache/states/x", "123");
  folder.write("home/letter.txt", "1");
  const fs::path home = folder.path() / "home";
  LeftBehind left = left_behind(home, false, false);
  EXPECT_THAT(left.ours, ElementsAre(std::pair(home / "cache", uint64_t{3})));
  EXPECT_THAT(
      left.kept,
      ElementsAre(
          std::pair(home / "letter.txt", uint64_t{1}),
          std::pair(home / "models", uint64_t{5})));
  ASSERT_TRUE(remove_all(left, home));
  EXPECT_FALSE(fs::exists(home / "cache"));
  ASSERT_TRUE(remove_all(left_behind(home, false, true), home));
  EXPECT_TRUE(fs::exists(home / "letter.txt"));
  ASSERT_TRUE(remove_all(left_behind(home, true, true), home));
  EXPECT_FALSE(fs::exists(home));
}

TEST(RunInSight, TellsTheExitStatus) {
  const auto exit = run_in_sight({"sh", "-c", "exit 7"});
  ASSERT_TRUE(exit);
  EXPECT_EQ(*exit, 7);
  EXPECT_FALSE(run_in_sight({"no-such-program-here"}));
}

}  // namespace
}  // namespace rapid
