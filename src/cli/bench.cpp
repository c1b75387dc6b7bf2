#include "bench/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "base/platform.h"
#include "bench/build_info.h"
#include "bench/report_html.h"
#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/roofline.h"
#include "cli/served_bench.h"
#include "cli/side_by_side.h"
#include "cli/table.h"

namespace rapid {

namespace {

struct BenchFlags {
  ModelOption model;
  EngineFlags engine;
  BenchOptions bench;  // of the first length and batch
  std::vector<int> prompts = {BenchOptions().prompt};
  std::vector<int> batches = {BenchOptions().batch};
  std::string peer;  // of --vs-llama-bench
  ServedBenchRequest served;
  bool cache = false;
  bool roofline = false;
  std::string html;  // a file
  bool json = false;

  bool over_http() const {
    return cache || served.tools || !served.agent.empty() ||
           !served.others.empty();
  }
};

struct Point {
  int prompt = 0;
  int batch = 0;
  BenchReport report;
};

struct Measured {
  ModelPlace place;
  EngineInfo info;
  std::vector<Point> points;
  double load_seconds = 0;

  const BenchReport& first() const { return points.front().report; }
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
      {"kv_bits", m.info.memory.kv_bits},
      {"prompt", flags.bench.prompt},
      {"generated", flags.bench.generate},
      {"batch", flags.bench.batch}};
  out.update(to_json(m.first().median));
  out.update(
      {{"load_ms", rounded(m.load_seconds * 1e3)},
       {"weight_bytes", m.info.weight_bytes},
       {"peak_rss_bytes", peak_rss_bytes()},
       {"version", RAPID_MLX_VERSION},
       {"mlx", mlx_version()}});
  Json runs = Json::array();
  for (const auto& run : m.first().runs) {
    runs.push_back(to_json(run));
  }
  out["runs"] = std::move(runs);
  out["points"] = Json::array();
  for (const Point& point : m.points) {
    Json json = {{"prompt", point.prompt}, {"batch", point.batch}};
    json.update(to_json(point.report.median));
    out["points"].push_back(std::move(json));
  }
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
      "{} tokens generated, median of {}, loaded in {}, {} of memory at "
      "most\n\n",
      flags.bench.generate,
      flags.bench.runs,
      human_seconds(m.load_seconds),
      human_bytes(peak_rss_bytes()));
  const auto right = Table::Align::right;
  Table table(
      {{"PROMPT", right},
       {"BATCH", right},
       {"PREFILL", right},
       {"DECODE", right},
       {"FIRST TOKEN", right}});
  for (const Point& point : m.points) {
    table.row(
        {std::to_string(point.prompt),
         std::to_string(point.batch),
         speed(point.report.median.prefill_tps),
         speed(point.report.median.decode_tps),
         human_seconds(point.report.median.ttft_seconds)});
  }
  fmt::print("{}", table.text());
}

Result<BenchReport> run_shown(Engine& engine, BenchOptions options) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  options.before_run = [&](int run) {
    if (terminal) {
      fmt::print(
          stderr,
          "\r{} tokens: {}\033[K",
          options.prompt,
          run ? fmt::format("run {} of {}", run, options.runs) : "warm-up");
      std::fflush(stderr);
    }
  };
  auto report = run_bench(engine, options);
  if (terminal) {
    std::fputs("\r\033[K", stderr);
  }
  return report;
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

  for (const int prompt : flags.prompts) {
    for (const int batch : flags.batches) {
      BenchOptions options = flags.bench;
      options.prompt = prompt;
      options.batch = batch;
      options.cancelled = cancelled;
      RAPID_TRY(auto report, run_shown(*engine, options));
      out.points.push_back({prompt, batch, std::move(report)});
    }
  }
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
  } else if (flags.engine.kv_bits != kDefaultKvBits) {
    request.engine_flags.push_back("--kv-bits");
    request.engine_flags.push_back(std::to_string(flags.engine.kv_bits));
  }
  const auto done = run_versus(request);
  return done ? kExitDone : report(done.error());
}

std::vector<std::string> engine_flags(const BenchFlags& flags) {
  const EngineFlags& engine = flags.engine;
  std::vector<std::string> out = {
      "--device",
      engine.device,
      "--threads",
      std::to_string(engine.threads),
      "--ctx",
      std::to_string(engine.context)};
  if (engine.exact) {
    out.emplace_back("--exact");
  } else {
    out.emplace_back("--kv-bits");
    out.push_back(std::to_string(engine.kv_bits));
  }
  return out;
}

Result<Json> bench_served(const BenchFlags& flags, const Measured& measured) {
  Interrupts interrupts;
  ServedBenchRequest request = flags.served;
  request.model = measured.place.path;
  request.serve_flags = engine_flags(flags);
  request.prompts = flags.prompts;
  request.generate = flags.bench.generate;
  request.runs = flags.bench.runs;
  request.speed = flags.cache || !request.others.empty();
  request.keep_going = [&] { return interrupts.count() == 0; };
  return run_served_bench(request);
}

