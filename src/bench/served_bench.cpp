#include "bench/served_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <random>
#include <set>
#include <thread>

#include "base/clock.h"
#include "bench/bench.h"

namespace rapid {
namespace {

bool stopped(const TrialOptions& options) {
  return options.keep_going && !options.keep_going();
}

Error was_stopped() {
  return {ErrorCode::cancelled, "the benchmark was stopped"};
}

// Words that no other prompt begins with.
std::string new_text(int words, uint64_t seed) {
  static constexpr std::array kWords = {
      "river",
      "stone",
      "green",
      "walks",
      "under",
      "seven",
      "paper",
      "light",
      "house",
      "water",
      "quick",
      "north",
      "sound",
      "table",
      "bread",
      "cloud"};
  std::mt19937_64 random(seed);
  std::string out = fmt::format("{} ", random() % 1000000);
  for (int i = 1; i < words; ++i) {
    out += kWords[random() % kWords.size()];
    out += ' ';
  }
  return out;
}

Json prompt_of(const std::string& text, int tokens) {
  return {
      {"messages", Json::array({{{"role", "user"}, {"content", text}}})},
      {"max_tokens", tokens},
      {"temperature", 0}};
}

// The state of an answer is durable within two seconds.
constexpr double kDurableSeconds = 2.5;

Status sleep_until_durable(const TrialOptions& options) {
  const double end = now_seconds() + kDurableSeconds;
  while (now_seconds() < end) {
    if (stopped(options)) {
      return was_stopped();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return {};
}

double milliseconds(double seconds) {
  return std::round(seconds * 1e6) / 1e3;
}

}  // namespace

Result<std::vector<ServedSpeed>> served_speed(
    const ChatTarget& target, const TrialOptions& options) {
  std::vector<ServedSpeed> out;
  uint64_t seed = static_cast<uint64_t>(now_seconds() * 1e6);
  for (const int words : options.prompts) {
    std::vector<double> cold, warm, decode;
    ServedSpeed speed{.words = words};
    Json last;
    // The first run warms the server up and is thrown away.
    for (int run = 0; run <= options.runs; ++run) {
      last = prompt_of(new_text(words, ++seed), options.generate);
      RAPID_TRY(const auto first, ask(target, last, options.keep_going));
      RAPID_TRY(const auto again, ask(target, last, options.keep_going));
      if (run > 0) {
        cold.push_back(first.ttft_seconds);
        warm.push_back(again.ttft_seconds);
        decode.push_back(first.decode_tps());
      }
      speed.prompt_tokens = first.prompt_tokens;
    }
    speed.cold_ttft_seconds = median(cold);
    speed.warm_ttft_seconds = median(warm);
    speed.decode_tps = median(decode);
    if (options.restart) {
      RAPID_CHECK(sleep_until_durable(options));
      RAPID_CHECK(options.restart());
      RAPID_TRY(const auto after, ask(target, last, options.keep_going));
      speed.restart_ttft_seconds = after.ttft_seconds;
    }
    out.push_back(speed);
  }
  return out;
}

namespace {

// What is wrong with a call: "" = nothing. Only names and objects are looked
// at.
std::string fault_of(const Json& call, const std::set<std::string>& known) {
  const auto name = call.at("name").get<std::string>();
  if (!known.contains(name)) {
    return fmt::format("a call of {}, which is no tool", name);
  }
  const auto arguments = parse_json(call.at("arguments").get<std::string>());
  if (!arguments || !arguments->is_object()) {
    return fmt::format("the arguments of {} are no object", name);
  }
  return "";
}

// Sorted keys: as an agent does that keeps arguments parsed.
std::string reordered(const std::string& text) {
  const auto parsed = parse_json(text);
  return parsed ? nlohmann::json::parse(dump_json(*parsed)).dump() : text;
}

Json assistant_message(const ServedAnswer& answer, bool reorders) {
  Json calls = Json::array();
  for (const Json& call : answer.tool_calls) {
    const auto text = call.at("arguments").get<std::string>();
    calls.push_back(
        {{"id", call.at("id")},
         {"type", "function"},
         {"function",
          {{"name", call.at("name")},
           {"arguments", reorders ? reordered(text) : text}}}});
  }
  Json message = {{"role", "assistant"}, {"content", answer.content}};
  if (!calls.empty()) {
    message["tool_calls"] = std::move(calls);
  }
  return message;
}

void note_turn(TalkScore& score, const ServedAnswer& answer) {
  score.prompt_tokens += answer.prompt_tokens;
  score.cached_tokens += answer.cached_tokens;
  score.calls += static_cast<int>(answer.tool_calls.size());
}

}  // namespace

Result<TalkScore> talk_score(
    const ChatTarget& target,
    const AgentTraffic& talk,
    int turns,
    int most_tokens,
    const TrialOptions& options) {
  TalkScore score;
  std::set<std::string> known;
  for (const Json& tool : talk.request.value("tools", Json::array())) {
    known.insert(tool.at("function").at("name").get<std::string>());
  }
  Json messages = Json::array(
      {{{"role", "system"}, {"content", talk.system}},
       {{"role", "user"}, {"content", talk.tasks.front()}}});
  size_t task = 1;
  std::vector<double> later;
  for (; score.turns < turns; ++score.turns) {
    if (stopped(options)) {
      return was_stopped();
    }
    Json request = talk.request;
    request["messages"] = messages;
    if (most_tokens > 0) {
      request["max_tokens"] = most_tokens;
    }
    const auto answer = ask(target, request, options.keep_going);
    if (!answer) {
      ++score.failed;
      score.wrong.push_back(answer.error().what);
      if (score.turns == 0) {
        return answer.error();  // nothing will work
      }
      continue;
    }
    note_turn(score, *answer);
    if (score.turns == 0) {
      score.first_ttft_seconds = answer->ttft_seconds;
    } else {
      later.push_back(answer->ttft_seconds);
    }
    messages.push_back(assistant_message(*answer, talk.reorders_arguments));
    for (const Json& call : answer->tool_calls) {
      if (const auto fault = fault_of(call, known); !fault.empty()) {
        ++score.broken_calls;
        score.wrong.push_back(fault);
      }
      messages.push_back(
          {{"role", "tool"},
           {"tool_call_id", call.at("id")},
           {"content", fmt::format("done: step {}", score.turns + 1)}});
    }
    if (answer->tool_calls.empty()) {
      messages.push_back(
          {{"role", "user"},
           {"content", talk.tasks[task++ % talk.tasks.size()]}});
    }
  }
  if (!later.empty()) {
    score.median_ttft_seconds = median(later);
    score.worst_ttft_seconds = *std::ranges::max_element(later);
  }
  return score;
}

Json to_json(const ServedSpeed& speed) {
  return {
      {"words", speed.words},
      {"prompt_tokens", speed.prompt_tokens},
      {"cold_ttft_ms", milliseconds(speed.cold_ttft_seconds)},
      {"warm_ttft_ms", milliseconds(speed.warm_ttft_seconds)},
      {"restart_ttft_ms",
       speed.restart_ttft_seconds
           ? Json(milliseconds(*speed.restart_ttft_seconds))
           : Json()},
      {"decode_tps", std::round(speed.decode_tps * 1000) / 1000}};
}

Json to_json(const ToolScore& score) {
  return {
      {"asked", score.asked},
      {"called", score.called},
      {"right_name", score.right_name},
      {"valid", score.valid},
      {"right", score.right},
      {"none_wanted", score.quiet_asked},
      {"none_made", score.quiet},
      {"failed", score.failed},
      {"success_percent",
       score.asked > 0
           ? Json(std::round(1000.0 * score.right / score.asked) / 10)
           : Json()},
      {"wrong", score.wrong}};
}

Json to_json(const TalkScore& score) {
  return {
      {"turns", score.turns},
      {"stable", score.stable()},
      {"failed", score.failed},
      {"calls", score.calls},
      {"broken_calls", score.broken_calls},
      {"first_ttft_ms", milliseconds(score.first_ttft_seconds)},
      {"median_ttft_ms", milliseconds(score.median_ttft_seconds)},
      {"worst_ttft_ms", milliseconds(score.worst_ttft_seconds)},
      {"prompt_tokens", score.prompt_tokens},
      {"cached_tokens", score.cached_tokens},
      {"wrong", score.wrong}};
}

}  // namespace rapid
