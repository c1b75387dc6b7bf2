#include "formats/loose_json.h"

#include <array>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "formats/literal.h"
#include "formats/loose_text.h"
#include "formats/members.h"

namespace rapid {
namespace {

// What a place for a value turned out to hold.
enum class Got {
  value,
  nothing,  // a comma or a closer
  cut,      // the text ends in something that does not count
  failed,
};

class LooseParser {
 public:
  LooseParser(std::string_view text, const LooseOptions& options)
      : text_(text), options_(options), quotes_(text) {}

  Result<LooseJson> run();

 private:
  using Where = LooseText::Where;

  void skip();
  bool at_end() const { return at_ >= text_.size(); }
  char here() const { return text_[at_]; }
  Got fail(const char* why);
  Got value(Json& out, Where where);
  Got object(Json& out);
  Got member(Members& members);
  Got list(Json& out, char closer);
  Got list_items(Json& out, char closer, bool& comma);
  Got doubled_brace(Json& out);
  bool closes(char closer);
  Got quoted(std::string& out, Where where);
  Got bare_key(std::string& out);
  Got scalar(Json& out, Where where);
  bool at_quote() const;
  size_t& open(char closer);

  std::string_view text_;
  const LooseOptions& options_;
  LooseText quotes_;
  size_t at_ = 0;
  int depth_ = 0;
  std::array<size_t, 3> open_{};  // how many wait for } ] )
  LooseJson result_;
  const char* error_ = "";
};

size_t& LooseParser::open(char closer) {
  return open_[closer == '}' ? 0 : closer == ']' ? 1 : 2];
}

Got LooseParser::fail(const char* why) {
  error_ = why;
  return Got::failed;
}

void LooseParser::skip() {
  at_ = quotes_.skip_space(at_, result_.repaired);
}

bool LooseParser::at_quote() const {
  return here() == '"' || here() == '\'' ||
         (!options_.quote.empty() &&
          text_.substr(at_).starts_with(options_.quote));
}

// At a closing bracket: whether the innermost container, which waits for
// `closer`, ends here. A bracket that closes an outer one ends it too.
bool LooseParser::closes(char closer) {
  const char c = here();
  if (c == closer) {
    ++at_;
    return true;
  }
  result_.repaired = true;
  if (open(c) > 0) {
    return true;
  }
  ++at_;  // closes nothing
  return false;
}

Got LooseParser::value(Json& out, Where where) {
  skip();
  if (at_end()) {
    return Got::cut;
  }
  const char c = here();
  if (at_quote()) {
    std::string text;
    const Got got = quoted(text, where);
    out = std::move(text);
    return got;
  }
  if (c != '{' && c != '[' && c != '(') {
    return scalar(out, where);
  }
  if (depth_ >= options_.max_depth) {
    return fail("the JSON is nested too deep");
  }
  ++depth_;
  const char closer = c == '{' ? '}' : c == '[' ? ']' : ')';
  ++open(closer);
  const Got got = c == '{' ? object(out) : list(out, closer);
  --open(closer);
  --depth_;
  return got;
}

Got LooseParser::object(Json& out) {
  const size_t begin = at_++;
  Members members(out);
  bool comma = true;
  bool trailing = false;
  while (true) {
    skip();
    if (at_end()) {
      result_.complete = false;
      return Got::value;
    }
    const char c = here();
    if (c == '}' || c == ']' || c == ')') {
      result_.repaired |= trailing;
      if (closes('}')) {
        return Got::value;
      }
    } else if (c == ',') {
      result_.repaired |= comma;
      comma = trailing = true;
      ++at_;
    } else if (c == '{' && members.empty()) {
      return doubled_brace(out);
    } else {
      result_.repaired |= !comma;
      comma = trailing = false;
      const Got got = member(members);
      if (got == Got::nothing && members.empty()) {
        at_ = begin;
        return list(out, '}');  // Python's set
      }
      if (got == Got::failed) {
        return got;
      }
      result_.dropped |= got != Got::value;
    }
  }
}

// Reads key and value. Nothing: what may be a key is followed by no colon.
Got LooseParser::member(Members& members) {
  std::string key;
  const Got got = at_quote() ? quoted(key, Where::key) : bare_key(key);
  if (got != Got::value) {
    return got;
  }
  skip();
  if (at_end()) {
    return Got::cut;
  }
  const char c = here();
  if (c == ',' || c == '}') {
    return members.empty() ? Got::nothing
                           : fail("expected a colon behind a key");
  }
  if (c != ':' && c != '=') {
    return fail("expected a colon behind a key");
  }
  ++at_;
  if (c == '=') {
    result_.repaired = true;
    at_ += !at_end() && here() == '>' ? 1 : 0;
  }
  Json json;
  const Got held = value(json, Where::object);
  if (held == Got::value) {
    members.set(std::move(key), std::move(json));
  } else if (held == Got::nothing) {
    result_.repaired = true;
    return Got::cut;
  }
  return held;
}

// {{...}} as some templates teach it.
Got LooseParser::doubled_brace(Json& out) {
  result_.repaired = true;
  const Got got = value(out, Where::object);
  if (got != Got::value) {
    return got;
  }
  skip();
  if (!at_end() && here() == '}') {
    ++at_;
  }
  return got;
}

Got LooseParser::list(Json& out, char closer) {
  ++at_;
  out = Json::array();
  bool comma = false;
  result_.repaired |= closer != ']';
  const Got got = list_items(out, closer, comma);
  if (got == Got::value && closer == ')' && out.size() == 1 && !comma) {
    Json only = std::move(out[0]);  // (1) is 1
    out = std::move(only);
  }
  return got;
}

Got LooseParser::list_items(Json& out, char closer, bool& comma) {
  bool expected = true;  // an item may stand here without a repair
  while (true) {
    skip();
    if (at_end()) {
      result_.complete = false;
      return Got::value;
    }
    const char c = here();
    if (c == '}' || c == ']' || c == ')') {
      result_.repaired |= expected && !out.empty();
      if (closes(closer)) {
        return Got::value;
      }
    } else if (c == ',') {
      result_.repaired |= expected;
      expected = comma = true;
      ++at_;
    } else {
      result_.repaired |= !expected;
      expected = false;
      Json json;
      const Got got = value(json, Where::list);
      if (got == Got::value) {
        out.push_back(std::move(json));
      } else if (got == Got::cut) {
        result_.dropped = true;
      } else {
        return got == Got::failed ? got : fail("expected a value");
      }
    }
  }
}

// A string at its opening quote.
Got LooseParser::quoted(std::string& out, Where where) {
  std::string_view mark = text_.substr(at_, 1);
  bool verbatim = false;
  if (mark != "\"" && mark != "'") {
    mark = options_.quote;
    verbatim = true;
  } else if (
      where != Where::key && text_.substr(at_ + 1, 1) == mark &&
      text_.substr(at_ + 2, 1) == mark) {
    mark = text_.substr(at_, 3);
  }
  bool strict = mark == "\"";
  LooseText::Scope scope{where, depth_, open_[0] > 0, open_[1] > 0};
  const auto end = quotes_.read_string(at_, mark, verbatim, scope, out, strict);
  if (!utf8_valid(out)) {
    out = utf8_replace_invalid(out);
    strict = false;
  }
  result_.repaired |= !strict;
  if (end) {
    at_ = *end;
    return Got::value;
  }
  at_ = text_.size();
  result_.complete = false;
  const bool counts = options_.cut_strings && where != Where::key;
  return counts ? Got::value : Got::cut;
}

Got LooseParser::bare_key(std::string& out) {
  const size_t end = quotes_.bare_key_end(at_);
  if (end == at_) {
    return fail("expected a key");
  }
  out = utf8_replace_invalid(text_.substr(at_, end - at_));
  at_ = end;
  result_.repaired = true;
  return Got::value;
}

// A number, a literal or bare words.
Got LooseParser::scalar(Json& out, Where where) {
  const char c = here();
  if (c == ',' || c == '}' || c == ']' || c == ')') {
    return Got::nothing;
  }
  const size_t end = quotes_.token_end(at_);
  const auto word = text_.substr(at_, end - at_);
  auto literal = read_number(word);
  if (!literal) {
    literal = read_constant(word);
  }
  const bool bare = options_.bare_words && where != Where::top;
  if (literal && (!bare || quotes_.value_ends(end, where))) {
    at_ = end;
    result_.repaired |= !literal->strict;
    result_.exact &= literal->exact;
    out = std::move(literal->value);
    return Got::value;
  }
  if (!bare) {
    return end == text_.size() && depth_ > 0 && !literal
               ? (at_ = end, Got::cut)
               : fail("expected a JSON value");
  }
  const size_t stop = quotes_.bare_words_end(
      at_, {where, depth_, open_[0] > 0, open_[1] > 0}, open_[2] > 0);
  auto words = text_.substr(at_, stop - at_);
  words.remove_suffix(words.size() - 1 - words.find_last_not_of(" \t\r\n\f\v"));
  if (words.starts_with(':')) {
    return fail("expected a JSON value");
  }
  at_ = stop;
  result_.repaired = true;
  out = utf8_replace_invalid(words);
  if (at_end()) {
    result_.complete = false;
    return options_.cut_strings ? Got::value : Got::cut;
  }
  return Got::value;
}

Result<LooseJson> LooseParser::run() {
  const Got got = value(result_.value, Where::top);
  if (got == Got::value) {
    result_.consumed = at_;
    return std::move(result_);
  }
  const char* why = got == Got::failed    ? error_
                    : got == Got::nothing ? "expected a JSON value"
                                          : "the JSON is cut off";
  return Error{ErrorCode::invalid_argument, why};
}

}  // namespace

Result<LooseJson> parse_loose_json(
    std::string_view text, const LooseOptions& options) {
  return LooseParser(text, options).run();
}

}  // namespace rapid
