// The conversation, independent of any wire dialect. Pure values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace rapid::chat {

struct ToolCall {
  std::string id;  // as the client knows it
  std::string name;
  std::string arguments;  // a JSON object as text, byte for byte
};

struct Message {
  std::string role;  // system developer user assistant tool
  std::string content;
  std::string reasoning;             // assistant only
  std::vector<ToolCall> tool_calls;  // assistant only
  std::string tool_call_id;          // tool only
  std::string name;                  // optional name of a tool or speaker
  int origin = -1;  // its index in the request, while a prompt is built
};

struct Tool {
  std::string name;
  std::string description;
  Json parameters;   // JSON schema
  Json declaration;  // the whole object as the client sent it, for templates
  // May be called, but the prompt does not list it: the client shows it to the
  // model when it is asked for.
  bool deferred = false;
};

struct ToolChoice {
  enum class Kind { automatic, none, required, named };
  Kind kind = Kind::automatic;
  std::string name;  // named only
};

}  // namespace rapid::chat
