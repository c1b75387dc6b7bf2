// The server over recordings, without MLX, Rust and the command line: what the
// sanitizers can look at. replay_server RECORDINGS PORT [BODY_TIMEOUT]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "api/hosted_tools.h"
#include "api/replay_backend.h"
#include "base/clock.h"
#include "engine/recording.h"
#include "engine/replay_shelf.h"
#include "server/server.h"

namespace rapid {
namespace {

int run(const char* path, int port, double body_timeout) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  auto recordings = read_recordings(path);
  if (!recordings) {
    std::fprintf(stderr, "error: %s\n", recordings.error().what.c_str());
    return 1;
  }
  const auto shelf =
      std::make_shared<ReplayShelf>(*std::move(recordings), false);
  RouteTable routes;
  register_all_routes(routes);
  const auto context = std::make_shared<ApiContext>();
  context->started_seconds = now_seconds();
  context->set_backend(make_replay_backend(shelf, {}));
  context->set_hosted_tools(std::make_shared<const HostedTools>(
      McpToolBox({}), std::vector<std::string>()));
  const auto server = Server::start(
      routes,
      context,
      {.port = port,
       .max_body_bytes = 1u << 20,
       .keepalive_seconds = 1,
       .body_timeout_seconds = body_timeout,
       .drain_seconds = 2});
  if (!server) {
    std::fprintf(stderr, "error: %s\n", server.error().what.c_str());
    return 1;
  }
  std::printf("ready on port %d\n", (*server)->port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  (*server)->stop();
  (*server)->wait();
  return 0;
}

}  // namespace
}  // namespace rapid

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: replay_server RECORDINGS PORT [SECONDS]\n");
    return 2;
  }
  return rapid::run(
      argv[1], std::atoi(argv[2]), argc > 3 ? std::atof(argv[3]) : 30);
}
