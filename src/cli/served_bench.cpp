#include "cli/served_bench.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "agents/registry.h"
#include "base/child_process.h"
#include "base/clock.h"
#include "base/platform.h"
#include "bench/served_bench.h"
#include "cli/table.h"
#include "hub/http_get.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;

int free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(probe, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(probe);
  return ntohs(address.sin_port);
}

// A server of ours with a cache of its own, which goes with it.
class OwnServer {
 public:
  explicit OwnServer(const ServedBenchRequest& request)
      : request_(request),
        port_(free_port()),
        cache_(
            fs::temp_directory_path() /
            fmt::format("rapid-mlx-bench-{}", ::getpid())) {}
  ~OwnServer() {
    stop();
    std::error_code ignored;
    fs::remove_all(cache_, ignored);
  }

  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }

  Status start() {
    // What it prints goes to a file: nobody would empty a pipe.
    std::error_code failed;
    fs::create_directories(cache_, failed);
    std::vector<std::string> argv = {
        "/bin/sh",
        "-c",
        "log=$1; shift; exec \"$0\" \"$@\" >\"$log\" 2>&1",
        program_path(),
        log().string(),
        "serve",
        request_.model,
        "--port",
        std::to_string(port_),
        "--cache-dir",
        (cache_ / "cache").string()};
    argv.insert(
        argv.end(), request_.serve_flags.begin(), request_.serve_flags.end());
    RAPID_TRY(child_, ChildProcess::spawn(argv));
    return wait_until_ready();
  }

  Status restart() {
    stop();
    return start();
  }

 private:
  Status wait_until_ready() {
    constexpr double kPatience = 900;
    const double end = now_seconds() + kPatience;
    while (now_seconds() < end && !ended()) {
      if (request_.keep_going && !request_.keep_going()) {
        return Error{ErrorCode::cancelled, "the benchmark was stopped"};
      }
      const auto health =
          http_get_text(url() + "/health", "", [] { return true; });
      if (health) {
        return {};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    const auto said = read_optional_text(log());
    return Error{
        ErrorCode::io,
        "our server did not start: " + (said ? last_lines(*said, 4) : "")};
  }

  fs::path log() const { return cache_ / "log"; }

  // Looks, and leaves it for wait() to reap.
  bool ended() const {
    siginfo_t info{};
    return ::waitid(
               P_PID,
               static_cast<id_t>(child_->pid()),
               &info,
               WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }

  void stop() {
    if (child_) {
      ::kill(child_->pid(), SIGTERM);
      (void)child_->wait();
      child_.reset();
    }
  }

  const ServedBenchRequest& request_;
  int port_;
  fs::path cache_;
  std::optional<ChildProcess> child_;
};

void say(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
}

Result<Json> measure(
    const ChatTarget& target,
    const ServedBenchRequest& request,
    OwnServer* own) {
  TrialOptions options{
      .prompts = request.prompts,
      .generate = request.generate,
      .runs = request.runs,
      .keep_going = request.keep_going};
  if (own != nullptr) {
    options.restart = [own] { return own->restart(); };
  }
  Json out = {{"name", target.name}, {"url", target.url}};
  if (request.speed) {
    say(target.name + ": speed");
    RAPID_TRY(const auto speeds, served_speed(target, options));
    out["speed"] = Json::array();
    for (const ServedSpeed& speed : speeds) {
      out["speed"].push_back(to_json(speed));
    }
  }
  if (request.tools) {
    say(target.name + ": tool calls");
    RAPID_TRY(const auto score, tool_score(target, request.runs, options));
    out["tools"] = to_json(score);
  }
  if (!request.agent.empty()) {
    say(target.name + ": a talk as " + request.agent + " has it");
    RAPID_TRY(
        const AgentProfile* agent, AgentRegistry::global().find(request.agent));
    RAPID_TRY(
        const auto score,
        talk_score(
            target,
            agent->traffic(request.agent_tokens),
            request.agent_turns,
            request.generate,
            options));
    out["agent"] = to_json(score);
  }
  return out;
}

// What the server calls its first model; it may know no "default".
std::string first_model(const ChatTarget& target) {
  std::string url = target.url;
  while (url.ends_with('/')) {
    url.pop_back();
  }
  const auto text = http_get_text(
      url + (url.ends_with("/v1") ? "" : "/v1") + "/models", target.key, [] {
        return true;
      });
  const auto json = text ? parse_json(*text) : Result<Json>(text.error());
  const Json data =
      json && json->is_object() ? json->value("data", Json()) : Json();
  const bool named = data.is_array() && !data.empty() && data[0].is_object() &&
                     data[0].value("id", Json()).is_string();
  return named ? data[0].at("id").get<std::string>() : "default";
}

std::string ms(const Json& from, const char* key) {
  const Json value = from.value(key, Json());
  return value.is_number() ? human_seconds(value.get<double>() / 1e3) : "-";
}

}  // namespace

Status check_agent(const std::string& name) {
  if (name.empty()) {
    return {};
  }
  RAPID_TRY(const AgentProfile* agent, AgentRegistry::global().find(name));
  if (agent->traffic) {
    return {};
  }
  std::string known;
  for (const AgentProfile& each : AgentRegistry::global().all()) {
    if (each.traffic) {
      known += (known.empty() ? "" : ", ") + each.name;
    }
  }
  return Error{
      ErrorCode::unsupported,
      fmt::format("what {} sends is not recorded", name),
      "known: " + known};
}

Result<Json> run_served_bench(const ServedBenchRequest& request) {
  Json out = Json::array();
  {
    OwnServer own(request);
    say("starting a server of our own");
    RAPID_CHECK(own.start());
    RAPID_TRY(
        Json ours,
        measure({.name = "rapid-mlx", .url = own.url()}, request, &own));
    out.push_back(std::move(ours));
  }  // gone before another is measured
  for (const std::string& url : request.others) {
    ChatTarget other{.name = url, .url = url, .key = request.other_key};
    other.model = first_model(other);
    RAPID_TRY(Json theirs, measure(other, request, nullptr));
    out.push_back(std::move(theirs));
  }
  return out;
}

void print_servers(const Json& servers) {
  const auto right = Table::Align::right;
  Table speeds(
      {{"SERVER"},
       {"PROMPT", right},
       {"NEW", right},
       {"AGAIN", right},
       {"RESTARTED", right},
       {"DECODE", right}});
  std::string rest;
  for (const Json& server : servers) {
    const auto name = server.at("name").get<std::string>();
    for (const Json& speed : server.value("speed", Json::array())) {
      speeds.row(
          {name,
           std::to_string(speed.at("prompt_tokens").get<int>()),
           ms(speed, "cold_ttft_ms"),
           ms(speed, "warm_ttft_ms"),
           ms(speed, "restart_ttft_ms"),
           fmt::format("{:.1f} tok/s", speed.at("decode_tps").get<double>())});
    }
    if (const Json score = server.value("tools", Json()); score.is_object()) {
      rest += fmt::format(
          "{}: {} of {} tool calls right ({} made, {} of the right tool), {} "
          "of {} answers without one\n",
          name,
          score.at("right").get<int>(),
          score.at("asked").get<int>(),
          score.at("called").get<int>(),
          score.at("right_name").get<int>(),
          score.at("none_made").get<int>(),
          score.at("none_wanted").get<int>());
    }
    if (const Json score = server.value("agent", Json()); score.is_object()) {
      rest += fmt::format(
          "{}: {} turns {}: {} failed, {} of {} calls broken; first token {} "
          "at first, then {} (worst {}); {} of {} prompt tokens cached\n",
          name,
          score.at("turns").get<int>(),
          score.at("stable").get<bool>() ? "stable" : "NOT stable",
          score.at("failed").get<int>(),
          score.at("broken_calls").get<int>(),
          score.at("calls").get<int>(),
          ms(score, "first_ttft_ms"),
          ms(score, "median_ttft_ms"),
          ms(score, "worst_ttft_ms"),
          score.at("cached_tokens").get<int>(),
          score.at("prompt_tokens").get<int>());
    }
  }
  if (!servers.empty() && servers[0].contains("speed")) {
    fmt::print("\nTime to first token over HTTP\n{}", speeds.text());
  }
  if (!rest.empty()) {
    fmt::print("\n{}", rest);
  }
}

}  // namespace rapid
