// The state of one conversation at the terminal: its messages and what its
// commands do. Knows no engine and no terminal; answers come from a function.
//
//   ChatSession session(ask, stdout, stderr, {.system = "Be brief."});
//   while (session.line(text)) {}
#pragma once

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/event.h"
#include "chat/message.h"

namespace rapid {

struct ChatCommand {
  enum class Kind { say, help, reset, system, save, stats, leave, unknown };
  Kind kind = Kind::say;
  std::string argument;  // the text, the path, or the unknown command's name
};

// `/help` ...; a bare `exit` leaves; anything else is said to the model. A
// line that starts with "//" says the rest with one slash. Pure.
ChatCommand parse_chat_line(std::string_view line);

// One answer, already printed by whoever made it.
struct ChatAnswer {
  std::string text;
  std::string reasoning;
  std::vector<chat::ToolCall> tool_calls;
  // What came before it: calls that were run, and their results.
  std::vector<chat::Message> turns;
  bool interrupted = false;
  bool cut = false;  // by the token limit
  int repeats = 0;   // of what the answer loops over; 0 = no loop
  std::optional<chat::Usage> usage;
};

class ChatSession {
 public:
  using Ask =
      std::function<Result<ChatAnswer>(const std::vector<chat::Message>&)>;
  struct Options {
    std::string system;
    std::string title;     // model name, for /save
    bool verbose = false;  // speed after each answer
  };

  // `out` gets what was asked for (help, stats), `notes` the remarks.
  ChatSession(Ask ask, FILE* out, FILE* notes, Options options);

  // Does what `line` says; false when it was to leave.
  bool line(std::string_view line);

  const std::vector<chat::Message>& messages() const { return messages_; }
  bool failed() const { return failed_; }  // the last question got no answer

 private:
  void say(std::string text);
  void reset();
  void set_system(const std::string& text);
  void save(const std::string& path) const;
  void print_stats(FILE* to) const;

  Ask ask_;
  FILE* out_;
  FILE* notes_;
  Options options_;
  std::vector<chat::Message> messages_;
  std::optional<chat::Usage> last_usage_;
  bool failed_ = false;
};

// The conversation as Markdown. Pure.
std::string chat_markdown(
    const std::string& title, const std::vector<chat::Message>& messages);

// "31 tokens, 42.1 tok/s; prompt 58 (40 cached) in 120 ms". Pure.
std::string usage_line(const chat::Usage& usage);

}  // namespace rapid
