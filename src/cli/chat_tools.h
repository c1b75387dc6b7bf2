// The terminal's part in an answer with tools (mcp/tool_rounds.h): who allows
// a call.
#pragma once

#include <string>
#include <vector>

#include "cli/chat_session.h"
#include "mcp/tool_rounds.h"

namespace rapid {

// One answer; `ask` makes a round of it. Errors: those of `ask`, and cancelled.
using AskRound = std::function<Result<ChatAnswer>(
    const std::vector<chat::Message>&, bool offer_tools)>;
Result<ChatAnswer> ask_with_tools(
    const AskRound& ask,
    const std::vector<chat::Message>& messages,
    const ToolRounds& tools);

// Asks the person at the terminal; "always" is remembered for its life.
class TerminalConsent {
 public:
  explicit TerminalConsent(bool terminal) : terminal_(terminal) {}
  bool operator()(const chat::ToolCall& call);

 private:
  bool terminal_;  // false: nobody to ask, so no
  std::vector<std::string> always_;
};

}  // namespace rapid
