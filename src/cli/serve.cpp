#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>

#include "api/front_backend.h"
#include "base/clock.h"
#include "base/home.h"
#include "cli/command.h"
#include "cli/interrupts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/table.h"
#include "engine/front.h"
#include "server/server.h"

namespace rapid {

namespace {

struct ServeOptions {
  ModelOption model;
  EngineFlags engine;
  ServerOptions server;
  std::string format;
  FrontOptions front;
  double disk_gib = 8;
  std::string cache_folder;
};

EngineOptions engine_options(
    const ServeOptions& options, const std::string& path) {
  constexpr double kGiB = 1 << 30;
  EngineOptions out = options.engine.engine_options(path);
  if (options.disk_gib > 0) {
    const std::filesystem::path folder =
        options.cache_folder.empty()
            ? cache_dir()
            : std::filesystem::path(options.cache_folder);
    out.disk_folder = (folder / "states").string();
    out.disk_bytes = static_cast<uint64_t>(options.disk_gib * kGiB);
    out.build = RAPID_MLX_VERSION;
  }
  return out;
}

// One thing that the main thread waits for: a signal or the loaded engine.
class Wakeup {
 public:
  void notify() {
    {
      std::lock_guard lock(mutex_);
      ++events_;
    }
    changed_.notify_all();
  }
  template <typename Condition>
  void wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int events_ = 0;
};

using EngineResult = Result<std::unique_ptr<Engine>>;

// Loads on a thread of its own, so that Ctrl-C is heard meanwhile. Loading
// itself cannot be stopped: when the user will not wait the process ends.
EngineResult load_engine(
    const EngineOptions& options,
    const Interrupts& interrupts,
    Wakeup& wakeup) {
  std::optional<EngineResult> result;
  std::atomic<bool> loaded = false;
  std::thread loader([&] {
    try {
      result.emplace(make_engine(options));
    } catch (const std::exception& e) {
      result.emplace(Error{ErrorCode::internal, e.what()});
    }
    loaded = true;
    wakeup.notify();
  });
  wakeup.wait_until([&] { return loaded || interrupts.count() > 0; });
  if (!loaded) {
    fmt::print("stopped while loading the model\n");
    std::fflush(stdout);
    std::_Exit(kExitDone);
  }
  loader.join();
  return std::move(*result);
}

std::string url_of(const ServerOptions& options, int port) {
  std::string host = options.host;
  if (host == "0.0.0.0") {
    host = "127.0.0.1";
  } else if (host == "::") {
    host = "[::1]";
  } else if (host.find(':') != std::string::npos) {
    host = "[" + host + "]";
  }
  return fmt::format("http://{}:{}", host, port);
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

void print_ready(
    const ServeOptions& options,
    const ModelPlace& place,
    const EngineInfo& info,
    const std::string& url,
    double seconds) {
  const std::string key =
      options.server.api_key.empty()
          ? ""
          : " -H \"authorization: Bearer $RAPID_MLX_API_KEY\"";
  fmt::print(
      "ready: {} on {} ({} threads), context {}, {} of weights, after {}\n"
      "{}/v1\n\n"
      "  curl {}/v1/chat/completions{} \\\n"
      "    -H 'content-type: application/json' \\\n"
      "    -d '{{\"model\": \"default\", \"messages\": "
      "[{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n\n"
      "Ctrl-C stops.\n",
      place.name,
      info.device,
      info.threads,
      info.context_length,
      human_bytes(info.weight_bytes),
      human_seconds(seconds),
      url,
      url,
      key);
  std::fflush(stdout);
}

Status run_server(const ServeOptions& options) {
  const double start = now_seconds();
  Wakeup wakeup;
  Interrupts interrupts(
      Interrupts::Watch::interrupt_and_terminate, [&] { wakeup.notify(); });

  // The port first: it is known at once whether it is free, and /health can
  // tell that the model is still on its way.
  RouteTable routes;
  register_all_routes(routes);
  const auto context = std::make_shared<ApiContext>();
  context->started_seconds = start;
  context->version = RAPID_MLX_VERSION;
  RAPID_TRY(const auto server, Server::start(routes, context, options.server));
  const std::string url = url_of(options.server, server->port());
  if (!is_loopback(options.server.host) && options.server.api_key.empty()) {
    fmt::print(
        stderr,
        "warning: anyone who reaches {} port {} may use this server; "
        "--api-key sets a key\n",
        options.server.host,
        server->port());
  }

  RAPID_TRY(
      const auto place, fetch_model(options.model.model, {.cancelled = [&] {
                                      return interrupts.count() > 0;
                                    }}));
  RAPID_TRY(const auto text, open_text(place, options.format));
  RAPID_TRY(
      std::shared_ptr<Engine> engine,
      load_engine(engine_options(options, place.path), interrupts, wakeup));
  const EngineInfo info = engine->info();
  context->set_backend(make_front_backend(
      std::make_shared<Front>(std::move(engine), text, options.front)));
  print_ready(options, place, info, url, now_seconds() - start);

  wakeup.wait_until([&] { return interrupts.count() > 0; });
  fmt::print("stopping; Ctrl-C again ends at once\n");
  std::fflush(stdout);
  server->stop();
  server->wait();
  return {};
}

int serve(const ServeOptions& options) {
  const auto done = run_server(options);
  if (!done) {
    const int code = report(done.error());
    return done.error().code == ErrorCode::cancelled ? kExitDone : code;
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  auto& server = options->server;
  options->model.add(app, ModelOption::Need::default_allowed);
  app.add_option("--host", server.host, "Address to listen on")
      ->option_text(fmt::format("ADDRESS ({})", server.host));
  app.add_option("--port", server.port, "Port; 0 = any free one")
      ->option_text(fmt::format("N ({})", server.port))
      ->check(CLI::Range(0, 65535).description(""));
  app.add_option(
         "--api-key",
         server.api_key,
         "Key that clients must send; also from RAPID_MLX_API_KEY")
      ->option_text("KEY")
      ->envname("RAPID_MLX_API_KEY");
  options->engine.add(app);
  app.add_option(
         "--format", options->format, "Output format, if not by template")
      ->option_text("NAME");
  add_front_flags(app, options->front);
  app.add_option(
         "--disk-cache",
         options->disk_gib,
         "Prompts that outlive a restart, at most; 0 = none")
      ->option_text("GIB (8)")
      ->check(CLI::Range(0.0, 1e6).description(""));
  app.add_option("--cache-dir", options->cache_folder, "Where they are kept")
      ->option_text("DIR (~/.rapid-mlx/cache)");
  return [options] { return serve(*options); };
}

}  // namespace

void register_command_serve(CommandTable& table) {
  table.add({
      .name = "serve",
      .summary = "Serve a model over HTTP; fetches it if need be",
      .examples = "Examples:\n"
                  "  rapid-mlx serve {model}\n"
                  "  rapid-mlx serve ./model.gguf --port 9000 --ctx 8192\n",
      .order = 10,
      .group = "Run",
      .log_info = true,
      .configure = configure,
  });
}

}  // namespace rapid
