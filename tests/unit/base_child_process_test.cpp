#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/child_process.h"
#include "base/platform.h"
#include "temp_folder.h"

namespace rapid {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;

ChildExit run(const std::vector<std::string>& argv) {
  auto child = ChildProcess::spawn(argv);
  EXPECT_TRUE(child);
  auto exit = child->wait();
  EXPECT_TRUE(exit);
  return exit ? *exit : ChildExit{.code = -1};
}

bool gone(pid_t pid) {
  for (int i = 0; i < 200; ++i) {
    if (::kill(pid, 0) != 0) {
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(ChildProcess, KeepsBothOutputsAndTheStatus) {
  const auto exit = run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(exit.out, "out\n");
  EXPECT_EQ(exit.err, "err\n");
  EXPECT_EQ(exit.code, 3);
  EXPECT_FALSE(exit.ok());
  EXPECT_EQ(exit.reason(), "exit status 3");
}

TEST(ChildProcess, ArgumentsAreNotReadByAShell) {
  EXPECT_EQ(run({"printf", "%s", "$HOME; a  b"}).out, "$HOME; a  b");
}

TEST(ChildProcess, HasNothingOnItsInput) {
  const auto exit = run({"cat"});
  EXPECT_TRUE(exit.ok());
  EXPECT_EQ(exit.out, "");
}

TEST(ChildProcess, ReadsMoreThanAPipeHoldsFromBothEnds) {
  const auto exit = run(
      {"sh",
       "-c",
       "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; "
       "head -c 300000 /dev/zero >&2"});
  EXPECT_EQ(exit.out.size(), 300000u);
  EXPECT_EQ(exit.err.size(), 600000u);
}

TEST(ChildProcess, TellsTheSignalThatEndedIt) {
  const auto exit = run({"sh", "-c", "kill -9 $$"});
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_EQ(exit.reason(), "signal 9");
}

TEST(ChildProcess, SignalsAreDefaultEvenWhereWeIgnoreThem) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  const auto exit = run({"sh", "-c", "kill -PIPE $$"});
  ::signal(SIGPIPE, before);
  EXPECT_EQ(exit.signal, SIGPIPE);
}

TEST(ChildProcess, RefusesWhatCannotRun) {
  const auto missing = ChildProcess::spawn({"/nowhere/at-all"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(missing.error().what, HasSubstr("/nowhere/at-all"));

  const test::TempFolder folder;
  const auto text = folder.write("plain.txt", "hello");
  const auto plain = ChildProcess::spawn({text.string()});
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, ErrorCode::io);
  EXPECT_THAT(plain.error().what, HasSubstr("Permission denied"));
}

TEST(ChildProcess, CancelEndsTheChildAndItsChildren) {
  auto child = ChildProcess::spawn(
      {"sh", "-c", "sleep 100 & echo $! >&2; echo $!; wait"});
  ASSERT_TRUE(child);
  const pid_t pid = child->pid();
  const auto start = steady_clock::now();
  const auto exit = child->wait([&] {
    return steady_clock::now() - start > std::chrono::milliseconds(200);
  });
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().code, ErrorCode::cancelled);
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(50));
  EXPECT_TRUE(gone(-pid)) << "the group has members left";
}

TEST(ChildProcess, CancelKillsOneThatIgnoresTheRequest) {
  auto child = ChildProcess::spawn(
      {"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"});
  ASSERT_TRUE(child);
  const pid_t pid = child->pid();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto exit = child->wait([] { return true; });
  ASSERT_FALSE(exit);
  EXPECT_TRUE(gone(pid));
}

TEST(ChildProcess, EndsWithItsObject) {
  pid_t pid = 0;
  {
    auto child = ChildProcess::spawn({"sleep", "100"});
    ASSERT_TRUE(child);
    ChildProcess moved = *std::move(child);
    pid = moved.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_TRUE(gone(pid));
}

TEST(ChildProcess, DoesNotWaitForAGrandchildThatKeepsThePipe) {
  const auto start = steady_clock::now();
  auto child = ChildProcess::spawn({"sh", "-c", "sleep 100 & echo done"});
  ASSERT_TRUE(child);
  const pid_t group = child->pid();
  const auto exit = child->wait();
  ::kill(-group, SIGKILL);
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->out, "done\n");
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(50));
}

TEST(ChildProcess, RefusesEndlessOutput) {
  auto child = ChildProcess::spawn({"cat", "/dev/zero"});
  ASSERT_TRUE(child);
  const auto exit = child->wait();
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().code, ErrorCode::too_large);
}

TEST(FindProgram, TakesAPathOrANameOnPath) {
  const auto shell = find_program("sh");
  ASSERT_TRUE(shell);
  EXPECT_THAT(*shell, HasSubstr("/sh"));
  EXPECT_TRUE(find_program(*shell));
}

TEST(FindProgram, RefusesWhatIsNone) {
  const test::TempFolder folder;
  const auto text = folder.write("plain.txt", "hello").string();
  EXPECT_EQ(
      find_program("no-such-program-anywhere").error().code,
      ErrorCode::not_found);
  EXPECT_EQ(find_program("/nowhere/at-all").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_program(text).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(
      find_program(folder.path().string()).error().code,
      ErrorCode::invalid_argument);
}

TEST(LastLines, TakesTheEndOfAText) {
  EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc");
  EXPECT_EQ(last_lines("a\nb", 5), "a\nb");
  EXPECT_EQ(last_lines("", 3), "");
  EXPECT_EQ(last_lines("\n\n", 3), "");
}

TEST(Platform, KnowsItsOwnProgram) {
  EXPECT_THAT(program_path(), HasSubstr("unit_base"));
}

}  // namespace
}  // namespace rapid
