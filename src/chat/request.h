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
  std::vector<std::string> stop;
  bool use_cache = true;    // false: neither read nor written
  bool ignore_end = false;  // benches: never stop at an end token

  // What the answer (behind the reasoning) must be; none = free.
  std::optional<GrammarSource> constraint;
  bool parallel_calls = true;  // false: only the first call of a turn

  // "" or what the client asked for: none minimal low medium high ...
  std::string reasoning_effort;
  std::optional<int> reasoning_max_tokens;

  // Logprobs of generated tokens with this many alternatives (0..20).
  std::optional<int> logprobs;
  bool echo = false;  // completions: give the prompt back
};

}  // namespace rapid::chat
