#include "engine/replay.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "api/replay_backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/hosted_tools_flags.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/server_flags.h"
#include "engine/script.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

struct ReplayFlags {
  std::string path;
  std::string model;  // "": the recorded one
  EngineFlags engine;
  ServerFlags server;
  FrontOptions front;
  HostedToolsFlags tools;
  bool serve = false;
  bool strict = false;
  bool json = false;
};

// The model that was recorded: by its alias, else where its files were.
Result<ModelPlace> find_model(
    const ReplayFlags& flags,
    const RecordedModel& recorded,
    const Interrupts& interrupts) {
  std::string name = flags.model;
  if (name.empty()) {
    name = recorded.alias.empty() ? recorded.path : recorded.alias;
  }
  return fetch_model(name, {.quiet = flags.json, .cancelled = [&] {
                              return interrupts.count() > 0;
                            }});
}

Status check_same_model(const EngineInfo& info, const RecordedModel& recorded) {
  if (info.architecture == recorded.architecture &&
      info.parameters == recorded.parameters &&
      info.weight_bytes == recorded.weight_bytes &&
      info.vocabulary == recorded.vocabulary) {
    return {};
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format(
          "the recording is of {} ({} parameters in {} bytes), this is {} ({} "
          "in {})",
          recorded.architecture,
          recorded.parameters,
          recorded.weight_bytes,
          info.architecture,
          info.parameters,
          info.weight_bytes),
      "--model names the one it was made with",
      "--model"};
}

Result<std::shared_ptr<Engine>> load(
    const ReplayFlags& flags,
    const RecordedModel& recorded,
    const Interrupts& interrupts) {
  RAPID_TRY(const auto place, find_model(flags, recorded, interrupts));
  EngineOptions options = flags.engine.engine_options(place.path);
  options.exact = options.exact || recorded.exact;
  if (options.kv_bits == kDefaultKvBits && !options.exact) {
    options.kv_bits = recorded.kv_bits;
  }
  RAPID_TRY(std::shared_ptr<Engine> engine, make_engine(options));
  RAPID_CHECK(check_same_model(engine->info(), recorded));
  return engine;
}

void print_row(
    const ReplayFlags& flags,
    const Recording& recording,
    const ReplayResult& result,
    Json& rows) {
  if (flags.json) {
    rows.push_back(
        {{"id", recording.id},
         {"runs", result.runs},
         {"tokens", result.tokens},
         {"same", result.same},
         {"difference", result.same ? Json() : Json(result.difference)}});
    return;
  }
  fmt::print(
      "{}  {:6} tokens  {}{}\n",
      result.same ? "same     " : "DIFFERENT",
      result.tokens,
      recording.id,
      result.same ? "" : ": " + result.difference);
  std::fflush(stdout);
}

Result<int> run_again(
    const ReplayFlags& flags, const std::vector<Recording>& recordings) {
  Interrupts interrupts;
  std::shared_ptr<Engine> engine;
  const RecordedModel* loaded = nullptr;
  Json rows = Json::array();
  int different = 0;
  for (const Recording& recording : recordings) {
    const RecordedModel& model = recording.model;
    if (loaded == nullptr || loaded->path != model.path ||
        loaded->exact != model.exact || loaded->kv_bits != model.kv_bits) {
      engine.reset();
      RAPID_TRY(engine, load(flags, model, interrupts));
    } else {
      RAPID_CHECK(check_same_model(engine->info(), model));
    }
    loaded = &model;
    RAPID_TRY(const ReplayResult result, replay(*engine, recording, [&] {
                return interrupts.count() > 0;
              }));
    different += result.same ? 0 : 1;
    print_row(flags, recording, result, rows);
  }
  if (flags.json) {
    print_json({{"recordings", rows}, {"different", different}});
  } else {
    fmt::print(
        "{} of {} recordings gave the same tokens\n",
        recordings.size() - static_cast<size_t>(different),
        recordings.size());
  }
  return different == 0 ? kExitDone : kExitFailed;
}

