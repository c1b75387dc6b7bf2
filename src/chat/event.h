// What happens to one request, in order. The only thing routes see of the
// engine. Law 1: every generated token ends in exactly one of content,
// reasoning, a tool call or a rejected event.
//
// Order: Progress with waiting_for, Started, then any number of Progress /
// Prompt / Delta / ToolCall / ToolRun / Rejected, one Finished per choice, then
// Done.
// Failed replaces the rest. All text is valid UTF-8 and whole characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "chat/message.h"

namespace rapid::chat {

// Natural log, from the raw logits (before temperature, penalties, bias).
struct TokenLogprob {
  struct Alternative {
    int32_t id = 0;
    std::string text;
    float logprob = 0;
  };
  int32_t id = 0;
  std::string text;              // "bytes:\xNN..." when not UTF-8
  std::string bytes;             // the exact bytes
  std::optional<float> logprob;  // none for the first prompt token
  std::vector<Alternative> top;  // best first
};

// The request was accepted and tokenised.
struct Started {
  int prompt_tokens = 0;
  // "place: keyword": what a schema lost because the compiler lacks it.
  std::vector<std::string> relaxed;
};

// Prefill moved on; sent at least once a second while it lasts.
struct Progress {
  int done = 0;
  int total = 0;
  int cached = 0;
  // Not "": the request waits for its model, for this reason. Only before
  // Started; a writer hears of it by EventWriter::waiting().
  std::string waiting_for = {};
};

// echo: the prompt itself, once per choice, before its first delta. Also what
// it was made to, when that was asked for.
struct Prompt {
  int choice = 0;
  std::string text;
  std::vector<TokenLogprob> logprobs;  // empty unless asked for
  std::vector<float> embedding;        // the same
  int tokens = 0;                      // of the prompt, with an embedding
};

struct Delta {
  enum class Kind { content, reasoning };
  int choice = 0;
  Kind kind = Kind::content;
  std::string text;
  std::vector<TokenLogprob> logprobs;  // empty unless asked for
};

struct ToolCallEvent {
  int choice = 0;
  int index = 0;  // 0, 1, ... within the choice
  ToolCall call;  // whole
};

// A call that is run here and not by the client (api/tool_backend.h): when it
// begins, and once more with its result.
struct ToolRun {
  ToolCall call;
  std::string server;  // whose tool it is
  std::string tool;    // what it is called there
  std::optional<std::string> result;
  bool is_error = false;
};

struct Rejected {
  int choice = 0;
  std::string raw;
  std::string reason;
};

// The answer ends in, or went through, a repetition of its last tokens.
struct TokenLoop {
  int period = 0;   // tokens
  int repeats = 0;  // whole ones
  int start = 0;    // index of its first token in the answer
};

// The history's latest call came before, with the same result.
struct CallLoop {
  std::string name;
  std::string arguments;  // canonical (cache/canonical_arguments.h)
  int times = 0;
};

struct Finished {
  enum class Reason { stop, length, tool_calls };
  int choice = 0;
  Reason reason = Reason::stop;
  std::string stop;   // the request's stop string that ended it; "" = none
  int redecoded = 0;  // malformed calls that were decoded again
  std::optional<TokenLoop> token_loop;
  std::optional<CallLoop> call_loop;
};

// Why the cache did not hold more of a prompt, against the nearest earlier
// one (engine/prompt_log.h).
struct CacheReport {
  enum class Kind {
    new_conversation,
    appended,  // all that was known hit; the rest is new
    tools_changed,
    system_changed,
    template_changed,  // its variables, or what it makes of old messages
    history_edited,
    turn_retokenised,  // an assistant's turn that the ledger does not know
    evicted,           // the cache held less than the prompts share
    off,               // the request does not use it
  };
  std::string id;       // of the request
  std::string earlier;  // the other one's; "" = none
  Kind kind = Kind::new_conversation;
  int message = -1;  // the first that differs, its role, and
  std::string role;
  std::string field;  // content tool_calls role tools template
  int64_t byte = -1;  // where in it; calls in canonical form, tools as JSON
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int common_tokens = 0;  // with the earlier one
  int cost_tokens = 0;    // evaluated again for that reason
};

constexpr std::string_view kind_name(CacheReport::Kind kind) {
  constexpr std::string_view kNames[] = {
      "new_conversation",
      "appended",
      "tools_changed",
      "system_changed",
      "template_changed",
      "history_edited",
      "turn_retokenised",
      "evicted",
      "off"};
  return kNames[static_cast<int>(kind)];
}

struct Usage {
  int prompt_tokens = 0;      // of all prompts
  int completion_tokens = 0;  // of all choices
  int cached_tokens = 0;
  int reasoning_tokens = 0;
  int drafted_tokens = 0;   // guesses of how answers go on (speculation)
  int accepted_tokens = 0;  // of them
  double prefill_seconds = 0;
  double decode_seconds = 0;
  std::optional<CacheReport> cache;  // of a single prompt
};

struct Done {
  Usage usage;
};

struct Failed {
  Error error;
};

using Event = std::variant<
    Started,
    Progress,
    Prompt,
    Delta,
    ToolCallEvent,
    ToolRun,
    Rejected,
    Finished,
    Done,
    Failed>;

}  // namespace rapid::chat
