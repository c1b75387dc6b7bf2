// Calls as a name and its arguments between tags; the arguments are one JSON
// object or a tag for each.
//
//   <tool_call>                         section_opens
//   <function=read>                     opens, name, name_end
//   <parameter=path>                    params.open, key, params.key_end
//   /a
//   </parameter>                        params.close
//   </function>                         closes
//   </tool_call>                        section_closes
//
// A value ends at its closing tag only where a legal continuation follows:
// the next declared parameter, or the end of the call; before that, closing
// tags are data. A call that is followed by more text of which the end closes
// it once more is longer than it seemed. Missing and doubled tags around
// calls are tolerated, text between them stays text.
#pragma once

#include <string>
#include <vector>

#include "formats/call_syntax.h"
#include "formats/json_syntax.h"

namespace rapid {

// How the text of a parameter stands for its value.
enum class ValueText {
  quotable,  // a JSON string stands for its text
  verbatim,  // only one that had to be quoted does
  cdata,     // <![CDATA[...]]> is its text
  marked,    // string="true" text, else JSON; U+200B behind the < of own tags
};

// Which line breaks around a value are markup, at most one at each end.
enum class Lines {
  none,
  framed,  // the last one only if the first is there
  both,
};

struct ParameterShape {
  std::string open;  // "": the arguments are one JSON object
  // Behind the key; a quote: the key is an attribute, others may follow.
  std::string key_end;
  std::string value_open;  // a tag of its own for the value, or ""
  std::string close;
  Lines lines = Lines::none;
  ValueText text = ValueText::quotable;
};

struct TagShape {
  std::vector<std::string> section_opens, section_closes;  // may be empty
  std::vector<std::string> opens;
  // Skipped before a name: "function<sep>".
  std::vector<std::string> name_prefixes;
  bool needs_prefix = false;  // without one it is no call
  std::vector<std::string> name_ends;
  std::string id_open;  // an id of the call may stand behind the name
  std::vector<std::string> closes;  // empty: nothing follows the arguments
  std::string quote;  // around strings of JSON-like arguments: <|"|>
  ParameterShape params;
  bool needs_section = false;  // a call without one is text
  // A call without section and parameters may be text: it needs a parameter,
  // or to be the forced tool.
  bool shy = false;
  Place own = Place::anywhere;
  Place foreign = Place::anywhere;
  // For rendering.
  std::string lead, between, tail;  // within the section
  std::string name_before, json_open, json_close;
  std::string render_name_end;  // "": the first of name_ends
  std::string params_lead, params_between;
  bool number_names = false;  // name:0 name:1
  bool section_each = false;  // a section for every call
};

class TagSyntax final : public CallSyntax {
 public:
  explicit TagSyntax(TagShape shape);

  const std::vector<std::string>& openers() const override { return openers_; }
  const std::vector<std::string>& closers() const override { return closers_; }
  std::vector<std::string> markers() const override;
  SyntaxRead read(
      std::string_view text, const ReadContext& context) const override;
  std::string render(
      std::span<const chat::ToolCall> calls,
      const ToolSet& tools) const override;
  // None where names carry numbers, or arguments are no JSON.
  std::optional<CallFrame> frame(const chat::Tool& tool) const override;
  const TagShape& shape() const { return shape_; }

 private:
  TagShape shape_;
  std::vector<std::string> openers_;  // of sections and calls
  std::vector<std::string> closers_;
};

}  // namespace rapid
