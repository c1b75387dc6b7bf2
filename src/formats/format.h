// OutputFormat: how one family of models writes reasoning and tool calls.
//
// One format = one .cpp that defines register_format_<stem>(FormatRegistry&).
// A Machine parses one choice of one request, incrementally. Laws: the text of
// all events plus the markup of accepted calls is the input, in order; events
// do not depend on how the input was cut once neighbouring deltas of one kind
// are joined; malformed calls become `rejected`, they never vanish.
//
//   auto machine = format.start({.tools = tools});
//   machine->feed("Hi <tool_call>", events);
//   machine->finish(FinishCause::end, events);
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat/message.h"

namespace rapid {

struct FormatText {
  std::string text;
};
struct FormatReasoning {
  std::string text;
};
struct FormatCall {
  std::string name;
  std::string arguments;  // a JSON object as text
};
struct FormatRejected {
  std::string raw;
  std::string reason;
  bool cut = false;  // the end of the output cut it
};
using FormatEvent =
    std::variant<FormatText, FormatReasoning, FormatCall, FormatRejected>;

enum class FinishCause {
  end,     // an end token or a stop string
  length,  // the token limit
};

// What a format may look at to decide whether it is the model's own.
struct TemplateFacts {
  std::string_view source;  // chat template text
  // How the template renders one assistant call, "" if it cannot.
  std::string rendered_call;
  std::function<bool(std::string_view)> has_token;  // in the vocabulary
};

struct ReasoningStyle;
class CallSyntax;

// What the prompt did: opened a block of reasoning, closed one, or neither.
enum class Thinking { automatic, on, off };

struct FormatInput {
  std::vector<chat::Tool> tools;  // none: calls are plain text
  chat::ToolChoice tool_choice;
  // Read by start_machine (reasoning.h); null: all output is the answer.
  const ReasoningStyle* reasoning = nullptr;
  Thinking thinking = Thinking::automatic;
};

class FormatMachine {
 public:
  virtual ~FormatMachine() = default;
  // `text` may end anywhere between two characters. Appends to `out`.
  virtual void feed(std::string_view text, std::vector<FormatEvent>& out) = 0;
  virtual void finish(FinishCause cause, std::vector<FormatEvent>& out) = 0;
  // Bytes given to feed() that no event covers yet: logprobs of held text
  // wait for it.
  virtual size_t held() const { return 0; }
  // What came last is inside of a block of reasoning.
  virtual bool thinking() const { return false; }
  // The last so many bytes are a call that has surely begun, by a tag of the
  // format or as JSON with a tool's name; 0: none has.
  virtual size_t open_call() const { return 0; }
};

class OutputFormat {
 public:
  virtual ~OutputFormat() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<std::string_view> aliases() const { return {}; }
  // 0 = not mine; higher wins.
  virtual int match(const TemplateFacts& facts) const = 0;
  // Reads the answer; reasoning.h takes the reasoning off before.
  virtual std::unique_ptr<FormatMachine> start(
      const FormatInput& input) const = 0;
  // The style of the format's own reasoning markers, "" if it has none.
  virtual std::string_view reasoning() const { return {}; }
  // How the model writes calls, the usual way first. Empty: it does not.
  virtual const std::vector<std::shared_ptr<const CallSyntax>>& syntaxes()
      const;
  // Special tokens whose text must reach feed() (the detokeniser drops the
  // others).
  virtual std::vector<std::string> kept_tokens() const { return {}; }
};

}  // namespace rapid
