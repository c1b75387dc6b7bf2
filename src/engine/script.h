// Answers that a person wrote instead of a model: `rapid-mlx replay FILE
// --serve` gives them, so that an agent can be tested without weights. Calls
// are written as the named format writes them and read by its parser again.
//
//   {"script": 1, "format": "hermes", "reasoning": "qwen3",
//    "turns": [{"reasoning": "A file, then.", "content": "I write it.",
//               "calls": [{"name": "write", "arguments": {"path": "a"}}]},
//              {"output": "raw text, as a model would give it"}],
//    "aside": {"content": "a title"}}
//
// Which turn: the first that the request's history does not hold yet. So
// dates, folders, retries, several conversations at once and questions beside
// change nothing. A request without tools is such a question when the script
// offers calls and has an `aside`. Behind the last turn that one comes again,
// if it calls nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/request.h"
#include "engine/recording.h"

namespace rapid {

class Script {
 public:
  struct Turn {
    std::string output;  // what the model gives
    std::string content;
    std::vector<chat::ToolCall> calls;  // empty when `output` was given raw
  };

  // Errors: corrupt, naming the field.
  static Result<Script> from(const Json& json);
  static bool is_script(const Json& json) { return json.contains("script"); }

  // One for each turn, and one for the aside: answers of a model whose tokens
  // are the words of the script.
  std::vector<Recording> recordings() const;
  // The number of its recording; -1: the script is over.
  int next(const chat::Request& request) const;

  const std::vector<Turn>& turns() const { return turns_; }

 private:
  bool is_aside(const chat::Request& request) const;

  std::string name_ = "scripted";
  std::string format_;
  std::string reasoning_;
  int context_length_ = 131072;
  std::vector<Turn> turns_;
  std::optional<Turn> aside_;
};

}  // namespace rapid
