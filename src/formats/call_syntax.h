// CallSyntax: one way of writing tool calls, declared as data. From it come
// the reader of calls, the renderer of calls in history and the grammar for
// constrained decoding.
//
// Law: what read() decides about a text it decides about every longer text,
// so that a machine may ask at any time and gets the same events. render()
// and read() are inverse: reading what was rendered gives the calls back.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"
#include "formats/format.h"
#include "formats/tool_set.h"

namespace rapid {

// What stands around the text to be read.
struct ReadContext {
  const ToolSet& tools;
  bool end = false;         // no more text follows
  bool cut = false;         // ... because of the token limit, not the model
  bool own = true;          // false: another family's way of writing
  bool starts = false;      // nothing but white space came before
  bool line_start = false;  // of a line
  bool word_start = false;  // behind white space or a tag
  // Bytes that readers may still look at; at 0 all is text. So that nothing
  // makes the work more than linear.
  size_t* budget = nullptr;

  void spend(size_t bytes) const {
    if (budget != nullptr) {
      *budget -= std::min(*budget, bytes);
    }
  }
};

struct SyntaxRead {
  enum class Kind {
    no,    // nothing of this syntax
    more,  // more text must tell
    done,  // `events` are what became of text[0, consumed)
  };
  Kind kind = Kind::no;
  size_t consumed = 0;
  std::vector<FormatEvent> events;

  static SyntaxRead wait() { return {Kind::more, 0, {}}; }
};

// How one call of a tool is written, around its arguments.
struct CallFrame {
  struct Parameter {
    std::string key;
    std::string before;  // up to the value
    std::string after;   // from the value on; ends it
    bool text = false;   // a string stands as it is, else JSON
    bool required = false;
  };
  std::string turn_before, turn_between, turn_after;  // around all calls
  std::string before, after;
  bool json = true;  // the arguments are one JSON object
  std::vector<Parameter> parameters;
};

class CallSyntax {
 public:
  virtual ~CallSyntax() = default;

  // Text that may begin calls of this syntax, and with which read() begins.
  virtual const std::vector<std::string>& openers() const = 0;
  // Text without which a call that has begun is not complete; asking before
  // it came is a waste of time. Empty: ask always.
  virtual const std::vector<std::string>& closers() const = 0;
  // Special tokens in it, which a detokeniser must not drop.
  virtual std::vector<std::string> markers() const = 0;

  virtual SyntaxRead read(
      std::string_view text, const ReadContext& context) const = 0;

  // Calls of one turn. Arguments are objects as JSON text.
  virtual std::string render(
      std::span<const chat::ToolCall> calls, const ToolSet& tools) const = 0;

  // The same as a frame; none for syntaxes without a grammar.
  virtual std::optional<CallFrame> frame(const chat::Tool&) const {
    return std::nullopt;
  }
};

// Used by readers: a call of a declared tool, or its raw text.
void push_call(
    const ToolSet& tools,
    std::string_view name,
    const Json& arguments,
    std::string_view raw_arguments,
    std::string_view raw,
    std::vector<FormatEvent>& out);
// Neighbouring texts become one.
void push_text(std::string_view text, std::vector<FormatEvent>& out);
// Text that stood in the markup of calls; white space there is markup.
void push_prose(std::string_view text, std::vector<FormatEvent>& out);
bool has_call(const std::vector<FormatEvent>& events);

}  // namespace rapid
