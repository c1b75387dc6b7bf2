// Our speed against llama-bench's: same file, threads and sizes, in turn.
//
// A round runs our own program twice (P prompt tokens; then 1 prompt token and
// N + 1 generated: N decode steps from an empty context, as llama-bench does
// them) and llama-bench once. Who goes first changes from round to round. Every
// run is a process of its own, so neither side holds memory or spinning threads
// while the other is measured. Theirs is the better of -fa 0 and 1 by median,
// separately for prefill and decode. ratio = our median / their median.
//
//   side_by_side({.peer = "llama-bench", .file = "m.gguf"}, run_program)
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct SideBySideOptions {
  std::string program;  // ours
  std::string peer;     // llama-bench
  std::string file;     // GGUF
  int prompt = 512;
  int generate = 64;
  int threads = 1;
  int rounds = 3;
  std::vector<std::string> engine_flags;  // more for ours: --ctx, --exact
  std::function<void(int round, const char* side)> before_run;
};

struct OurRun {
  double prefill_tps = 0;
  double decode_tps = 0;                          // from an empty context
  std::optional<double> decode_after_prompt_tps;  // absent when generate = 1
  double peak_rss_bytes = 0;
};

struct PeerRun {
  bool flash_attention = false;
  double prefill_tps = 0;
  double decode_tps = 0;
};

// One of prefill and decode.
struct Comparison {
  double ours = 0;
  double theirs = 0;
  bool flash_attention = false;  // which of theirs was better
  double ratio() const { return ours / theirs; }
};

struct SideBySide {
  std::vector<OurRun> ours;     // one per round
  std::vector<PeerRun> theirs;  // two per round: -fa 0, -fa 1
  Comparison prefill;
  Comparison decode;
  std::optional<double> decode_after_prompt;  // our median
  std::string peer_commit;
  int peer_build = 0;
  std::string cpu;
  std::vector<std::vector<std::string>> our_commands;
  std::vector<std::string> peer_command;
};

// Runs one command to its end; what a test replaces.
using RunProgram =
    std::function<Result<ChildExit>(const std::vector<std::string>&)>;

// Errors: what `run` says; io when a program failed, with its last lines;
// corrupt when an answer cannot be read.
Result<SideBySide> side_by_side(
    const SideBySideOptions& options, const RunProgram& run);

// Better of the two kinds of runs by median. For side_by_side and its tests.
Comparison compare(
    const std::vector<OurRun>& ours,
    const std::vector<PeerRun>& theirs,
    double OurRun::* our_speed,
    double PeerRun::* their_speed);

Json to_json(const SideBySide& result);

}  // namespace rapid
