// Calls as JSON objects with a name and arguments, between tags, behind one,
// in a fence or bare.
//
//   JsonSyntax({.opens = {"<tool_call>"}, .closes = {"</tool_call>"},
//               .lead = "\n", .tail = "\n", .between = "\n"})
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/call_syntax.h"
#include "formats/text_scan.h"

namespace rapid {

// Where a call without a tag of its own may begin.
enum class Place {
  anywhere,
  word,   // behind white space
  line,   // at the beginning of a line
  start,  // as the first thing of the message
};

bool fits(Place place, const ReadContext& context);

struct JsonShape {
  std::vector<std::string> opens;   // empty: bare
  std::vector<std::string> closes;  // empty: nothing follows the value
  bool list = false;  // the calls of a turn are one list behind one opener
  Place own = Place::anywhere;
  Place foreign = Place::line;
  // Proof that it is meant as a call: the key of the arguments must be there
  // and the tool declared; else it is text. So for what is no special token.
  bool needs_proof = false;
  // The model writes calls like that: what was cut off is no answer, and text
  // may follow. Else a bare call must end the message, or calls follow.
  bool usual = false;
  bool mute = false;  // an opener at the start is no text, even without call
  // For rendering.
  std::string lead, tail, between;
  std::string arguments_key = "arguments";
};

class JsonSyntax final : public CallSyntax {
 public:
  explicit JsonSyntax(JsonShape shape);

  const std::vector<std::string>& openers() const override;
  const std::vector<std::string>& closers() const override {
    return shape_.closes;
  }
  std::vector<std::string> markers() const override;
  SyntaxRead read(
      std::string_view text, const ReadContext& context) const override;
  std::string render(
      std::span<const chat::ToolCall> calls,
      const ToolSet& tools) const override;
  std::optional<CallFrame> frame(const chat::Tool& tool) const override;
  const JsonShape& shape() const { return shape_; }

 private:
  Match may_follow(
      std::string_view text, size_t at, const ReadContext& context) const;
  SyntaxRead take(
      std::string_view text,
      size_t begin,
      const struct JsonExtent& extent,
      const ReadContext& context) const;
  std::optional<SyntaxRead> take_cut_list(
      std::string_view text, size_t begin, const ReadContext& context) const;

  JsonShape shape_;
  std::vector<std::string> starts_;  // openers that are no closing tags
};

}  // namespace rapid
