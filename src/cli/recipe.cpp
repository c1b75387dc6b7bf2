#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "advice/advice.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "engine/build_features.h"
#include "engine/memory_plan.h"
#include "hub/store.h"

namespace rapid {

namespace {

struct RecipeOptions {
  std::string device = "auto";
  std::string most;  // memory
  AdviceOptions advice;
  bool json = false;
};

Machine machine_of(const RecipeOptions& options) {
  const Machine machine = this_machine(options.device);
  const auto memory = parse_memory(options.most);
  return memory ? with_memory(machine, *memory) : machine;
}

void print_machine(const Machine& machine) {
  fmt::print(
      "{}: {} of memory, {} for a model ({}); {:.0f} GB/s{}\n\n",
      machine.chip.empty() ? "this machine" : machine.chip,
      human_bytes(machine.memory),
      human_bytes(machine.usable),
      machine.memory_why,
      machine.bandwidth / 1e9,
      machine.measured ? ", measured" : "");
}

void print_pick(const char* title, const std::optional<Row>& row) {
  if (row) {
    fmt::print("{:<6} rapid-mlx serve {}\n", title, row->model->alias);
    fmt::print("       {}\n", row->speed.why);
  }
}

void print_table(const Advice& advice, const Store& store) {
  const auto right = Table::Align::right;
  Table table(
      {{"MODEL"},
       {"DOWNLOAD", right},
       {"MEMORY", right},
       {"TOK/S", right},
       {"FIRST TOKEN", right},
       {"LONGEST", right},
       {"HERE"},
       {"ROOM"}});
  for (const Row& row : advice.rows) {
    table.row(
        {row.model->alias,
         human_bytes(row.model->download_bytes),
         human_bytes(row.fit.total()),
         fmt::format("{:.0f}", row.speed.decode_tps),
         human_seconds(row.speed.ttft_seconds),
         std::to_string(row.fit.longest),
         store.locate(row.model->alias) ? "yes" : "",
         row.fit.comfortable ? "" : "tight"});
  }
  fmt::print(
      "{}\nMEMORY with a context of {}, TOK/S behind a prompt of {}, FIRST "
      "TOKEN of one of {}\ntokens; all speeds are expected ones: `rapid-mlx "
      "bench MODEL` measures.\n\n",
      table.text(),
      advice.context,
      kDecodeAfter,
      kPromptTokens);
}

int recipe(const RecipeOptions& options) {
  const Machine machine = machine_of(options);
  const auto models = catalogue_models(runs_architecture);
  const Advice advice = advise(machine, models, options.advice);
  if (options.json) {
    print_json(to_json(machine, advice));
    return kExitDone;
  }
  print_machine(machine);
  if (!advice.smart) {
    return report(
        {ErrorCode::too_large,
         fmt::format("no known model fits in {}", human_bytes(machine.usable)),
         "free memory, or try a smaller --ctx"});
  }
  print_table(advice, Store::open_default());
  print_pick("smart", advice.smart);
  print_pick("fast", advice.fast);
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<RecipeOptions>();
  app.add_option("--max-ram", options->most, "As if there were so much memory")
      ->option_text("GIB")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return parse_memory(text) ? "" : "expected 4, 4GiB or 4000MiB";
          },
          ""));
  app.add_option("--ctx", options->advice.context, "Context that shall fit")
      ->option_text(fmt::format("N ({})", kUsualContext))
      ->check(CLI::Range(1, 1 << 24).description(""));
  app.add_option("--kv-bits", options->advice.kv_bits, "Keys and values")
      ->option_text("N (16)")
      ->check(CLI::IsMember({16, 8, 4}).description(""));
  app.add_option("--device", options->device, "auto, cpu, metal or cuda[:N]")
      ->option_text("NAME (auto)")
      ->check(CLI::Validator(check_device, ""));
  add_json_flag(app, options->json);
  return [options] { return recipe(*options); };
}

}  // namespace

void register_command_recipe(CommandTable& table) {
  table.add({
      .name = "recipe",
      .summary = "Which model this machine should run, and how fast",
      .examples = "Smart: the best that fits beside other programs and writes "
                  "10 tokens a second.\nFast: hardly worse, and faster.\n\n"
                  "Examples:\n"
                  "  rapid-mlx recipe\n"
                  "  rapid-mlx recipe --max-ram 16 --ctx 65536 --json\n",
      .order = 19,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
