#include "formats/python_call.h"

#include <utility>

#include "formats/loose_json.h"
#include "formats/members.h"
#include "formats/python_value.h"

namespace rapid {
namespace {

Error not_calls(std::string why) {
  return {ErrorCode::invalid_argument, std::move(why)};
}

class CallReader {
 public:
  explicit CallReader(std::string_view text) : text_(text), reader_(text) {}

  Result<std::vector<PythonCall>> run();

 private:
  enum class Step { done, more, broken };

  bool call(PythonCall& call);
  Step argument(PythonCall& call, Members& members);
  Step keyword(PythonCall& call, Members& members);
  Step merge(PythonCall& call, Members& members);
  Step only_object(PythonCall& call, Members& members);
  Step got(PythonCall& call, PythonGot got);
  bool fail(const char* why);

  std::string_view text_;
  PythonReader reader_;
  bool in_list_ = false;
  bool cut_name_ = false;  // the text ends before the call has a bracket
  const char* error_ = "";
};

bool CallReader::fail(const char* why) {
  error_ = why;
  return false;
}

// After a value: a cut one ends the call.
CallReader::Step CallReader::got(PythonCall& call, PythonGot got) {
  if (got == PythonGot::broken) {
    fail("expected a Python value");
    return Step::broken;
  }
  if (got == PythonGot::cut) {
    call.complete = false;
    reader_.move_to(text_.size());
    return Step::done;
  }
  return Step::more;
}

CallReader::Step CallReader::keyword(PythonCall& call, Members& members) {
  std::string key;
  if (reader_.at_string()) {
    const Step step = got(call, reader_.string(key));
    if (step != Step::more) {
      return step;
    }
  } else {
    key = reader_.name();
  }
  reader_.skip_space();
  if (reader_.at_end()) {
    return got(call, PythonGot::cut);
  }
  const bool sign = reader_.here() == '=' || reader_.here() == ':';
  if (key.empty() || !sign || reader_.at(reader_.position() + 1) == '=') {
    fail("arguments of a Python call must be keywords");
    return Step::broken;
  }
  reader_.move_to(reader_.position() + 1);
  Json value;
  const Step step = got(call, reader_.value(value));
  if (step == Step::more) {
    members.set(std::move(key), std::move(value));
  }
  return step;
}

// **{...}
CallReader::Step CallReader::merge(PythonCall& call, Members& members) {
  reader_.move_to(reader_.position() + 2);
  Json value;
  const Step step = got(call, reader_.value(value));
  if (step != Step::more) {
    return step;
  }
  if (!value.is_object()) {
    fail("expected a dict behind **");
    return Step::broken;
  }
  for (auto& [key, item] : value.get_ref<Json::object_t&>()) {
    members.set(key, std::move(item));
  }
  return Step::more;
}

// f({...}): JSON if it is that, else a Python dict, else JSON with repairs.
CallReader::Step CallReader::only_object(PythonCall& call, Members& members) {
  const size_t begin = reader_.position();
  auto loose = parse_loose_json(text_.substr(begin));
  Json value;
  if (loose && !loose->repaired && loose->complete) {
    reader_.move_to(begin + loose->consumed);
    value = std::move(loose->value);
  } else {
    const PythonGot read = reader_.value(value);
    if (read != PythonGot::value || !value.is_object()) {
      if (!loose) {
        fail("expected a JSON object");
        return Step::broken;
      }
      reader_.move_to(begin + loose->consumed);
      call.complete = loose->complete;
      value = std::move(loose->value);
    }
  }
  reader_.skip_space();
  const char next = reader_.here();
  if (!value.is_object() || !members.empty() ||
      !(reader_.at_end() || next == ')' || next == ',' || next == ']')) {
    fail("arguments of a Python call must be keywords or one object");
    return Step::broken;
  }
  for (auto& [key, item] : value.get_ref<Json::object_t&>()) {
    members.set(key, std::move(item));
  }
  return Step::more;
}

CallReader::Step CallReader::argument(PythonCall& call, Members& members) {
  reader_.skip_space();
  if (reader_.at_end()) {
    call.complete = false;
    return Step::done;
  }
  const char c = reader_.here();
  if (c == ')') {
    reader_.move_to(reader_.position() + 1);
    return Step::done;
  }
  if (c == ']' && in_list_) {
    return Step::done;  // f(a=1] lacks a closer
  }
  if (c == ',') {
    reader_.move_to(reader_.position() + 1);
    return Step::more;
  }
  if (c == '*' && reader_.at(reader_.position() + 1) == '*') {
    return merge(call, members);
  }
  return c == '{' ? only_object(call, members) : keyword(call, members);
}

bool CallReader::call(PythonCall& call) {
  call.name = reader_.name();
  reader_.skip_space();
  if (reader_.at_end()) {
    cut_name_ = true;
    return fail("the call is cut off before its arguments");
  }
  if (call.name.empty() || reader_.here() != '(') {
    return fail("expected a name and an opening bracket");
  }
  reader_.move_to(reader_.position() + 1);
  Members members(call.arguments);
  Step step = Step::more;
  while (step == Step::more) {
    step = argument(call, members);
  }
  call.consumed = reader_.position();
  return step == Step::done;
}

Result<std::vector<PythonCall>> CallReader::run() {
  reader_.skip_space();
  in_list_ = reader_.here() == '[';
  reader_.move_to(reader_.position() + (in_list_ ? 1 : 0));
  std::vector<PythonCall> calls;
  while (true) {
    reader_.skip_space();
    const char c = reader_.here();
    if (in_list_ && (c == ',' || c == ';')) {
      reader_.move_to(reader_.position() + 1);
      continue;
    }
    const bool end = reader_.at_end() || (in_list_ && c == ']');
    if (end && !calls.empty()) {
      return calls;
    }
    if (end) {
      return not_calls("there is no call");
    }
    PythonCall next;
    if (!call(next)) {
      if (cut_name_ && !calls.empty()) {
        return calls;
      }
      return not_calls(error_);
    }
    calls.push_back(std::move(next));
    if (!in_list_) {
      return calls;
    }
  }
}

// Whether a quote at text[i] can open a string: not the one of it's.
bool opens_string(std::string_view text, size_t i) {
  size_t begin = i;
  while (begin > 0 && i - begin < 3) {
    const char c = static_cast<char>(text[begin - 1] | 0x20);
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
      break;
    }
    if (c != 'r' && c != 'b' && c != 'u' && c != 'f') {
      return false;
    }
    --begin;
  }
  return i - begin < 3;
}

}  // namespace

