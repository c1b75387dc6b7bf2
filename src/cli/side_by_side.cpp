#include "bench/side_by_side.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/platform.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/side_by_side.h"
#include "cli/table.h"
#include "hub/model_files.h"

namespace rapid {

namespace {

// The file itself, also where the user named a folder around it.
Result<std::string> gguf_file(const std::string& path) {
  RAPID_TRY(const auto files, ModelFiles::open(path));
  if (files->container != ModelFiles::Container::gguf) {
    return Error{
        ErrorCode::invalid_argument,
        path + " is not a GGUF file",
        "llama-bench reads only GGUF: name a .gguf file",
        path};
  }
  return files->path;
}

// On a terminal one line that is rewritten, else a line per run.
class Progress {
 public:
  explicit Progress(int rounds)
      : rounds_(rounds), terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~Progress() {
    if (terminal_) {
      std::fputs("\r\033[K", stderr);
    }
  }

  void show(int round, const char* side) const {
    fmt::print(
        stderr,
        "{}round {} of {}: {}{}",
        terminal_ ? "\r\033[K" : "",
        round,
        rounds_,
        side,
        terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  int rounds_;
  bool terminal_;
};

std::string speed(double tokens_per_second) {
  return fmt::format("{:.1f} tok/s", tokens_per_second);
}

std::vector<std::string> row(const char* name, const Comparison& c) {
  return {
      name,
      speed(c.ours),
      speed(c.theirs),
      fmt::format("-fa {}", int(c.flash_attention)),
      fmt::format("{:.2f}x", c.ratio())};
}

void print_table(
    const ModelPlace& place,
    const SideBySideOptions& options,
    const SideBySide& result) {
  fmt::print(
      "{} against llama-bench {} (build {}), {} threads, {}\n",
      place.name,
      result.peer_commit,
      result.peer_build,
      options.threads,
      result.cpu);
  fmt::print(
      "{} prompt tokens, {} generated, median of {} round{} in turn\n\n",
      options.prompt,
      options.generate,
      options.rounds,
      options.rounds == 1 ? "" : "s");
  const auto right = Table::Align::right;
  Table table(
      {{""},
       {"OURS", right},
       {"LLAMA-BENCH", right},
       {"BEST WITH", right},
       {"RATIO", right}});
  table.row(row("prefill", result.prefill));
  table.row(row("decode", result.decode));
  fmt::print("{}", table.text());
  if (result.decode_after_prompt) {
    fmt::print(
        "\nOur decode after the {} prompt tokens: {}\n",
        options.prompt,
        speed(*result.decode_after_prompt));
  }
}

void print_report(
    const ModelPlace& place,
    const SideBySideOptions& options,
    const SideBySide& result) {
  Json out = {
      {"model", place.name},
      {"file", options.file},
      {"threads", options.threads},
      {"prompt", options.prompt},
      {"generated", options.generate},
      {"rounds", options.rounds},
      {"version", RAPID_MLX_VERSION}};
  out.update(to_json(result));
  print_json(out);
}

}  // namespace

Status run_versus(const VersusRequest& request) {
  Interrupts interrupts;
  const auto cancelled = [&] { return interrupts.count() > 0; };
  RAPID_TRY(const std::string peer, find_program(request.peer));
  RAPID_TRY(
      const auto place,
      fetch_model(
          request.model, {.quiet = request.json, .cancelled = cancelled}));
  const int cores = int(std::thread::hardware_concurrency());
  SideBySideOptions options{
      .program = program_path(),
      .peer = peer,
      .prompt = request.bench.prompt,
      .generate = request.bench.generate,
      .threads = request.threads ? request.threads : std::max(1, cores),
      .rounds = request.bench.runs,
      .engine_flags = request.engine_flags};
  RAPID_TRY(options.file, gguf_file(place.path));
  auto result = [&] {
    const Progress progress(options.rounds);
    options.before_run = [&](int round, const char* side) {
      progress.show(round, side);
    };
    return side_by_side(options, [&](const auto& command) -> Result<ChildExit> {
      RAPID_TRY(auto child, ChildProcess::spawn(command));
      return child.wait(cancelled);
    });
  }();
  if (!result && result.error().code == ErrorCode::cancelled) {
    return Error{ErrorCode::cancelled, "the benchmark was stopped"};
  }
  RAPID_TRY(const SideBySide done, std::move(result));
  if (request.json) {
    print_report(place, options, done);
  } else {
    print_table(place, options, done);
  }
  return {};
}

}  // namespace rapid
