// What a client of a running server sees: time to first token of a new prompt,
// of the same again and after a restart, decode speed, tool calls that are
// right, and whether a long talk with tools stays whole. The same requests go
// to every server, so that two can be compared.
//
// Progress is told line by line; each function asks one request at a time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agents/profile.h"
#include "base/json.h"
#include "base/result.h"
#include "bench/chat_client.h"

namespace rapid {

struct TrialOptions {
  std::vector<int> prompts = {512};  // words, about as many tokens
  int generate = 64;  // tokens of an answer; four times as many of a call
  int runs = 3;
  std::function<bool()> keep_going;
  // Stops the server and starts it again; absent: nothing can be told of it.
  std::function<Status()> restart;
};

struct ServedSpeed {
  int words = 0;
  int prompt_tokens = 0;  // as the server counts them; 0 = it does not
  double cold_ttft_seconds = 0;
  double warm_ttft_seconds = 0;
  std::optional<double> restart_ttft_seconds;
  double decode_tps = 0;
};

// Medians over the runs. Every cold prompt is new from its first word.
Result<std::vector<ServedSpeed>> served_speed(
    const ChatTarget& target, const TrialOptions& options);

struct ToolScore {
  int asked = 0;   // requests that want a call
  int called = 0;  // ... and got one
  int right_name = 0;
  int valid = 0;  // arguments are an object with all that is required
  int right = 0;  // ... and the values that were asked for
  int quiet = 0;  // requests that want none, and got none
  int quiet_asked = 0;
  int failed = 0;                  // the server answered with an error
  std::vector<std::string> wrong;  // one line each
};

// Twelve requests for one of eight tools, two for none; `rounds` of them.
Result<ToolScore> tool_score(
    const ChatTarget& target, int rounds, const TrialOptions& options);

struct TalkScore {
  int turns = 0;
  int failed = 0;        // requests that the server refused or broke
  int broken_calls = 0;  // arguments that are no object, or unknown names
  int calls = 0;
  double first_ttft_seconds = 0;
  double median_ttft_seconds = 0;  // of the later turns
  double worst_ttft_seconds = 0;
  int prompt_tokens = 0;  // over all turns
  int cached_tokens = 0;
  std::vector<std::string> wrong;
  bool stable() const { return failed == 0 && broken_calls == 0; }
};

// The talk goes on for `turns` requests: results follow calls, tasks follow
// answers. `most_tokens`: of an answer, in place of what the agent asks for;
// 0 = that.
Result<TalkScore> talk_score(
    const ChatTarget& target,
    const AgentTraffic& talk,
    int turns,
    int most_tokens,
    const TrialOptions& options);

Json to_json(const ServedSpeed& speed);
Json to_json(const ToolScore& score);
Json to_json(const TalkScore& score);

}  // namespace rapid
