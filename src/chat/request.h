// What a dialect's parse() makes of a request body: everything the front side
// needs, nothing of HTTP. An absent optional means "the model's default".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "chat/message.h"
#include "sampling/pooling.h"
#include "text/grammar.h"

namespace rapid::chat {

struct Sampling {
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::map<int32_t, float> logit_bias;
  std::optional<uint64_t> seed;
};

struct Request {
  // A chat, or raw prompts (text as the tokenizer post-processes it, or ids
  // exactly as given). Several prompts give choices in order, each `n` times.
  using Prompt = std::variant<std::string, std::vector<int32_t>>;
  std::vector<Message> messages;
  std::vector<Prompt> prompts;  // used when messages is empty

  std::vector<Tool> tools;
  ToolChoice tool_choice;
  Json template_kwargs = Json::object();

  Sampling sampling;
  int choices = 1;                // n
  std::optional<int> max_tokens;  // absent = the rest of the context
  // max_tokens is no more than a bound: where memory ends sooner, so does the
  // answer. Else such a request is refused.
  bool may_shorten = false;
  std::vector<std::string> stop;
  // How earlier turns stand in the prompt: "keep" as they were generated,
  // "template" as the template has it; "" as the server was started.
  std::string history;
  std::string id;           // for logs and /v1/cache/explain
  bool use_cache = true;    // false: neither read nor written
  bool ignore_end = false;  // benches: never stop at an end token
  std::string lane;         // the agent or session it is for; "" = unknown
  std::string adapter;      // one of the model's; "" = the model as it is

  // What the answer (behind the reasoning) must be; none = free.
  std::optional<GrammarSource> constraint;
  bool parallel_calls = true;  // false: only the first call of a turn

  // "" or what the client asked for: none minimal low medium high ...
  std::string reasoning_effort;
  std::optional<int> reasoning_max_tokens;

  // A text that the answer is likely to repeat; it changes the speed alone.
  std::string prediction;

  // Logprobs of generated tokens with this many alternatives (0..20).
  std::optional<int> logprobs;
  bool echo = false;  // completions: give the prompt back

  // Each prompt becomes a vector instead of an answer; with max_tokens 0.
  std::optional<Pooling> embedding;
  bool may_cut = false;  // such a prompt is cut to the context, not refused
};

}  // namespace rapid::chat
