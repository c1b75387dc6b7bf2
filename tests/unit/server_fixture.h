// A server on a free port with a few small routes.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "server/server.h"
#include "server_client.h"

namespace rapid {

class ServerTest : public testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.port = 0;
    add("GET", "/hello", [](auto& request, auto stream, auto&) {
      stream->reply(200, "hello " + request.query, "text/plain");
    });
    add("GET", "/id", [](auto& request, auto stream, auto&) {
      stream->reply(200, request.id, "text/plain");
    });
    add("POST", "/echo", [](auto& request, auto stream, auto&) {
      stream->reply(200, request.body, "text/plain");
    });
    // Keeps the stream open and silent until a test does something with it.
    add("POST", "/open", [this](auto&, auto stream, auto&) {
      stream->start_events();
      hold(stream);
    });
    add("POST", "/lines", [this](auto&, auto stream, auto&) {
      stream->start_lines();
      hold(stream);
    });
    add("POST", "/wait", [this](auto&, auto stream, auto&) { hold(stream); });
    add("POST", "/throw", [](auto&, auto, auto&) {
      throw std::runtime_error("handler");
    });
    add("POST", "/forget", [](auto&, auto, auto&) {});
    auto made = Server::start(table, std::make_shared<ApiContext>(), options);
    ASSERT_TRUE(made) << made.error().what;
    server = *std::move(made);
  }
  void TearDown() override {
    {
      std::lock_guard lock(mutex);
      held.clear();
    }
    server.reset();
  }

  void add(
      const char* method,
      const char* path,
      std::function<void(
          const HttpRequest&, std::shared_ptr<ResponseStream>, ApiContext&)>
          handler) {
    table.add(
        {.method = method,
         .path = path,
         .auth = std::string_view(path) == "/hello" ? Auth::open : Auth::key,
         .handler = std::move(handler)});
  }

  void hold(const std::shared_ptr<ResponseStream>& stream) {
    stream->on_disconnect([this] {
      std::lock_guard lock(mutex);
      ++left;
      changed.notify_all();
    });
    std::lock_guard lock(mutex);
    held.push_back(stream);
    changed.notify_all();
  }
  bool wait_held(size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(
        lock, std::chrono::seconds(10), [&] { return held.size() >= count; });
  }
  bool wait_left(int count, double seconds) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::duration<double>(seconds), [&] {
      return left >= count;
    });
  }

  RouteTable table;
  std::unique_ptr<Server> server;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<ResponseStream>> held;
  int left = 0;
};

}  // namespace rapid
