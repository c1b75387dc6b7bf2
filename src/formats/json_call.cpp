#include "formats/json_call.h"

#include <algorithm>
#include <cctype>

#include "base/json.h"

namespace rapid {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

size_t skip_space(std::string_view text, size_t i) {
  while (i < text.size() && is_space(text[i])) {
    ++i;
  }
  return i;
}

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
  size_t i = skip_space(text, 0) + 1;  // behind '{'
  while (true) {
    i = skip_space(text, i);
    if (i >= text.size() || text[i] != '"') {
      return found;
    }
    const size_t key_begin = i;
    for (++i; text[i] != '"'; ++i) {
      i += text[i] == '\\' ? 1 : 0;
    }
    ++i;
    const Json name = Json::parse(text.substr(key_begin, i - key_begin));
    i = skip_space(text, skip_space(text, i) + 1);  // behind ':'
    const size_t end = value_end(text, i);
    if (name == key) {
      found = text.substr(i, end - i);
      while (!found.empty() && is_space(found.back())) {
        found.remove_suffix(1);
      }
    }
    i = end + (end < text.size() && text[end] == ',' ? 1 : 0);
  }
}

Error not_a_call(std::string why) {
  return {ErrorCode::invalid_argument, std::move(why)};
}

Result<JsonCall> interpret(const Json& object, std::string_view text) {
  if (!object.is_object()) {
    return not_a_call("the call is not a JSON object");
  }
  const auto function = object.find("function");
  if (function != object.end() && function->is_object()) {
    return interpret(*function, member_text(text, "function"));
  }
  JsonCall call;
  for (const char* key : {"name", "function"}) {
    const auto name = object.find(key);
    if (name != object.end() && name->is_string()) {
      call.name = name->get<std::string>();
      break;
    }
  }
  if (call.name.empty()) {
    return not_a_call("the call has no \"name\"");
  }
  for (const char* key : {"arguments", "parameters"}) {
    const auto arguments = object.find(key);
    if (arguments == object.end()) {
      continue;
    }
    call.has_arguments = true;
    if (arguments->is_object()) {
      call.arguments = member_text(text, key);
    } else if (arguments->is_string()) {
      call.arguments = arguments->get<std::string>();
      const auto inner = parse_json(call.arguments);
      if (!inner || !inner->is_object()) {
        return not_a_call("the arguments are text, not a JSON object");
      }
    } else if (arguments->is_null()) {
      call.arguments = "{}";
    } else {
      return not_a_call("the arguments are not a JSON object");
    }
    return call;
  }
  call.arguments = "{}";
  return call;
}

}  // namespace

void JsonScan::advance(std::string_view text) {
  if (at_tag_ || complete()) {
    return;
  }
  for (; position_ < text.size(); ++position_) {
    const char c = text[position_];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      started_ = true;
      closers_ += c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
      if (closers_.size() <= 1) {
        closers_.clear();
        ++position_;
        return;
      }
      closers_.pop_back();
    } else if (c == '<') {
      at_tag_ = true;
      return;
    }
  }
}

void JsonScan::step_over_tag() {
  at_tag_ = false;
  ++position_;
}

std::string JsonScan::missing() const {
  return {closers_.rbegin(), closers_.rend()};
}

Result<JsonCall> parse_json_call(std::string_view text) {
  if (auto json = parse_json(text)) {
    return interpret(*json, text);
  }
  JsonScan scan;
  scan.advance(text);
  while (scan.at_tag()) {
    scan.step_over_tag();
    scan.advance(text);
  }
  std::string repaired(text);
  if (!scan.complete() && !scan.in_string()) {
    repaired += scan.missing();
  } else if (text.starts_with("{{") && text.ends_with("}}")) {
    repaired = text.substr(1, text.size() - 2);
  }
  if (auto json = parse_json(repaired)) {
    return interpret(*json, repaired);
  }
  return not_a_call("the call is not valid JSON");
}

}  // namespace rapid