Result<std::vector<PythonCall>> parse_python_calls(std::string_view text) {
  return CallReader(text).run();
}

// Returns how far to go; 0 to wait for more text.
size_t PythonListScan::step(std::string_view text) {
  const char c = text[position_];
  const auto rest = text.substr(position_);
  if (!quote_.empty()) {
    if (c == '\\') {
      return rest.size() < 2 ? 0 : 2;
    }
    if (rest.starts_with(quote_)) {
      return std::exchange(quote_, {}).size();
    }
    return c == quote_[0] && std::string_view(quote_).starts_with(rest) ? 0 : 1;
  }
  if ((c == '"' || c == '\'') && opens_string(text, position_)) {
    if (rest.size() > 1 && rest[1] == c) {
      if (rest.size() == 2) {
        return 0;
      }
      if (rest[2] != c) {
        return 2;  // an empty string
      }
      quote_.assign(3, c);
      return 3;
    }
    quote_.assign(rest.size() > 1 ? 1 : 0, c);
    return rest.size() > 1 ? 1 : 0;
  }
  if (c == '[' || c == '(' || c == '{') {
    closers_ += c == '[' ? ']' : c == '(' ? ')' : '}';
  } else if (c == ']' || c == ')' || c == '}') {
    // A list's bracket closes a call that lacks its own.
    if (c == ']' && closers_ == "])") {
      closers_.pop_back();
    }
    broken_ = closers_.empty() || closers_.back() != c;
    if (!broken_) {
      closers_.pop_back();
    }
    complete_ = !broken_ && closers_.empty();
  } else if (closers_.empty()) {
    broken_ = true;
  }
  return broken_ ? 0 : 1;
}

void PythonListScan::advance(std::string_view text) {
  while (!complete_ && !broken_ && position_ < text.size()) {
    if (position_ == 0 && text[0] != '[') {
      broken_ = true;
      return;
    }
    const size_t length = step(text);
    if (length == 0) {
      return;
    }
    position_ += length;
  }
}

size_t python_list_end(std::string_view text) {
  PythonListScan scan;
  scan.advance(text);
  return scan.complete() ? scan.position() : std::string_view::npos;
}

}  // namespace rapid