Result<std::shared_ptr<ReplayShelf>> shelf_of(const ReplayFlags& flags) {
  std::error_code failed;
  if (std::filesystem::is_regular_file(flags.path, failed)) {
    RAPID_TRY(const Json json, read_json_file(flags.path));
    if (Script::is_script(json)) {
      RAPID_TRY(Script script, Script::from(json));
      return std::make_shared<ReplayShelf>(std::move(script));
    }
  }
  RAPID_TRY(auto recordings, read_recordings(flags.path));
  return std::make_shared<ReplayShelf>(std::move(recordings), flags.strict);
}

Result<int> serve_recordings(const ReplayFlags& flags) {
  RAPID_TRY(const auto shelf, shelf_of(flags));
  Wakeup wakeup;
  Interrupts interrupts(
      Interrupts::Watch::interrupt_and_terminate, [&] { wakeup.notify(); });
  RouteTable routes;
  register_all_routes(routes);
  const auto context = std::make_shared<ApiContext>();
  context->started_seconds = now_seconds();
  context->version = RAPID_MLX_VERSION;
  context->set_backend(make_replay_backend(shelf, flags.front));
  RAPID_TRY(
      auto tools, flags.tools.open([&] { return interrupts.count() == 0; }));
  context->set_hosted_tools(std::move(tools));
  RAPID_TRY(const ServerOptions options, flags.server.options());
  RAPID_TRY(const auto server, Server::start(routes, context, options));
  warn_if_open(options, server->port());
  fmt::print(
      "ready: {} {} of {}\n{}/v1\n\nCtrl-C stops.\n",
      shelf->size(),
      shelf->is_script() ? "written answers" : "recordings",
      shelf->at(shelf->size() - 1).model.name,
      url_of(options, server->port()));
  std::fflush(stdout);
  wakeup.wait_until([&] { return interrupts.count() > 0; });
  fmt::print("stopping; Ctrl-C again ends at once\n");
  std::fflush(stdout);
  server->stop();
  server->wait();
  return kExitDone;
}

Result<int> run(const ReplayFlags& flags) {
  if (flags.serve) {
    return serve_recordings(flags);
  }
  RAPID_TRY(const auto recordings, read_recordings(flags.path));
  return run_again(flags, recordings);
}

std::function<int()> configure(CLI::App& app) {
  auto flags = std::make_shared<ReplayFlags>();
  app.add_option(
         "PATH",
         flags->path,
         "A recording, a folder of them, or with --serve a script of answers")
      ->required();
  app.add_option(
         "--model", flags->model, "Instead of the model that was recorded")
      ->option_text("MODEL");
  flags->engine.add(app);
  flags->engine.add_adapters(
      app, "A LoRA that recordings name; may be repeated");
  app.add_flag(
      "--serve",
      flags->serve,
      "Answer requests from the recordings, over HTTP");
  app.add_flag(
      "--strict",
      flags->strict,
      "With --serve: only questions that were recorded, never the next in "
      "order");
  flags->server.add(app);
  flags->tools.add(app);
  add_front_flags(app, flags->front);
  add_json_flag(app, flags->json);
  return [flags] {
    const auto done = run(*flags);
    return done ? *done : report(done.error());
  };
}

}  // namespace

void register_command_replay(CommandTable& table) {
  table.add({
      .name = "replay",
      .summary = "Run recorded requests again, or serve them without a model",
      .examples = "Examples:\n"
                  "  rapid-mlx serve {model} --record ./recordings\n"
                  "  rapid-mlx replay ./recordings\n"
                  "  rapid-mlx replay ./recordings --serve --port 9000\n"
                  "  rapid-mlx replay script.json --serve\n"
                  "\nA script is answers that you write, to test an agent "
                  "without a model:\n"
                  "  {\"script\": 1, \"turns\": [\n"
                  "    {\"content\": \"Look:\", \"calls\": "
                  "[{\"name\": \"read\", \"arguments\": "
                  "{\"path\": \"a\"}}]},\n"
                  "    {\"content\": \"Done.\"}]}\n",
      .order = 61,
      .group = "Look inside",
      .log_info = true,
      .configure = configure,
  });
}

}  // namespace rapid
