#include "formats/python_syntax.h"

#include "formats/python_call.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

const std::vector<std::string> kBareOpeners = {"["};

// A name and a parenthesis, in a list or alone.
Match looks_like_call(std::string_view text, size_t at, bool end) {
  const Match more = end ? Match::no : Match::maybe;
  at = skip_blank(text, at);
  if (at < text.size() && text[at] == '[') {
    at = skip_blank(text, at + 1);
  }
  const size_t name = at;
  while (at < text.size() && is_name_char(text[at])) {
    ++at;
  }
  if (at >= text.size()) {
    return more;
  }
  return at > name && text[at] == '(' ? Match::yes : Match::no;
}

void write_python(const Json& value, std::string& out) {
  if (value.is_boolean()) {
    out += value.get<bool>() ? "True" : "False";
  } else if (value.is_null()) {
    out += "None";
  } else if (!value.is_structured()) {
    out += dump_json(value);
  } else {
    out += value.is_object() ? '{' : '[';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      out += first ? "" : ", ";
      first = false;
      if (value.is_object()) {
        out += dump_json(key) + ": ";
      }
      write_python(item, out);
    }
    out += value.is_object() ? '}' : ']';
  }
}

bool is_keyword(const std::string& key) {
  return !key.empty() && !(key[0] >= '0' && key[0] <= '9') &&
         key.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "_") == key.npos;
}

}  // namespace

std::string python_call_text(const std::string& name, const Json& arguments) {
  std::string out = name + "(";
  bool first = true;
  for (const auto& [key, value] : arguments.items()) {
    out += first ? "" : ", ";
    first = false;
    if (is_keyword(key)) {
      out += key + "=";
      write_python(value, out);
    } else {
      Json other = Json::object();
      other[key] = value;
      out += "**";
      write_python(other, out);
    }
  }
  return out + ")";
}

const std::vector<std::string>& PythonSyntax::openers() const {
  return shape_.opens.empty() ? kBareOpeners : shape_.opens;
}

std::vector<std::string> PythonSyntax::markers() const {
  std::vector<std::string> out = shape_.opens;
  out.insert(out.end(), shape_.closes.begin(), shape_.closes.end());
  return out;
}

SyntaxRead PythonSyntax::read(
    std::string_view text, const ReadContext& context) const {
  if (!fits(context.own ? shape_.own : shape_.foreign, context)) {
    return {};
  }
  const TagMatch open = match_any(text, 0, shape_.opens, context.end);
  const bool bare = shape_.opens.empty();
  const size_t begin = skip_blank(text, open.size);
  const Match call = looks_like_call(text, begin, context.end);
  if (call != Match::yes) {
    return call == Match::maybe ? SyntaxRead::wait() : SyntaxRead{};
  }
  // The extent: the list's own, or what the tags enclose.
  size_t end = text.size();
  size_t next = text.size();
  bool closed = false;
  if (text[begin] == '[') {
    const size_t size = python_list_end(text.substr(begin));
    if (size != text.npos) {
      end = next = begin + size;
      closed = true;
    }
  }
  if (!bare) {
    const size_t behind = closed ? skip_blank(text, end) : begin;
    const TagMatch close = match_any(text, behind, shape_.closes, context.end);
    const TagFound found = find_any(text, behind, shape_.closes);
    if (closed && close.match == Match::yes) {
      next = behind + close.size;
    } else if (closed && close.match == Match::maybe) {
      return SyntaxRead::wait();
    } else if (
        !closed && found.at != text.npos &&
        (context.end || text[begin] != '[')) {
      end = found.at;
      next = found.at + found.size;
      closed = true;
    }
  }
  context.spend(closed ? next : text.size());
  if (!closed && !context.end) {
    return SyntaxRead::wait();
  }
  auto calls = parse_python_calls(text.substr(begin, end - begin));
  SyntaxRead out{SyntaxRead::Kind::done, next, {}};
  const std::string raw(text.substr(0, next));
  // A list that breaks off in a later call keeps the calls before it.
  if (calls && !closed && context.own && calls->size() > 1 &&
      !calls->back().complete) {
    calls->pop_back();
  }
  const bool whole = calls && (closed || calls->back().complete);
  if (!whole) {
    if (!context.own || (bare && closed)) {
      return {};
    }
    out.events.push_back(FormatRejected{
        raw, calls ? "the call is cut off" : calls.error().what, !closed});
    return out;
  }
  bool declared = false;
  for (const PythonCall& one : *calls) {
    declared |= context.tools.find(one.name) != nullptr;
  }
  if (!declared) {
    push_text(raw, out.events);
    return out;
  }
  size_t at = begin;
  for (const PythonCall& one : *calls) {
    const std::string_view piece = text.substr(at, begin + one.consumed - at);
    push_call(
        context.tools,
        one.name,
        one.arguments,
        "",
        trim_blank(piece),
        out.events);
    at = begin + one.consumed;
  }
  const size_t rest = skip(text, at, " \n\r\t,;");
  if (!closed && rest < text.size()) {
    out.events.push_back(FormatRejected{
        std::string(text.substr(rest)), "the call is cut off", true});
  }
  return out;
}

std::string PythonSyntax::render(
    std::span<const chat::ToolCall> calls, const ToolSet&) const {
  std::string out = (shape_.opens.empty() ? "" : shape_.opens[0]) + "[";
  for (size_t i = 0; i < calls.size(); ++i) {
    out += i == 0 ? "" : ", ";
    const auto arguments = parse_json(calls[i].arguments);
    out += python_call_text(
        calls[i].name, arguments ? *arguments : Json::object());
  }
  return out + "]" + (shape_.closes.empty() ? "" : shape_.closes[0]);
}

}  // namespace rapid
