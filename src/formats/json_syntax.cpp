#include "formats/json_syntax.h"

#include <algorithm>
#include <array>
#include <utility>

#include "formats/json_call.h"
#include "formats/json_extent.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

const std::vector<std::string> kBareOpeners = {"{", "["};

// Do the first characters of an object look like a call? So other JSON that
// is an answer streams.
Match looks_like_call(std::string_view text, size_t at, bool end) {
  constexpr std::array<std::string_view, 9> keys = {
      "name",
      "function",
      "type",
      "arguments",
      "parameters",
      "tool",
      "tool_name",
      "id",
      "args"};
  const auto more = end ? Match::no : Match::maybe;
  if (at >= text.size()) {
    return more;
  }
  if (text[at] == '[') {
    at = skip_blank(text, at + 1);
  }
  if (at >= text.size()) {
    return more;
  }
  if (text[at] != '{') {
    return Match::no;
  }
  at = skip(text, at + 1, " \n\r\t{");  // doubled braces, too
  if (at >= text.size()) {
    return more;
  }
  const char quote = text[at];
  const bool quoted = quote == '"' || quote == '\'';
  size_t stop = at + (quoted ? 1 : 0);
  const size_t begin = stop;
  while (stop < text.size() && is_name_char(text[stop])) {
    ++stop;
  }
  const std::string_view key = text.substr(begin, stop - begin);
  if (stop >= text.size()) {
    for (const std::string_view known : keys) {
      if (known.starts_with(key)) {
        return more;
      }
    }
    return Match::no;
  }
  if (quoted ? text[stop] != quote : text[stop] != ':') {
    return Match::no;
  }
  return std::find(keys.begin(), keys.end(), key) != keys.end() ? Match::yes
                                                                : Match::no;
}

// Behind the opener: white space, the opener again, a fence.
size_t skip_lead(
    std::string_view text,
    size_t at,
    std::span<const std::string> opens,
    bool end,
    bool& maybe) {
  at = skip_blank(text, at);
  const TagMatch again = match_any(text, at, opens, end);
  if (again.match == Match::yes) {
    at = skip_blank(text, at + again.size);
  }
  maybe = again.match == Match::maybe;
  for (const std::string_view fence : {"```json", "```"}) {
    const Match match = match_tag(text, at, fence, end);
    maybe |= match == Match::maybe;
    if (match == Match::yes) {
      return skip_blank(text, at + fence.size());
    }
  }
  return at;
}

}  // namespace

bool fits(Place place, const ReadContext& context) {
  switch (place) {
    case Place::anywhere:
      return true;
    case Place::word:
      return context.word_start;
    case Place::line:
      return context.line_start;
    case Place::start:
      return context.starts;
  }
  return false;
}

JsonSyntax::JsonSyntax(JsonShape shape) : shape_(std::move(shape)) {
  for (const std::string& open : shape_.opens) {
    const bool closes = std::ranges::any_of(
        shape_.closes,
        [&](const std::string& close) { return open.starts_with(close); });
    if (!closes) {
      starts_.push_back(open);
    }
  }
}

const std::vector<std::string>& JsonSyntax::openers() const {
  return shape_.opens.empty() ? kBareOpeners : shape_.opens;
}

std::vector<std::string> JsonSyntax::markers() const {
  std::vector<std::string> out = shape_.opens;
  out.insert(out.end(), shape_.closes.begin(), shape_.closes.end());
  return out;
}

SyntaxRead JsonSyntax::read(
    std::string_view text, const ReadContext& context) const {
  if (!fits(context.own ? shape_.own : shape_.foreign, context)) {
    return {};
  }
  const TagMatch open = match_any(text, 0, shape_.opens, context.end);
  bool maybe = open.match == Match::maybe;
  size_t begin = 0;
  if (!shape_.opens.empty()) {
    if (open.match != Match::yes) {
      return maybe ? SyntaxRead::wait() : SyntaxRead{};
    }
    begin = skip_lead(text, open.size, shape_.opens, context.end, maybe);
    if (maybe || (begin >= text.size() && !context.end)) {
      return SyntaxRead::wait();
    }
  }
  if (shape_.needs_proof) {
    const Match call = looks_like_call(text, begin, context.end);
    if (call != Match::yes) {
      return call == Match::maybe ? SyntaxRead::wait() : SyntaxRead{};
    }
  } else if (
      begin >= text.size() || (text[begin] != '{' && text[begin] != '[')) {
    return shape_.mute && context.own && context.starts
               ? SyntaxRead{SyntaxRead::Kind::done, open.size, {}}
               : SyntaxRead{};
  }
  const JsonExtent extent =
      json_extent(text, begin, shape_.closes, starts_, context.end);
  context.spend(extent.looked - begin);
  if (extent.decided) {
    const Match follows = may_follow(text, extent.next, context);
    if (follows != Match::yes) {
      return follows == Match::maybe ? SyntaxRead::wait() : SyntaxRead{};
    }
  }
  return extent.decided ? take(text, begin, extent, context)
                        : SyntaxRead::wait();
}

