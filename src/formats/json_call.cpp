#include "formats/json_call.h"

#include "formats/loose_json.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

// The end of the JSON value at text[i]; `text` is known to be valid JSON.
size_t value_end(std::string_view text, size_t i) {
  int depth = 0;
  bool in_string = false;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
      return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return i;
}

// The text of the value of `key` in the valid JSON object `text`; of several
// the last, as a parser has it.
std::string_view member_text(std::string_view text, std::string_view key) {
  std::string_view found;
  size_t i = skip_blank(text, 0) + 1;  // behind '{'
  while (true) {
    i = skip_blank(text, i);
    if (i >= text.size() || text[i] != '"') {
      return found;
    }
    const size_t key_begin = i;
    for (++i; text[i] != '"'; ++i) {
      i += text[i] == '\\' ? 1 : 0;
    }
    ++i;
    const Json name = Json::parse(text.substr(key_begin, i - key_begin));
    i = skip_blank(text, skip_blank(text, i) + 1);  // behind ':'
    const size_t end = value_end(text, i);
    if (name == key) {
      found = text.substr(i, end - i);
      found = trim_blank(found);
    }
    i = end + (end < text.size() && text[end] == ',' ? 1 : 0);
  }
}

// The elements of the valid JSON list `text`, as they stand.
std::vector<std::string_view> element_texts(std::string_view text) {
  std::vector<std::string_view> out;
  size_t i = skip_blank(text, 0) + 1;  // behind '['
  while (i < text.size() && text[skip_blank(text, i)] != ']') {
    i = skip_blank(text, i);
    const size_t end = value_end(text, i);
    out.push_back(trim_blank(text.substr(i, end - i)));
    i = end + (end < text.size() && text[end] == ',' ? 1 : 0);
  }
  return out;
}

Error not_a_call(std::string why) {
  return {ErrorCode::invalid_argument, std::move(why)};
}

// Arguments as a value of some object. `raw`: its text if that is strict.
Result<JsonArguments> arguments_of(const Json& value, std::string_view raw) {
  if (value.is_object()) {
    return JsonArguments{value, std::string(raw)};
  }
  if (value.is_null()) {
    return JsonArguments{Json::object(), "{}"};
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (trim_blank(text).empty()) {
      return JsonArguments{Json::object(), "{}"};
    }
    return parse_json_arguments(text, Ending::real);
  }
  return not_a_call("the arguments are not a JSON object");
}

// `text` is that of `object` if it is strict JSON, else "".
Result<JsonCall> interpret(const Json& object, std::string_view text) {
  if (!object.is_object()) {
    return not_a_call("the call is not a JSON object");
  }
  const auto part = [&](const char* key) {
    return text.empty() ? text : member_text(text, key);
  };
  const auto function = object.find("function");
  if (function != object.end() && function->is_object()) {
    return interpret(*function, part("function"));
  }
  JsonCall call;
  for (const char* key : {"name", "function", "tool", "tool_name", "type"}) {
    const auto name = object.find(key);
    if (name != object.end() && name->is_string()) {
      call.name = name->get<std::string>();
      break;
    }
  }
  if (call.name.empty()) {
    return not_a_call("the call has no \"name\"");
  }
  for (const char* key :
       {"arguments", "parameters", "args", "params", "input"}) {
    const auto arguments = object.find(key);
    if (arguments != object.end()) {
      call.has_arguments = true;
      RAPID_TRY(call.arguments, arguments_of(*arguments, part(key)));
      return call;
    }
  }
  call.arguments = {Json::object(), "{}"};
  return call;
}

// Whether a value may count: nothing of it is lost, and where the end of the
// text was not the model's own it lacks no more than the brackets around
// complete arguments.
bool acceptable(const LooseJson& json, std::string_view text, Ending ending) {
  if (json.dropped) {
    return false;
  }
  if (json.complete || ending == Ending::real) {
    return true;
  }
  const std::string_view end = trim_blank(text);
  const auto closed = parse_loose_json(std::string(end) + "}");
  return end.ends_with('}') && closed && closed->complete && !closed->dropped;
}

Status add_calls(
    const Json& value,
    std::string_view text,
    bool strict,
    std::vector<JsonCall>& out) {
  if (!value.is_array()) {
    RAPID_TRY(JsonCall call, interpret(value, strict ? text : ""));
    call.text = text;
    out.push_back(std::move(call));
    return {};
  }
  std::vector<std::string_view> texts(value.size());
  if (strict) {
    texts = element_texts(text);
  }
  for (size_t i = 0; i < value.size(); ++i) {
    RAPID_TRY(JsonCall call, interpret(value[i], texts[i]));
    call.text = strict ? std::string(texts[i]) : dump_json(value[i]);
    out.push_back(std::move(call));
  }
  return {};
}

}  // namespace

Result<JsonArguments> parse_json_arguments(
    std::string_view text, Ending ending, std::string_view quote) {
  text = trim_blank(text);
  if (auto strict = parse_json(text)) {
    return arguments_of(*strict, text);
  }
  auto loose = parse_loose_json(text, {.quote = quote});
  if (!loose) {
    return not_a_call("the arguments are not JSON");
  }
  if (skip(text, loose->consumed, " \n\r\t`};,") < text.size()) {
    return not_a_call("the arguments go on behind their JSON");
  }
  if (!loose->complete && ending == Ending::cut) {
    return not_a_call("the call is cut off");
  }
  if (!loose->value.is_object() || loose->dropped) {
    return not_a_call("the arguments are not a complete JSON object");
  }
  return JsonArguments{std::move(loose->value), ""};
}

JsonCallList parse_cut_list(std::string_view text, Ending ending) {
  JsonCallList out;
  size_t at = skip(text, 0, " \n\r\t[");
  while (at < text.size() && text[at] == '{') {
    const std::string_view rest = text.substr(at);
    const auto loose = parse_loose_json(rest);
    if (!loose || !acceptable(*loose, rest, ending)) {
      break;
    }
    const bool strict = !loose->repaired && loose->complete;
    const std::string_view piece = rest.substr(0, loose->consumed);
    if (!add_calls(loose->value, trim_blank(piece), strict, out.calls)) {
      break;
    }
    at = skip(text, at + loose->consumed, " \n\r\t,");
    out.consumed = at;
  }
  return out;
}

Result<std::vector<JsonCall>> parse_json_calls(
    std::string_view text, Ending ending) {
  text = trim_blank(text);
  std::vector<JsonCall> out;
  if (const auto strict = parse_json(text)) {
    RAPID_CHECK(add_calls(*strict, text, true, out));
    text = {};
  }
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const auto loose = parse_loose_json(rest);
    if (!loose || !loose->value.is_structured()) {
      return not_a_call("the call is not valid JSON");
    }
    if (!acceptable(*loose, rest, ending)) {
      return not_a_call(
          ending == Ending::cut ? "the call is cut off"
                                : "a value is missing in the call");
    }
    const std::string_view piece = rest.substr(0, loose->consumed);
    const bool strict = !loose->repaired && loose->complete;
    RAPID_CHECK(add_calls(loose->value, trim_blank(piece), strict, out));
    at = skip(text, at + loose->consumed, " \n\r\t`};,");
  }
  if (out.empty()) {
    return not_a_call("the call is empty");
  }
  return out;
}

}  // namespace rapid
