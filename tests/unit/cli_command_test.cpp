#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/options.h"

namespace rapid {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStderr;
using testing::internal::GetCapturedStdout;

struct Ran {
  int code = 0;
  std::string out;
  std::string err;
};

Ran run(const CommandTable& table, std::vector<std::string> arguments) {
  CaptureStdout();
  CaptureStderr();
  Ran ran;
  ran.code = run_cli(table, std::move(arguments));
  std::fflush(stdout);
  ran.out = GetCapturedStdout();
  ran.err = GetCapturedStderr();
  return ran;
}

struct Flags {
  ModelOption model;
  EngineFlags engine;
  SamplingFlags sampling;
};

class Cli : public testing::Test {
 protected:
  Cli() {
    table_.add({
        .name = "work",
        .summary = "Does work",
        .examples = "Example: rapid-mlx work\n",
        .order = 2,
        .group = "Second",
        .configure =
            [this](CLI::App& app) {
              flags_->model.add(app, ModelOption::Need::required);
              flags_->engine.add(app, "-t,--threads");
              flags_->sampling.add(app);
              return [] { return 7; };
            },
    });
    table_.add({
        .name = "fail",
        .summary = "Throws",
        .order = 1,
        .group = "First",
        .configure = [](CLI::App&) -> std::function<int()> {
          return []() -> int { throw std::runtime_error("broken"); };
        },
    });
  }

  CommandTable table_;
  std::shared_ptr<Flags> flags_ = std::make_shared<Flags>();
};

TEST_F(Cli, OverviewIsGroupedAndOrdered) {
  const auto ran = run(table_, {"--help"});
  EXPECT_EQ(ran.code, kExitDone);
  EXPECT_EQ(ran.out, overview(table_));
  EXPECT_EQ(ran.err, "");
  const size_t first = ran.out.find("\nFirst\n  fail  Throws\n");
  const size_t second = ran.out.find("\nSecond\n  work  Does work\n");
  ASSERT_NE(first, std::string::npos) << ran.out;
  ASSERT_NE(second, std::string::npos) << ran.out;
  EXPECT_LT(first, second);
  EXPECT_NE(ran.out.find("Quick start"), std::string::npos);
  EXPECT_EQ(ran.out.find("{model}"), std::string::npos);
}

TEST_F(Cli, UnknownCommandSuggestsTheClosest) {
  const auto ran = run(table_, {"wrok"});
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(
      ran.err,
      "error: there is no command `wrok`\nhint: did you mean `rapid-mlx "
      "work`?\n");
  const auto far = run(table_, {"xyzzy"});
  EXPECT_EQ(far.code, kExitUsage);
  EXPECT_EQ(far.err.find("did you mean"), std::string::npos);
  EXPECT_NE(far.err.find("--help"), std::string::npos);
}

TEST_F(Cli, ClosestPrefersFewerEdits) {
  EXPECT_EQ(table_.closest("fial"), "fail");
  EXPECT_EQ(table_.closest("wor"), "work");
  EXPECT_EQ(table_.closest("s"), "");
}

TEST_F(Cli, DuplicateNamesAreABug) {
  EXPECT_THROW(table_.add({.name = "work"}), std::logic_error);
}

TEST_F(Cli, OptionsReachTheCommand) {
  const auto ran =
      run(table_,
          {"work",
           "a/b",
           "-t",
           "3",
           "--device",
           "cuda:1",
           "--ctx",
           "4096",
           "--exact",
           "--temperature",
           "0",
           "--top-k",
           "40",
           "--seed",
           "18446744073709551615"});
  EXPECT_EQ(ran.code, 7) << ran.err;
  EXPECT_EQ(flags_->model.model, "a/b");
  const EngineOptions engine = flags_->engine.engine_options("p");
  EXPECT_EQ(engine.model_path, "p");
  EXPECT_EQ(engine.threads, 3);
  EXPECT_EQ(engine.device, "cuda:1");
  EXPECT_EQ(engine.context, 4096);
  EXPECT_TRUE(engine.exact);
  const auto sampling = flags_->sampling.sampling();
  EXPECT_EQ(sampling.temperature, 0.0f);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.seed, UINT64_MAX);
  EXPECT_FALSE(sampling.top_p);
}

TEST_F(Cli, WrongUseIsExitTwoAndPointsAtHelp) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"work"},
           {"work", "m", "--no-such"},
           {"work", "m", "extra"},
           {"work", "m", "--threads", "-1"},
           {"work", "m", "--threads", "many"},
           {"work", "m", "--device", "tpu"},
           {"work", "m", "--temperature", "3"},
           {"work", "m", "--top-p", "0"},
           {"work", "m", "--seed", "-1"}}) {
    const auto ran = run(table_, arguments);
    EXPECT_EQ(ran.code, kExitUsage) << arguments.back();
    EXPECT_EQ(ran.err.rfind("error: ", 0), 0u) << ran.err;
    EXPECT_NE(ran.err.find("hint: see `rapid-mlx work --help`"), ran.err.npos)
        << ran.err;
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(Cli, HelpOfOneCommand) {
  const auto ran = run(table_, {"work", "--help"});
  EXPECT_EQ(ran.code, kExitDone);
  for (const char* part :
       {"Does work", "--device", "--temperature", "Example: rapid-mlx work"}) {
    EXPECT_NE(ran.out.find(part), std::string::npos) << part << ran.out;
  }
}

TEST_F(Cli, AnExceptionIsAnErrorLine) {
  const auto ran = run(table_, {"fail"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "error: broken\n");
}

TEST(CheckDevice, KnowsItsNames) {
  for (const char* good :
       {"auto", "cpu", "metal", "cuda", "cuda:0", "cuda:12"}) {
    EXPECT_EQ(check_device(good), "") << good;
  }
  for (const char* bad : {"", "CPU", "cuda:", "cuda:x", "cuda:1234", "cpu:0"}) {
    EXPECT_NE(check_device(bad), "") << bad;
  }
}

}  // namespace
}  // namespace rapid