// Does what stands behind a bare call allow for it being one?
Match JsonSyntax::may_follow(
    std::string_view text, size_t at, const ReadContext& context) const {
  if (!shape_.opens.empty() || (shape_.usual && context.own)) {
    return Match::yes;
  }
  const size_t next = skip(text, at, " \n\r\t;,");
  if (next >= text.size()) {
    return context.end ? Match::yes : Match::maybe;
  }
  return text[next] == '<' ? Match::yes
                           : looks_like_call(text, next, context.end);
}

SyntaxRead JsonSyntax::take(
    std::string_view text,
    size_t begin,
    const JsonExtent& extent,
    const ReadContext& context) const {
  SyntaxRead out{SyntaxRead::Kind::done, extent.next, {}};
  const std::string_view raw = text.substr(0, extent.next);
  const bool cut = context.cut && !extent.closed;
  std::string body(text.substr(begin, extent.end - begin));
  // Several objects in a row are one body.
  if (!extent.junk.empty() && extent.complete) {
    body += extent.junk;
  }
  auto calls = parse_json_calls(body, cut ? Ending::cut : Ending::real);
  std::string_view junk;
  if (!calls && !extent.junk.empty()) {
    auto first =
        parse_json_calls(text.substr(begin, extent.end - begin), Ending::real);
    if (first && first->back().has_arguments) {
      calls = std::move(first);
      junk = extent.junk;
    }
  }
  const bool unclosed = context.end && !extent.closed;
  if (!calls && unclosed && context.own && body.starts_with('[')) {
    if (auto out_of_list = take_cut_list(text, begin, context)) {
      return *out_of_list;
    }
  }
  if (!calls) {
    if (!context.own || (shape_.needs_proof && !(unclosed && shape_.usual))) {
      return {};
    }
    out.events.push_back(
        FormatRejected{std::string(raw), calls.error().what, unclosed});
    return out;
  }
  bool declared = false;
  for (const JsonCall& call : *calls) {
    declared |= context.tools.find(call.name) != nullptr;
    if (shape_.needs_proof && !call.has_arguments) {
      return {};
    }
  }
  if (!declared) {
    push_text(raw, out.events);
    return out;
  }
  for (const JsonCall& call : *calls) {
    push_call(
        context.tools,
        call.name,
        call.arguments.value,
        call.arguments.raw,
        call.text,
        out.events);
  }
  push_prose(junk, out.events);
  return out;
}

// The list's end is missing, and perhaps that of its last call.
std::optional<SyntaxRead> JsonSyntax::take_cut_list(
    std::string_view text, size_t begin, const ReadContext& context) const {
  const auto list = parse_cut_list(
      text.substr(begin), context.cut ? Ending::cut : Ending::real);
  SyntaxRead out{SyntaxRead::Kind::done, text.size(), {}};
  for (const JsonCall& call : list.calls) {
    if (shape_.needs_proof && !call.has_arguments) {
      return std::nullopt;
    }
    push_call(
        context.tools,
        call.name,
        call.arguments.value,
        call.arguments.raw,
        call.text,
        out.events);
  }
  if (!has_call(out.events)) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(begin + list.consumed);
  if (!trim_blank(rest).empty()) {
    out.events.push_back(
        FormatRejected{std::string(rest), "the call is cut off", true});
  }
  return out;
}

std::optional<CallFrame> JsonSyntax::frame(const chat::Tool& tool) const {
  const std::string open = shape_.opens.empty() ? "" : shape_.opens[0];
  const std::string close = shape_.closes.empty() ? "" : shape_.closes[0];
  CallFrame out;
  out.before = "{\"name\": " + dump_json(tool.name) + ", \"" +
               shape_.arguments_key + "\": ";
  out.after = "}";
  if (shape_.list) {
    out.turn_before = open + shape_.lead + "[";
    out.turn_between = ", ";
    out.turn_after = "]" + shape_.tail + close;
  } else {
    out.before = open + shape_.lead + out.before;
    out.after += shape_.tail + close;
    out.turn_between = shape_.between;
  }
  return out;
}

std::string JsonSyntax::render(
    std::span<const chat::ToolCall> calls, const ToolSet&) const {
  const std::string open = shape_.opens.empty() ? "" : shape_.opens[0];
  const std::string close = shape_.closes.empty() ? "" : shape_.closes[0];
  std::string out;
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string object = "{\"name\": " + dump_json(calls[i].name) +
                               ", \"" + shape_.arguments_key +
                               "\": " + calls[i].arguments + "}";
    if (shape_.list) {
      out += (i == 0 ? open + shape_.lead + "[" : ", ") + object;
    } else {
      out += (i == 0 ? "" : shape_.between) + open + shape_.lead + object +
             shape_.tail + close;
    }
  }
  return shape_.list && !calls.empty() ? out + "]" + shape_.tail + close : out;
}

}  // namespace rapid
