// What `serve` starts to run the engine; nobody types it.
#include <signal.h>

#include <memory>

#include <CLI/CLI.hpp>

#include "base/companion.h"
#include "cli/command.h"
#include "engine/worker_host.h"

namespace rapid {

namespace {

int work(int fd) {
  // The front hears what asks a service to stop, and then closes the socket.
  // A log line must not stop a process in the background of its terminal.
  for (const int each : {SIGINT, SIGTERM, SIGPIPE, SIGTTOU}) {
    ::signal(each, SIG_IGN);
  }
  return serve_worker({.fd = fd, .make = make_engine}) ? kExitDone
                                                       : kExitFailed;
}

std::function<int()> configure(CLI::App& app) {
  auto fd = std::make_shared<int>(Companion::kChildFd);
  app.add_option("--fd", *fd, "The socket to whoever started it")
      ->option_text("N (3)")
      ->check(CLI::Range(0, 1 << 20).description(""));
  return [fd] { return work(*fd); };
}

}  // namespace

void register_command_worker(CommandTable& table) {
  table.add({
      .name = "worker",
      .summary = "The engine's process; `serve` starts it",
      .hidden = true,
      .log_info = true,
      .configure = configure,
  });
}

}  // namespace rapid
