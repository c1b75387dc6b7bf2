// What happens to one request, in order. The only thing routes see of the
// engine. Law 1: every generated token ends in exactly one of content,
// reasoning, a tool call or a rejected event.
//
// Order: Started, then any number of Progress / Prompt / Delta / ToolCall /
// Rejected, one Finished per choice, then Done. Failed replaces the rest.
// All text is valid UTF-8 and whole characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
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
};

// echo: the prompt itself, once per choice, before its first delta.
struct Prompt {
  int choice = 0;
  std::string text;
  std::vector<TokenLogprob> logprobs;  // empty unless asked for
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
  int redecoded = 0;  // malformed calls that were decoded again
  std::optional<TokenLoop> token_loop;
  std::optional<CallLoop> call_loop;
};

struct Usage {
  int prompt_tokens = 0;      // of all prompts
  int completion_tokens = 0;  // of all choices
  int cached_tokens = 0;
  int reasoning_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
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
    Rejected,
    Finished,
    Done,
    Failed>;

}  // namespace rapid::chat