Status write_html(const std::string& path, const Json& result) {
  std::ofstream out(path, std::ios::binary);
  out << report_html(result);
  out.close();
  if (!out) {
    return Error{
        ErrorCode::io,
        fmt::format("cannot write {}", path),
        "check the folder",
        path};
  }
  return {};
}

Result<Roofline> measure_against_machine(const BenchFlags& flags) {
  Interrupts interrupts;
  BenchOptions options = flags.bench;
  options.cancelled = [&] { return interrupts.count() > 0; };
  RAPID_TRY(
      const auto place,
      fetch_model(
          flags.model.model,
          {.quiet = flags.json, .cancelled = options.cancelled}));
  RAPID_TRY(
      const auto engine, make_engine(flags.engine.engine_options(place.path)));
  return measure_roofline(*engine, options);
}

int bench_roofline(const BenchFlags& flags) {
  const auto measured = measure_against_machine(flags);
  if (!measured) {
    return report(measured.error());
  }
  if (flags.json) {
    print_json(to_json(*measured));
  } else {
    print_roofline(*measured);
  }
  return kExitDone;
}

int bench(BenchFlags& flags) {
  flags.bench.prompt = flags.prompts.front();
  flags.bench.batch = flags.batches.front();
  if (flags.roofline) {
    return bench_roofline(flags);
  }
  if (!flags.peer.empty()) {
    return bench_versus(flags);
  }
  if (const auto known = check_agent(flags.served.agent); !known) {
    return report(known.error());
  }
  const auto measured = measure(flags);
  if (!measured) {
    return report(measured.error());
  }
  Json result = to_json(*measured, flags);
  if (!flags.json) {
    print_table(*measured, flags);
  }
  if (flags.over_http()) {
    const auto servers = bench_served(flags, *measured);
    if (!servers) {
      return report(servers.error());
    }
    result["servers"] = *servers;
    if (!flags.json) {
      print_servers(*servers);
    }
  }
  if (flags.json) {
    print_json(result);
  }
  if (!flags.html.empty()) {
    if (const auto written = write_html(flags.html, result); !written) {
      return report(written.error());
    }
  }
  return kExitDone;
}

void add_served_flags(CLI::App& app, BenchFlags& flags) {
  ServedBenchRequest& served = flags.served;
  app.add_flag(
      "--cache",
      flags.cache,
      "Over HTTP: a new prompt, the same again, and after a restart");
  app.add_option(
         "--vs",
         served.others,
         "Over HTTP, and the same for the server there; may be repeated")
      ->option_text("URL")
      ->allow_extra_args(false);
  app.add_option("--vs-key", served.other_key, "Its key")->option_text("KEY");
  app.add_flag(
      "--tools", served.tools, "Over HTTP: how many tool calls are right");
  app.add_option(
         "--agent",
         served.agent,
         "Over HTTP: does a talk stay whole that goes as this agent's do?")
      ->option_text("NAME");
  app.add_option("--agent-turns", served.agent_turns, "Requests of the talk")
      ->option_text(fmt::format("N ({})", served.agent_turns))
      ->check(CLI::Range(1, 100000).description(""));
  app.add_option(
         "--agent-tokens",
         served.agent_tokens,
         "Of its system prompt and tools")
      ->option_text(fmt::format("N ({})", served.agent_tokens))
      ->check(CLI::Range(1200, 1 << 20).description(""));
  app.add_option("--html", flags.html, "Write a page with charts there")
      ->option_text("FILE");
}

std::function<int()> configure(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  flags->model.add(app, ModelOption::Need::default_allowed);
  const auto number = [&](const char* name, int& value, const char* what) {
    app.add_option(name, value, what)
        ->option_text(fmt::format("N ({})", value))
        ->check(CLI::Range(1, 1 << 20).description(""));
  };
  const auto numbers = [&](const char* name, auto& values, const char* what) {
    app.add_option(name, values, what)
        ->option_text(fmt::format("N[,N...] ({})", values.front()))
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(1, 1 << 20).description(""));
  };
  numbers("-p,--prompt", flags->prompts, "Prompt tokens");
  number("-n,--generate", flags->bench.generate, "Tokens to generate");
  numbers("-b,--batch", flags->batches, "Choices decoded together");
  number("-r,--runs", flags->bench.runs, "Runs after one warm-up");
  flags->engine.add(app, "-t,--threads");
  app.add_option(
         "--vs-llama-bench",
         flags->peer,
         "Compare with this llama-bench of llama.cpp, run in turn on the "
         "same GGUF file; -r is then rounds")
      ->option_text("PATH");
  app.add_flag(
      "--roofline",
      flags->roofline,
      "What this machine can read and multiply at most, and the share of it "
      "that each op reaches");
  add_served_flags(app, *flags);
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
                  "  rapid-mlx bench {model} -p 128,1024,8192 -b 1,4 --cache "
                  "--html report.html\n"
                  "  rapid-mlx bench {model} --roofline\n"
                  "  rapid-mlx bench {model} --tools --agent NAME --vs "
                  "http://127.0.0.1:11434\n"
                  "  rapid-mlx bench {model} -t 2 --vs-llama-bench "
                  "llama.cpp/build/bin/llama-bench\n",
      .order = 30,
      .group = "Measure",
      .configure = configure,
  });
}

}  // namespace rapid
