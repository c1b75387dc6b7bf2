#include "bench/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "base/platform.h"
#include "bench/build_info.h"
#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/side_by_side.h"
#include "cli/table.h"

namespace rapid {

namespace {

struct BenchFlags {
  ModelOption model;
  EngineFlags engine;
  BenchOptions bench;
  std::string peer;  // of --vs-llama-bench
  bool json = false;
};

struct Measured {
  ModelPlace place;
  EngineInfo info;
  BenchReport report;
  double load_seconds = 0;
};

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

Json to_json(const BenchRun& run) {
  return {
      {"prefill_tps", rounded(run.prefill_tps)},
      {"decode_tps", run.decode_tps ? Json(rounded(*run.decode_tps)) : Json()},
      {"ttft_ms", rounded(run.ttft_seconds * 1e3)}};
}

Json to_json(const Measured& m, const BenchFlags& flags) {
  Json out = {
      {"model", m.place.name},
      {"architecture", m.info.architecture},
      {"device", m.info.device},
      {"threads", m.info.threads},
      {"exact", flags.engine.exact},
      {"prompt", flags.bench.prompt},
      {"generated", flags.bench.generate},
      {"batch", flags.bench.batch}};
  out.update(to_json(m.report.median));
  out.update(
      {{"load_ms", rounded(m.load_seconds * 1e3)},
       {"weight_bytes", m.info.weight_bytes},
       {"peak_rss_bytes", peak_rss_bytes()},
       {"version", RAPID_MLX_VERSION},
       {"mlx", mlx_version()}});
  Json runs = Json::array();
  for (const auto& run : m.report.runs) {
    runs.push_back(to_json(run));
  }
  out["runs"] = std::move(runs);
  return out;
}

std::string speed(std::optional<double> tokens_per_second) {
  return tokens_per_second ? fmt::format("{:.1f} tok/s", *tokens_per_second)
                           : "-";
}

void print_table(const Measured& m, const BenchFlags& flags) {
  fmt::print(
      "{} ({}, {} parameters, {} of weights) on {}, {} threads\n",
      m.place.name,
      m.info.architecture,
      human_count(double(m.info.parameters)),
      human_bytes(m.info.weight_bytes),
      m.info.device,
      m.info.threads);
  fmt::print(
      "{} prompt tokens, {} generated, batch {}, median of {}\n\n",
      flags.bench.prompt,
      flags.bench.generate,
      flags.bench.batch,
      flags.bench.runs);
  const auto right = Table::Align::right;
  Table table(
      {{"PREFILL", right},
       {"DECODE", right},
       {"FIRST TOKEN", right},
       {"LOAD", right},
       {"PEAK MEMORY", right}});
  table.row(
      {speed(m.report.median.prefill_tps),
       speed(m.report.median.decode_tps),
       human_seconds(m.report.median.ttft_seconds),
       human_seconds(m.load_seconds),
       human_bytes(peak_rss_bytes())});
  fmt::print("{}", table.text());
}

Result<Measured> measure(const BenchFlags& flags) {
  Interrupts interrupts;
  const auto cancelled = [&] { return interrupts.count() > 0; };
  Measured out;
  RAPID_TRY(
      out.place,
      fetch_model(
          flags.model.model, {.quiet = flags.json, .cancelled = cancelled}));
  const double start = now_seconds();
  RAPID_TRY(
      const auto engine,
      make_engine(flags.engine.engine_options(out.place.path)));
  out.load_seconds = now_seconds() - start;
  out.info = engine->info();

  BenchOptions options = flags.bench;
  options.cancelled = cancelled;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  options.before_run = [&](int run) {
    if (terminal) {
      fmt::print(
          stderr,
          "\r{}\033[K",
          run ? fmt::format("run {} of {}", run, options.runs) : "warm-up");
      std::fflush(stderr);
    }
  };
  auto report = run_bench(*engine, options);
  if (terminal) {
    std::fputs("\r\033[K", stderr);
  }
  RAPID_TRY(out.report, std::move(report));
  return out;
}

// llama-bench has no batches, and both sides must run on the same device.
int bench_versus(const BenchFlags& flags) {
  if (flags.bench.batch != 1) {
    return report_usage(
        {.what = "--vs-llama-bench compares one choice, not --batch",
         .hint = "leave -b out"});
  }
  if (flags.engine.device != "auto" && flags.engine.device != "cpu") {
    return report_usage(
        {.what = "--vs-llama-bench compares on the CPU",
         .hint = "leave --device out"});
  }
  VersusRequest request{
      .model = flags.model.model,
      .peer = flags.peer,
      .bench = flags.bench,
      .threads = flags.engine.threads,
      .json = flags.json};
  if (flags.engine.context) {
    request.engine_flags = {"--ctx", std::to_string(flags.engine.context)};
  }
  if (flags.engine.exact) {
    request.engine_flags.push_back("--exact");
  }
  const auto done = run_versus(request);
  return done ? kExitDone : report(done.error());
}

int bench(const BenchFlags& flags) {
  if (!flags.peer.empty()) {
    return bench_versus(flags);
  }
  const auto measured = measure(flags);
  if (!measured) {
    return report(measured.error());
  }
  if (flags.json) {
    print_json(to_json(*measured, flags));
  } else {
    print_table(*measured, flags);
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  flags->model.add(app, ModelOption::Need::default_allowed);
  const auto number = [&](const char* name, int& value, const char* what) {
    app.add_option(name, value, what)
        ->option_text(fmt::format("N ({})", value))
        ->check(CLI::Range(1, 1 << 20).description(""));
  };
  number("-p,--prompt", flags->bench.prompt, "Prompt tokens");
  number("-n,--generate", flags->bench.generate, "Tokens to generate");
  number("-b,--batch", flags->bench.batch, "Choices decoded together");
  number("-r,--runs", flags->bench.runs, "Runs after one warm-up");
  flags->engine.add(app, "-t,--threads");
  app.add_option(
         "--vs-llama-bench",
         flags->peer,
         "Compare with this llama-bench of llama.cpp, run in turn on the "
         "same GGUF file; -r is then rounds")
      ->option_text("PATH");
  add_json_flag(app, flags->json);
  return [flags] { return bench(*flags); };
}

}  // namespace

void register_command_bench(CommandTable& table) {
  table.add({
      .name = "bench",
      .summary = "Measure prefill, decode and time to first token",
      .examples = "Prefill: prompt tokens until the prompt is in. Decode: "
                  "tokens after the first, of all\nchoices together. No prompt "
                  "cache, greedy, end of text ignored.\n\n"
                  "Examples:\n"
                  "  rapid-mlx bench {model} -p 1024 -n 128 --json\n"
                  "  rapid-mlx bench {model} -t 2 --vs-llama-bench "
                  "llama.cpp/build/bin/llama-bench\n",
      .order = 30,
      .group = "Measure",
      .configure = configure,
  });
}

}  // namespace rapid
