// UI-TARS: actions on a screen, as calls of the tool `computer`.
//
//   Thought: The button is at the top.
//   Action: click(point='<point>200 300</point>')
//
// is computer({"action": "click", "point": [200, 300]}). More actions may
// follow, with an empty line between.
#include <algorithm>
#include <array>

#include "formats/bracket_syntax.h"
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/members.h"
#include "formats/python_call.h"
#include "formats/python_syntax.h"
#include "formats/registry.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr std::string_view kTool = "computer";
constexpr std::array<std::string_view, 17> kVerbs = {
    "click",
    "left_single",
    "left_double",
    "right_single",
    "drag",
    "hotkey",
    "type",
    "scroll",
    "wait",
    "finished",
    "call_user",
    "long_press",
    "open_app",
    "press_home",
    "press_back",
    "press",
    "hover"};

const std::vector<std::string> kOpeners = {"Action:"};
const std::vector<std::string> kClosers = {")"};

// <point>200 300</point>, (200,300), <|box_start|>(200,300)<|box_end|>
Json point_of(const std::string& text) {
  constexpr std::string_view number = "0123456789.-";
  std::vector<Json> numbers;
  for (size_t at = 0; (at = text.find_first_of(number, at)) != text.npos;) {
    const size_t end =
        std::min(text.find_first_not_of(number, at), text.size());
    const auto value = parse_json(text.substr(at, end - at));
    if (!value || !value->is_number()) {
      return text;
    }
    numbers.push_back(*value);
    at = end;
  }
  return numbers.size() == 2 ? Json(numbers) : Json(text);
}

Json action_arguments(const PythonCall& call) {
  Json out;
  Members members(out);
  members.set("action", call.name);
  for (const auto& [key, value] : call.arguments.items()) {
    const bool point =
        key.find("point") != key.npos || key.find("box") != key.npos;
    members.set(
        key,
        point && value.is_string() ? point_of(value.get<std::string>())
                                   : value);
  }
  return out;
}

class ActionSyntax final : public CallSyntax {
 public:
  const std::vector<std::string>& openers() const override { return kOpeners; }
  const std::vector<std::string>& closers() const override { return kClosers; }
  std::vector<std::string> markers() const override { return {}; }

  SyntaxRead read(
      std::string_view text, const ReadContext& context) const override {
    if (!context.line_start) {
      return {};
    }
    SyntaxRead out{SyntaxRead::Kind::done, 0, {}};
    size_t at = kOpeners[0].size();
    while (true) {
      const size_t begin = skip_blank(text, at);
      const Match verb = verb_at(text, begin, context.end);
      if (verb == Match::maybe) {
        return SyntaxRead::wait();
      }
      if (verb == Match::no) {
        break;
      }
      const auto calls = parse_python_calls(text.substr(begin));
      context.spend(calls ? calls->front().consumed : text.size());
      if (!context.end && (!calls || !calls->front().complete)) {
        return SyntaxRead::wait();
      }
      if (!calls || !calls->front().complete) {
        if (out.events.empty() && context.own) {
          out.events.push_back(FormatRejected{
              std::string(text), "the action is cut off or broken", true});
          out.consumed = text.size();
        }
        break;
      }
      const PythonCall& call = calls->front();
      const size_t from = out.consumed;
      at = begin + call.consumed;
      push_call(
          context.tools,
          kTool,
          action_arguments(call),
          "",
          text.substr(from, at - from),
          out.events);
      out.consumed = at;
    }
    return out.consumed > 0 ? out : SyntaxRead{};
  }

  std::string render(
      std::span<const chat::ToolCall> calls, const ToolSet&) const override {
    std::string out;
    for (const chat::ToolCall& call : calls) {
      out += out.empty() ? "Action: " : "\n\n";
      const auto parsed = parse_json(call.arguments);
      Json arguments = parsed ? *parsed : Json::object();
      const std::string verb = arguments.value("action", call.name);
      arguments.erase("action");
      for (auto& [key, value] : arguments.items()) {
        if (value.is_array() && value.size() == 2 && value[0].is_number() &&
            value[1].is_number()) {
          value = "<point>" + dump_json(value[0]) + " " + dump_json(value[1]) +
                  "</point>";
        }
      }
      out += python_call_text(verb, arguments);
    }
    return out;
  }

 private:
  static Match verb_at(std::string_view text, size_t begin, bool end) {
    size_t at = begin;
    while (at < text.size() && is_name_char(text[at])) {
      ++at;
    }
    if (at >= text.size()) {
      return end ? Match::no : Match::maybe;
    }
    const std::string_view verb = text.substr(begin, at - begin);
    return text[at] == '(' && std::ranges::find(kVerbs, verb) != kVerbs.end()
               ? Match::yes
               : Match::no;
  }
};

SyntaxPtr actions() {
  static const auto syntax = std::make_shared<ActionSyntax>();
  return syntax;
}

}  // namespace

void register_format_ui_tars(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "ui_tars",
       .aliases = {"ui-tars", "uitars"},
       .syntaxes = {actions()},
       .reasoning = "ui_tars"}));
}

}  // namespace rapid
