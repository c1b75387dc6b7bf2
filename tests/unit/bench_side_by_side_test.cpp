#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "bench/llama_bench.h"
#include "bench/side_by_side.h"
#include "temp_folder.h"

namespace rapid {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string recorded() {
  return test::read_all(
      std::string(RAPID_MLX_TEST_DATA) + "/data/bench/llama_bench.json");
}

std::string peer_answer(double fa0, double fa1, double tg0, double tg1) {
  std::string out;
  const auto add = [&](int flash, int prompt, int generate, double tps) {
    out += fmt::format(
        R"({}{{"flash_attn":{},"n_prompt":{},"n_gen":{},"avg_ts":{},)"
        R"("build_number":7,"build_commit":"abc"}})",
        out.empty() ? "[" : ",",
        flash,
        prompt,
        generate,
        tps);
  };
  add(0, 32, 0, fa0);
  add(0, 0, 8, tg0);
  add(1, 32, 0, fa1);
  add(1, 0, 8, tg1);
  return out + "]";
}

std::string our_answer(double prefill, double decode) {
  return fmt::format(
      R"({{"prefill_tps":{},"decode_tps":{},"peak_rss_bytes":1000}})",
      prefill,
      decode);
}

// Answers every command with the next text of its side and notes the order.
struct FakePrograms {
  std::deque<std::string> ours;
  std::deque<std::string> theirs;
  std::vector<std::vector<std::string>> commands;

  Result<ChildExit> operator()(const std::vector<std::string>& command) {
    commands.push_back(command);
    auto& side = command[0] == "rapid" ? ours : theirs;
    if (side.empty()) {
      return ChildExit{.code = 1, .err = "one\ntwo\nthe end\n"};
    }
    ChildExit exit;
    exit.out = side.front();
    side.pop_front();
    return exit;
  }

  std::string order() const {
    std::string out;
    for (const auto& command : commands) {
      out += command[0] == "rapid" ? "o" : "t";
    }
    return out;
  }
};

SideBySideOptions options(int rounds) {
  return {
      .program = "rapid",
      .peer = "llama-bench",
      .file = "m.gguf",
      .prompt = 32,
      .generate = 8,
      .threads = 2,
      .rounds = rounds};
}

TEST(LlamaBench, ReadsARecordedAnswer) {
  const auto out = parse_llama_bench(recorded());
  ASSERT_TRUE(out) << out.error().what;
  EXPECT_EQ(out->commit, "0c1e570");
  EXPECT_EQ(out->build, 1);
  EXPECT_EQ(out->cpu, "AMD EPYC");
  EXPECT_EQ(out->tests.size(), 4u);
  EXPECT_DOUBLE_EQ(*out->speed(false, 32, 0), 390.993552);
  EXPECT_DOUBLE_EQ(*out->speed(true, 32, 0), 453.458359);
  EXPECT_DOUBLE_EQ(*out->speed(false, 0, 8), 163.822419);
  EXPECT_DOUBLE_EQ(*out->speed(true, 0, 8), 177.939442);
  const auto missing = out->speed(true, 512, 0);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what, HasSubstr("512 prompt"));
}

TEST(LlamaBench, RefusesWhatIsNoAnswer) {
  for (const char* text :
       {"", "[", "[]", "{}", "[1]", "no json", R"([{"n_prompt":1}])"}) {
    const auto out = parse_llama_bench(text);
    ASSERT_FALSE(out) << text;
    EXPECT_EQ(out.error().code, ErrorCode::corrupt) << text;
    EXPECT_THAT(out.error().what, HasSubstr("llama-bench")) << text;
  }
  const auto zero = parse_llama_bench(peer_answer(0, 1, 1, 1));
  ASSERT_FALSE(zero);
  EXPECT_THAT(zero.error().what, HasSubstr("0 tok/s"));
}

TEST(LlamaBench, AFlagMayBeTrueOrANumber) {
  std::string text = peer_answer(1, 2, 3, 4);
  for (size_t at; (at = text.find("\"flash_attn\":1")) != std::string::npos;) {
    text.replace(at, 14, "\"flash_attn\":true");
  }
  const auto out = parse_llama_bench(text);
  ASSERT_TRUE(out);
  EXPECT_EQ(*out->speed(true, 32, 0), 2);
}

