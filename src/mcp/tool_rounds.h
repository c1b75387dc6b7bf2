// ToolRounds: one answer with tools. The model's calls are run, their results
// go back to it, until it answers without a call. Bounded in rounds, calls,
// time and bytes of results; the model is told of what did not fit, and in the
// last round it is offered no tools.
//
// A call that is not ours is somebody else's to run: it ends the rounds, once
// the others of that turn have run.
//
//   RAPID_TRY(auto turns, run_tool_rounds(ask, messages, {.box = box, ...}));
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chat/message.h"
#include "mcp/tool_box.h"

namespace rapid {

struct ToolLimits {
  int rounds = 8;
  int calls = 64;
  double seconds = 600;    // for calls; the model has its own limits
  size_t bytes = 256'000;  // of results
};

// What the model said in one round.
struct ToolRound {
  std::string text;
  std::string reasoning;
  std::vector<chat::ToolCall> calls;
  bool last = false;  // stopped, or cut: no more is to come
};

struct ToolRounds {
  using Ask = std::function<Result<ToolRound>(
      const std::vector<chat::Message>& history, bool offer_tools)>;

  const McpToolBox& box;
  ToolLimits limits;
  std::function<bool(const chat::ToolCall&)> allowed;
  std::function<bool(const chat::ToolCall&)> ours = {};  // else: in the box
  // Told of each call before it runs (if it may), and of its result.
  std::function<void(const chat::ToolCall&)> begins = {};
  std::function<void(const chat::ToolCall&, const McpResult&)> ended = {};
  McpClient::KeepGoing keep_going = {};
};

// The messages that came before the last round: calls and their results.
// Errors: those of `ask`, and cancelled.
Result<std::vector<chat::Message>> run_tool_rounds(
    const ToolRounds::Ask& ask,
    const std::vector<chat::Message>& messages,
    const ToolRounds& rounds);

}  // namespace rapid
