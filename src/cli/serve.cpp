#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include <CLI/CLI.hpp>

#include "api/model_check.h"
#include "api/recipe.h"
#include "api/response_store.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/hosted_tools_flags.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/serve_models.h"
#include "cli/server_flags.h"
#include "cli/suggestion.h"
#include "cli/table.h"
#include "hub/catalogue.h"
#include "pool/model_pool.h"
#include "server/server.h"

namespace rapid {

namespace {

struct ServeOptions {
  std::vector<std::string> models;  // none: the default one
  std::vector<std::string> pinned;
  double idle_ttl = 0;
  ServedOptions served;
  ServerFlags flags;
  HostedToolsFlags tools;
  ServerOptions server;  // of those
};

Error wrong_use(std::string what, std::string hint) {
  return {ErrorCode::invalid_argument, std::move(what), std::move(hint)};
}

// What the options say together.
Status check(const ServeOptions& options) {
  std::set<std::string> names;
  for (const std::string& name : options.models) {
    if (!names.insert(name).second) {
      return wrong_use(fmt::format("{} is named twice", name), "name it once");
    }
  }
  for (const std::string& name : options.pinned) {
    if (!names.contains(name)) {
      return wrong_use(
          fmt::format("--pin {}: no such MODEL is served", name),
          "name it as it is named before the options");
    }
  }
  if (options.models.size() > 1 && options.served.in_process) {
    return wrong_use(
        "--in-process takes one MODEL", "several run in a process each");
  }
  if (options.models.size() > 1 && !options.served.engine.draft.empty()) {
    return wrong_use(
        "--draft takes one MODEL", "it guesses for one vocabulary");
  }
  if (options.idle_ttl > 0 && options.served.in_process) {
    return wrong_use(
        "--idle-ttl unloads processes, --in-process has none",
        "leave one of them out");
  }
  if (options.models.size() > 1 && !options.served.format.empty()) {
    return wrong_use(
        "--format takes one MODEL",
        "of several each gets its format by its template");
  }
  return {};
}

std::vector<ServedModel> served_models(const ServeOptions& options) {
  std::vector<ServedModel> out;
  for (const std::string& name : options.models) {
    out.push_back(
        {.name = name,
         .alias = find_in_catalogue(name) ? name : "",
         .pinned = std::ranges::count(options.pinned, name) > 0});
  }
  for (const AdapterSource& adapter : options.served.engine.adapters) {
    out.front().adapters.push_back(adapter.name);
  }
  return out;
}

using LoadResult = std::optional<Result<ModelStatus>>;

// The first model is there, or why not; none: the user will not wait. A load
// cannot be stopped.
LoadResult wait_for_first(
    ModelPool& pool,
    const ServedModels& source,
    const Interrupts& interrupts,
    Wakeup& wakeup) {
  struct Outcome {
    std::mutex mutex;
    LoadResult result;
  };
  const auto outcome = std::make_shared<Outcome>();
  const auto look = [&] {
    std::lock_guard lock(outcome->mutex);
    return outcome->result;
  };
  const Status asked = pool.load({}, [&wakeup, outcome](const auto& status) {
    {
      std::lock_guard lock(outcome->mutex);
      outcome->result = status;
    }
    wakeup.notify();
  });
  if (!asked) {
    return Result<ModelStatus>(asked.error());
  }
  wakeup.wait_until(
      [&] { return look() || (interrupts.count() > 0 && !source.fetching()); });
  return look();
}

[[noreturn]] void leave_at_once(const char* why) {
  fmt::print("{}\n", why);
  std::fflush(stdout);
  std::_Exit(kExitDone);
}

void print_ready(
    const ServeOptions& options,
    const ModelPool& pool,
    const std::string& url,
    double seconds) {
  const auto models = pool.list();
  const ModelCard& card = models.front().card;
  fmt::print(
      "ready: {} on {} ({} threads), context {}, {} of weights, after {}\n",
      card.name,
      card.device,
      card.threads,
      card.context_length,
      human_bytes(card.weight_bytes),
      human_seconds(seconds));
  for (size_t i = 1; i < models.size(); ++i) {
    fmt::print(
        "also: {} ({})\n", models[i].card.name, state_name(models[i].state));
  }
  fmt::print(
      "{}/v1\n\n"
      "  curl {}/v1/chat/completions{} \\\n"
      "    -H 'content-type: application/json' \\\n"
      "    -d '{{\"model\": \"default\", \"messages\": "
      "[{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n\n"
      "Ctrl-C stops.\n",
      url,
      url,
      curl_key(options.server));
  std::fflush(stdout);
}

Status run_server(const ServeOptions& options) {
  const double start = now_seconds();
  Wakeup wakeup;
  Interrupts interrupts(
      Interrupts::Watch::interrupt_and_terminate, [&] { wakeup.notify(); });

  // The port first: it is known at once whether it is free, and requests can
  // wait for their model.
  RouteTable routes;
  register_all_routes(routes);
  const auto context = std::make_shared<ApiContext>();
  context->started_seconds = start;
  context->version = RAPID_MLX_VERSION;
  context->tools_expected = options.tools.on;
  set_model_check(check_architecture);
  set_recipe_source(recipe_of(options.served));
  if (const auto folder = options.served.kept("responses"); !folder.empty()) {
    context->responses = ResponseStore::open(folder / "responses.sqlite");
  }
  RAPID_TRY(const auto server, Server::start(routes, context, options.server));
  const std::string url = url_of(options.server, server->port());
  warn_if_open(options.server, server->port());

  const auto models = served_models(options);
  ServedOptions served = options.served;
  served.first = models.front().name;
  const auto source = std::make_shared<ServedModels>(
      served, [&] { return interrupts.count() > 0; });
  const auto pool = ModelPool::start(
      source,
      models,
      {.memory_limit = served.limit(),
       .front_growth = served.in_process ? 0 : kFrontGrowth,
       .idle_ttl = options.idle_ttl,
       .fixed = served.in_process,
       .most_waiting = static_cast<size_t>(std::max(served.queue, 1))});
  context->set_models(pool);
  // Beside the model, which loads: neither waits for the other.
  static_cast<void>(pool->load({}, [](const auto&) {}));
  auto tools = options.tools.open([&] { return interrupts.count() == 0; });
  if (!tools) {
    if (interrupts.count() > 0) {
      leave_at_once("stopped while loading the model");
    }
    pool->stop();
    return tools.error();
  }
  context->set_hosted_tools(*std::move(tools));
  const auto first = wait_for_first(*pool, *source, interrupts, wakeup);
  if (!first) {
    leave_at_once("stopped while loading the model");
  }
  if (!*first) {
    pool->stop();
    return first->error();
  }
  print_ready(options, *pool, url, now_seconds() - start);

  wakeup.wait_until([&] { return interrupts.count() > 0; });
  fmt::print("stopping; Ctrl-C again ends at once\n");
  std::fflush(stdout);
  server->stop();
  server->wait();
  if (pool->loading() && !source->fetching()) {
    leave_at_once("stopped while loading a model");
  }
  pool->stop();
  return {};
}

int serve(ServeOptions& options) {
  if (options.models.empty()) {
    options.models.push_back(suggest_model(options.served));
  }
  if (const auto fine = check(options); !fine) {
    return report_usage(fine.error());
  }
  auto server = options.flags.options();
  if (!server) {
    return report(server.error());
  }
  options.server = *std::move(server);
  for (const std::string& model : options.models) {
    if (const auto fits = check_model_fits(model, options.served); !fits) {
      return report(fits.error());
    }
  }
  const auto done = run_server(options);
  if (!done) {
    const int code = report(done.error());
    return done.error().code == ErrorCode::cancelled ? kExitDone : code;
  }
  return kExitDone;
}

void add_model_flags(CLI::App& app, ServeOptions& options) {
  app.add_option(
         "MODEL",
         options.models,
         "Short names (see `rapid-mlx models`), org/name[@revision], folders, "
         "or .gguf files; the first is the default; when omitted one that "
         "suits this machine")
      ->option_text(" ");
  app.add_option(
         "--pin",
         options.pinned,
         "Keep this MODEL in memory, whatever others need; may be repeated")
      ->option_text("MODEL")
      ->allow_extra_args(false);
  app.add_option(
         "--idle-ttl",
         options.idle_ttl,
         "Unload a model that nobody asks for so long; 0 = never")
      ->option_text("SECONDS (0)")
      ->check(CLI::Range(0.0, 1e9).description(""));
}

void add_memory_flags(CLI::App& app, ServedOptions& options) {
  app.add_option(
         "--memory-limit",
         options.memory_limit,
         "For weights, states, workspace and kept prompts of all models: 4, "
         "4GiB, 4000MiB; else 90 % of the machine or control group")
      ->option_text("GIB")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return parse_memory(text) ? "" : "expected 4, 4GiB or 4000MiB";
          },
          ""));
  app.add_option(
         "--disk-cache",
         options.disk_gib,
         "Prompts that outlive a restart, at most, of each model; 0 = none")
      ->option_text("GIB (8)")
      ->check(CLI::Range(0.0, 1e6).description(""));
  app.add_option("--cache-dir", options.cache_folder, "Where they are kept")
      ->option_text("DIR (~/.rapid-mlx/cache)");
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  ServedOptions& served = options->served;
  add_model_flags(app, *options);
  options->flags.add(app);
  options->tools.add(app);
  served.engine.add(app);
  served.engine.add_speculation(app);
  served.engine.add_adapters(
      app,
      "A LoRA of the first MODEL that requests may name, as MODEL:NAME or "
      "\"adapter\"; may be repeated");
  app.add_option("--format", served.format, "Output format, if not by template")
      ->option_text("NAME");
  add_front_flags(app, served.front);
  app.add_option(
         "--parallel", served.parallel, "Answers made at once; others wait")
      ->option_text(fmt::format("N ({})", served.parallel))
      ->check(CLI::Range(1, 4096).description(""));
  app.add_option(
         "--max-queue", served.queue, "Requests that wait; more get a 429")
      ->option_text(fmt::format("N ({})", served.queue))
      ->check(CLI::Range(0, 1000000).description(""));
  add_memory_flags(app, served);
  app.add_option(
         "--record",
         served.record,
         "Write each request to a file there, for `rapid-mlx replay`")
      ->option_text("DIR");
  app.add_flag(
      "--in-process",
      served.in_process,
      "Run the engine here, not in a process that can be replaced");
  app.add_option(
         "--worker-timeout",
         served.worker_timeout,
         "Seconds without progress before it is replaced")
      ->check(CLI::Range(0.5, 1e6).description(""))
      ->group("");
  return [options] { return serve(*options); };
}

}  // namespace

void register_command_serve(CommandTable& table) {
  table.add({
      .name = "serve",
      .summary = "Serve models over HTTP; fetches them if need be",
      .examples = "Examples:\n"
                  "  rapid-mlx serve {model}\n"
                  "  rapid-mlx serve ./model.gguf --port 9000 --ctx 8192\n"
                  "  rapid-mlx serve {model} org/name --pin {model} "
                  "--idle-ttl 600\n",
      .order = 10,
      .group = "Run",
      .log_info = true,
      .configure = configure,
  });
}

}  // namespace rapid
