#include "formats/call_syntax.h"

#include <algorithm>

#include "formats/text_scan.h"

namespace rapid {

void push_text(std::string_view text, std::vector<FormatEvent>& out) {
  if (text.empty()) {
    return;
  }
  if (!out.empty()) {
    if (auto* last = std::get_if<FormatText>(&out.back())) {
      last->text += text;
      return;
    }
  }
  out.push_back(FormatText{std::string(text)});
}

void push_prose(std::string_view text, std::vector<FormatEvent>& out) {
  if (!trim_blank(text).empty()) {
    push_text(text, out);
  }
}

void push_call(
    const ToolSet& tools,
    std::string_view name,
    const Json& arguments,
    std::string_view raw_arguments,
    std::string_view raw,
    std::vector<FormatEvent>& out) {
  if (const chat::Tool* tool = tools.find(name)) {
    out.push_back(FormatCall{
        tool->name, typed_arguments(*tool, arguments, raw_arguments)});
  } else {
    push_text(raw, out);
  }
}

bool has_call(const std::vector<FormatEvent>& events) {
  return std::ranges::any_of(events, [](const FormatEvent& event) {
    return std::holds_alternative<FormatCall>(event);
  });
}

}  // namespace rapid