TEST(SideBySide, TurnsChangeAndMediansAreCompared) {
  FakePrograms programs;
  programs.ours = {
      our_answer(100, 9),
      our_answer(1, 50),
      our_answer(300, 8),
      our_answer(1, 60),
      our_answer(200, 7),
      our_answer(1, 10)};
  // Prefill is better without, decode with flash attention.
  programs.theirs = {
      peer_answer(400, 10, 20, 40),
      peer_answer(100, 10, 20, 25),
      peer_answer(90, 10, 20, 10)};
  const auto out = side_by_side(options(3), std::ref(programs));
  ASSERT_TRUE(out) << out.error().what;
  EXPECT_EQ(programs.order(), "oottoooot");
  EXPECT_EQ(out->prefill.ours, 200);
  EXPECT_EQ(out->prefill.theirs, 100);
  EXPECT_FALSE(out->prefill.flash_attention);
  EXPECT_EQ(out->prefill.ratio(), 2);
  EXPECT_EQ(out->decode.ours, 50);
  EXPECT_EQ(out->decode.theirs, 25);
  EXPECT_TRUE(out->decode.flash_attention);
  EXPECT_EQ(out->decode_after_prompt, 8);
  EXPECT_EQ(out->peer_commit, "abc");
  EXPECT_EQ(out->peer_build, 7);
}

TEST(SideBySide, BothSidesGetTheSameFileThreadsAndSizes) {
  FakePrograms programs;
  programs.ours = {our_answer(1, 1), our_answer(1, 1)};
  programs.theirs = {peer_answer(1, 1, 1, 1)};
  auto wanted = options(1);
  wanted.engine_flags = {"--ctx", "256"};
  ASSERT_TRUE(side_by_side(wanted, std::ref(programs)));
  const auto text = [&](size_t i) {
    return fmt::format("{}", fmt::join(programs.commands[i], " "));
  };
  EXPECT_EQ(
      text(0),
      "rapid bench m.gguf -p 32 -n 8 -t 2 -r 1 --device cpu --json --ctx 256");
  EXPECT_EQ(
      text(1),
      "rapid bench m.gguf -p 1 -n 9 -t 2 -r 1 --device cpu --json --ctx 256");
  EXPECT_EQ(
      text(2),
      "llama-bench -m m.gguf -p 32 -n 8 -t 2 -r 1 -o json -ngl 0 -fa 0,1");
}

TEST(SideBySide, JsonKeepsEveryRun) {
  FakePrograms programs;
  programs.ours = {
      our_answer(100, 9),
      our_answer(1, 50),
      our_answer(300, 8),
      our_answer(1, 60)};
  programs.theirs = {
      peer_answer(400, 10, 20, 40), peer_answer(100, 10, 20, 25)};
  const auto out = side_by_side(options(2), std::ref(programs));
  ASSERT_TRUE(out);
  const Json json = to_json(*out);
  EXPECT_EQ(json["prefill"]["ratio"], 0.8);
  EXPECT_EQ(json["decode"]["ours_tps"], 55);
  EXPECT_EQ(json["decode"]["theirs_flash_attention"], true);
  ASSERT_EQ(json["ours"]["runs"].size(), 2u);
  EXPECT_EQ(json["ours"]["runs"][1]["prefill_tps"], 300);
  EXPECT_EQ(json["ours"]["commands"].size(), 2u);
  ASSERT_EQ(json["llama_bench"]["runs"].size(), 4u);
  EXPECT_EQ(json["llama_bench"]["runs"][3]["round"], 2);
  EXPECT_EQ(json["llama_bench"]["runs"][3]["decode_tps"], 25);
  EXPECT_EQ(json["llama_bench"]["command"][0], "llama-bench");
  EXPECT_EQ(json["llama_bench"]["build_commit"], "abc");
}

TEST(SideBySide, AFailureShowsItsLastLines) {
  FakePrograms programs;
  programs.ours = {our_answer(1, 1), our_answer(1, 1)};
  const auto out = side_by_side(options(1), std::ref(programs));
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::io);
  EXPECT_THAT(
      out.error().what, HasSubstr("llama-bench failed (exit status 1)"));
  EXPECT_THAT(out.error().what, HasSubstr("two\nthe end"));
  EXPECT_THAT(out.error().hint, HasSubstr("-m m.gguf"));
}

TEST(SideBySide, StopsWithTheFirstError) {
  int runs = 0;
  const auto out =
      side_by_side(options(3), [&](const auto&) -> Result<ChildExit> {
        ++runs;
        return Error{ErrorCode::cancelled, "stopped"};
      });
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::cancelled);
  EXPECT_EQ(runs, 1);
}

}  // namespace
}  // namespace rapid
