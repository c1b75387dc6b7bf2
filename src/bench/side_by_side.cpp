#include "bench/side_by_side.h"

#include <fmt/format.h>

#include <cmath>

#include "bench/bench.h"
#include "bench/llama_bench.h"

namespace rapid {

namespace {

std::vector<std::string> our_command(
    const SideBySideOptions& options, int prompt, int generate) {
  std::vector<std::string> out = {
      options.program,
      "bench",
      options.file,
      "-p",
      std::to_string(prompt),
      "-n",
      std::to_string(generate),
      "-t",
      std::to_string(options.threads),
      "-r",
      "1",
      "--device",
      "cpu",
      "--json"};
  out.insert(
      out.end(), options.engine_flags.begin(), options.engine_flags.end());
  return out;
}

Result<std::string> answer_of(
    const std::vector<std::string>& command, const RunProgram& run) {
  RAPID_TRY(auto exit, run(command));
  if (exit.ok()) {
    return std::move(exit.out);
  }
  const std::string said =
      last_lines(exit.err.empty() ? exit.out : exit.err, 5);
  return Error{
      ErrorCode::io,
      fmt::format(
          "{} failed ({}){}{}",
          command[0],
          exit.reason(),
          said.empty() ? "" : ":\n",
          said),
      "the command was: " + fmt::format("{}", fmt::join(command, " "))};
}

Result<double> field(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) {
    return Error{
        ErrorCode::internal, fmt::format("our own answer has no {}", key)};
  }
  return found->get<double>();
}

Result<OurRun> run_ours(const SideBySide& plan, const RunProgram& run) {
  RAPID_TRY(const auto filled, answer_of(plan.our_commands[0], run));
  RAPID_TRY(const Json prompt, parse_json(filled));
  RAPID_TRY(const auto decoded, answer_of(plan.our_commands[1], run));
  RAPID_TRY(const Json empty, parse_json(decoded));
  OurRun out;
  RAPID_TRY(out.prefill_tps, field(prompt, "prefill_tps"));
  RAPID_TRY(out.decode_tps, field(empty, "decode_tps"));
  RAPID_TRY(out.peak_rss_bytes, field(prompt, "peak_rss_bytes"));
  if (auto after = field(prompt, "decode_tps")) {
    out.decode_after_prompt_tps = *after;
  }
  return out;
}

Status run_theirs(
    const SideBySideOptions& options, const RunProgram& run, SideBySide& out) {
  RAPID_TRY(const auto answer, answer_of(out.peer_command, run));
  RAPID_TRY(const auto parsed, parse_llama_bench(answer));
  for (const bool flash : {false, true}) {
    PeerRun peer{.flash_attention = flash};
    RAPID_TRY(peer.prefill_tps, parsed.speed(flash, options.prompt, 0));
    RAPID_TRY(peer.decode_tps, parsed.speed(flash, 0, options.generate));
    out.theirs.push_back(peer);
  }
  out.peer_commit = parsed.commit;
  out.peer_build = parsed.build;
  out.cpu = parsed.cpu;
  return {};
}

std::vector<double> speeds(
    const std::vector<PeerRun>& runs, bool flash, double PeerRun::* speed) {
  std::vector<double> out;
  for (const auto& run : runs) {
    if (run.flash_attention == flash) {
      out.push_back(run.*speed);
    }
  }
  return out;
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

Json to_json(const OurRun& run) {
  const auto& after = run.decode_after_prompt_tps;
  return {
      {"prefill_tps", rounded(run.prefill_tps)},
      {"decode_tps", rounded(run.decode_tps)},
      {"decode_after_prompt_tps", after ? Json(rounded(*after)) : Json()},
      {"peak_rss_bytes", run.peak_rss_bytes}};
}

Json to_json(const PeerRun& run, size_t round) {
  return {
      {"round", round},
      {"flash_attention", run.flash_attention},
      {"prefill_tps", rounded(run.prefill_tps)},
      {"decode_tps", rounded(run.decode_tps)}};
}

Json to_json(const Comparison& c) {
  return {
      {"ours_tps", rounded(c.ours)},
      {"theirs_tps", rounded(c.theirs)},
      {"theirs_flash_attention", c.flash_attention},
      {"ratio", rounded(c.ratio())}};
}

}  // namespace

Comparison compare(
    const std::vector<OurRun>& ours,
    const std::vector<PeerRun>& theirs,
    double OurRun::* our_speed,
    double PeerRun::* their_speed) {
  std::vector<double> own;
  for (const auto& run : ours) {
    own.push_back(run.*our_speed);
  }
  const double plain = median(speeds(theirs, false, their_speed));
  const double flash = median(speeds(theirs, true, their_speed));
  return {
      .ours = median(std::move(own)),
      .theirs = std::max(plain, flash),
      .flash_attention = flash > plain};
}

Result<SideBySide> side_by_side(
    const SideBySideOptions& options, const RunProgram& run) {
  SideBySide out;
  out.our_commands = {
      our_command(options, options.prompt, options.generate),
      our_command(options, 1, options.generate + 1)};
  out.peer_command = llama_bench_command(
      options.peer,
      options.file,
      options.prompt,
      options.generate,
      options.threads);
  for (int round = 1; round <= options.rounds; ++round) {
    for (const bool first : {true, false}) {
      const bool ours = first == (round % 2 == 1);
      if (options.before_run) {
        options.before_run(round, ours ? "ours" : "llama-bench");
      }
      if (ours) {
        RAPID_TRY(const auto measured, run_ours(out, run));
        out.ours.push_back(measured);
      } else {
        RAPID_CHECK(run_theirs(options, run, out));
      }
    }
  }
  out.prefill = compare(
      out.ours, out.theirs, &OurRun::prefill_tps, &PeerRun::prefill_tps);
  out.decode =
      compare(out.ours, out.theirs, &OurRun::decode_tps, &PeerRun::decode_tps);
  std::vector<double> after;
  for (const auto& one : out.ours) {
    if (one.decode_after_prompt_tps) {
      after.push_back(*one.decode_after_prompt_tps);
    }
  }
  if (!after.empty()) {
    out.decode_after_prompt = median(after);
  }
  return out;
}

Json to_json(const SideBySide& result) {
  Json ours = {{"commands", result.our_commands}, {"runs", Json::array()}};
  for (const auto& run : result.ours) {
    ours["runs"].push_back(to_json(run));
  }
  const auto& after = result.decode_after_prompt;
  ours["decode_after_prompt_tps"] = after ? Json(rounded(*after)) : Json();
  Json theirs = {
      {"command", result.peer_command},
      {"build_commit", result.peer_commit},
      {"build_number", result.peer_build},
      {"cpu", result.cpu},
      {"runs", Json::array()}};
  for (size_t i = 0; i < result.theirs.size(); ++i) {
    theirs["runs"].push_back(to_json(result.theirs[i], i / 2 + 1));
  }
  return {
      {"prefill", to_json(result.prefill)},
      {"decode", to_json(result.decode)},
      {"ours", std::move(ours)},
      {"llama_bench", std::move(theirs)}};
}

}  // namespace rapid
