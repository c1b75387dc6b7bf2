#include "cli/chat_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace rapid {

Result<ChatAnswer> ask_with_tools(
    const AskRound& ask,
    const std::vector<chat::Message>& messages,
    const ToolRounds& tools) {
  ChatAnswer answer;
  RAPID_TRY(
      auto turns,
      run_tool_rounds(
          [&](const auto& history, bool offer) -> Result<ToolRound> {
            RAPID_TRY(answer, ask(history, offer));
            return ToolRound{
                answer.text,
                answer.reasoning,
                answer.tool_calls,
                answer.interrupted};
          },
          messages,
          tools));
  answer.turns = std::move(turns);
  return answer;
}

bool TerminalConsent::operator()(const chat::ToolCall& call) {
  if (std::ranges::find(always_, call.name) != always_.end()) {
    return true;
  }
  if (!terminal_) {
    fmt::print(
        stderr,
        "{} was not run: nobody to ask, and it is not in alwaysAllow\n",
        call.name);
    return false;
  }
  fmt::print(stderr, "Run {}? [y]es, [n]o, [a]lways this one: ", call.name);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer.starts_with('a')) {
    always_.push_back(call.name);
  }
  return answer.starts_with('y') || answer.starts_with('a');
}

}  // namespace rapid
