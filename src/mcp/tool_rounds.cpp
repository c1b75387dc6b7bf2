#include "mcp/tool_rounds.h"

#include <algorithm>

#include "base/clock.h"

namespace rapid {

namespace {

McpResult failed(const char* why) {
  return {std::string("Error: ") + why, true};
}

class Rounds {
 public:
  explicit Rounds(const ToolRounds& rounds)
      : rounds_(rounds), end_(now_seconds() + rounds.limits.seconds) {}

  // Runs the calls that are ours and adds what the model is told.
  Status run(const ToolRound& said, std::vector<chat::Message>& history) {
    history.push_back(
        {.role = "assistant",
         .content = said.text,
         .reasoning = said.reasoning});
    std::vector<chat::Message> results;
    for (const chat::ToolCall& call : said.calls) {
      if (!is_ours(call)) {
        continue;
      }
      history.back().tool_calls.push_back(call);
      RAPID_TRY(McpResult result, answer(call, said.last));
      spent_ += result.text.size();
      if (rounds_.ended) {
        rounds_.ended(call, result);
      }
      results.push_back(
          {.role = "tool",
           .content = std::move(result.text),
           .tool_call_id = call.id,
           .name = call.name});
    }
    history.insert(history.end(), results.begin(), results.end());
    return {};
  }

  bool is_ours(const chat::ToolCall& call) const {
    return rounds_.ours ? rounds_.ours(call) : rounds_.box.has(call.name);
  }

  bool spent() const {
    return calls_ >= rounds_.limits.calls || spent_ >= rounds_.limits.bytes ||
           now_seconds() >= end_;
  }

 private:
  Result<McpResult> answer(const chat::ToolCall& call, bool last) {
    if (rounds_.begins) {
      rounds_.begins(call);
    }
    if (last) {
      return failed("the answer ended here; the call was not run.");
    }
    if (!rounds_.allowed(call)) {
      return failed("the user did not allow this call.");
    }
    if (spent()) {
      return failed("no more calls can be run for this answer.");
    }
    ++calls_;
    auto result = rounds_.box.call(call.name, call.arguments, [&] {
      return now_seconds() < end_ && going();
    });
    if (!result && going()) {
      return failed("the time for calls of this answer is over.");
    }
    if (result && spent_ + result->text.size() > rounds_.limits.bytes) {
      return failed("the results of this answer are too long already.");
    }
    return result;
  }

  bool going() const { return !rounds_.keep_going || rounds_.keep_going(); }

  const ToolRounds& rounds_;
  const double end_;
  int calls_ = 0;
  size_t spent_ = 0;
};

}  // namespace

Result<std::vector<chat::Message>> run_tool_rounds(
    const ToolRounds::Ask& ask,
    const std::vector<chat::Message>& messages,
    const ToolRounds& rounds) {
  Rounds state(rounds);
  std::vector<chat::Message> history = messages;
  const auto ours = [&](const chat::ToolCall& call) {
    return state.is_ours(call);
  };
  for (int round = 0;; ++round) {
    const bool offer = round < rounds.limits.rounds && !state.spent();
    RAPID_TRY(ToolRound said, ask(history, offer));
    const auto mine = std::ranges::count_if(said.calls, ours);
    const bool over = said.last || mine == 0 || !offer ||
                      mine != static_cast<long>(said.calls.size());
    if (over) {
      history.erase(
          history.begin(),
          history.begin() + static_cast<long>(messages.size()));
      if (mine > 0) {
        std::vector<chat::Message> unseen;  // nobody asks again
        said.last = said.last || !offer;
        RAPID_CHECK(state.run(said, unseen));
      }
      return history;
    }
    RAPID_CHECK(state.run(said, history));
  }
}

}  // namespace rapid
