#include "formats/bracket_syntax.h"

#include "formats/coerce.h"
#include "formats/json_call.h"
#include "formats/json_extent.h"
#include "formats/members.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

const std::vector<std::string> kOpeners = {"[Calling tool", "Calling tool:"};
const std::vector<std::string> kClosers = {"]", ")"};

enum class Got { more, no, yes };

class BracketReader {
 public:
  BracketReader(std::string_view text, const ReadContext& context)
      : text_(text), context_(context), bracket_(text.starts_with('[')) {
    at_ = bracket_ ? kOpeners[0].size() : kOpeners[1].size() - 1;
  }

  SyntaxRead run() {
    if (at_ >= text_.size()) {
      return context_.end ? SyntaxRead{} : SyntaxRead::wait();
    }
    const char kind = text_[at_++];
    const Got got = kind == ':'               ? read_json()
                    : kind == '=' && bracket_ ? read_attributes()
                                              : Got::no;
    context_.spend(got == Got::more ? text_.size() : at_);
    if (got == Got::more) {
      return context_.end ? SyntaxRead{} : SyntaxRead::wait();
    }
    if (got == Got::no) {
      return {};
    }
    SyntaxRead out{SyntaxRead::Kind::done, at_, {}};
    push_call(
        context_.tools,
        name_,
        arguments_,
        raw_,
        text_.substr(0, at_),
        out.events);
    return out;
  }

 private:
  Got read_name() {
    at_ = skip_blank(text_, at_);
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) {
      ++at_;
    }
    name_ = text_.substr(begin, at_ - begin);
    return at_ >= text_.size() ? Got::more : name_.empty() ? Got::no : Got::yes;
  }

  Got take(char c) {
    at_ = skip_blank(text_, at_);
    if (at_ >= text_.size()) {
      return Got::more;
    }
    return text_[at_] == c ? (++at_, Got::yes) : Got::no;
  }

  // name({...})]
  Got read_json() {
    if (const Got got = read_name(); got != Got::yes) {
      return got;
    }
    if (const Got got = take('('); got != Got::yes) {
      return got;
    }
    at_ = skip_blank(text_, at_);
    if (at_ >= text_.size()) {
      return Got::more;
    }
    if (text_[at_] == ')') {
      arguments_ = Json::object();
    } else if (text_[at_] != '{') {
      return Got::no;
    } else {
      const JsonExtent extent = json_extent(text_, at_, {}, {}, false);
      if (!extent.decided) {
        return Got::more;
      }
      const auto arguments = parse_json_arguments(
          text_.substr(at_, extent.end - at_), Ending::real);
      if (!arguments) {
        return Got::no;
      }
      arguments_ = arguments->value;
      raw_ = arguments->raw;
      at_ = extent.end;
    }
    if (const Got got = take(')'); got != Got::yes) {
      return got;
    }
    return bracket_ ? take(']') : Got::yes;
  }

  // ="name" key="value" ...]
  Got read_attributes() {
    Members members(arguments_);
    std::string name;
    if (const Got got = read_quoted(name); got != Got::yes) {
      return got;
    }
    const chat::Tool* tool = context_.tools.find(name);
    static const Json unknown = Json::object();
    while (true) {
      if (const Got got = take(']'); got != Got::no) {
        name_text_ = name;
        name_ = name_text_;
        return got == Got::yes && members.empty() ? Got::no : got;
      }
      const size_t begin = at_;
      while (at_ < text_.size() && is_name_char(text_[at_])) {
        ++at_;
      }
      const std::string key(text_.substr(begin, at_ - begin));
      std::string value;
      if (at_ >= text_.size()) {
        return Got::more;
      }
      if (key.empty() || text_[at_++] != '=') {
        return Got::no;
      }
      if (const Got got = read_quoted(value); got != Got::yes) {
        return got;
      }
      const Json* schema =
          tool ? parameter_schema(tool->parameters, key) : nullptr;
      members.set(
          key,
          coerce_text(
              value,
              schema ? *schema : unknown,
              tool ? tool->parameters : unknown));
    }
  }

  // Ends at a quote that a space and a key, or the bracket, follow.
  Got read_quoted(std::string& out) {
    if (at_ >= text_.size()) {
      return Got::more;
    }
    const char quote = text_[at_];
    if (quote != '"' && quote != '\'') {
      return Got::no;
    }
    for (size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] == '\\' && i + 1 < text_.size() && text_[i + 1] == quote) {
        out += text_[++i];
      } else if (text_[i] != quote) {
        out += text_[i];
      } else if (i + 1 >= text_.size()) {
        return Got::more;
      } else if (
          text_[i + 1] == ']' || kBlank.find(text_[i + 1]) != kBlank.npos) {
        at_ = i + 1;
        return Got::yes;
      } else {
        out += text_[i];
      }
    }
    return Got::more;
  }

  std::string_view text_;
  const ReadContext& context_;
  bool bracket_;
  size_t at_ = 0;
  std::string name_text_;
  std::string_view name_;
  Json arguments_;
  std::string raw_;
};

class BracketSyntax final : public CallSyntax {
 public:
  const std::vector<std::string>& openers() const override { return kOpeners; }
  const std::vector<std::string>& closers() const override { return none_; }
  std::vector<std::string> markers() const override { return {}; }
  SyntaxRead read(
      std::string_view text, const ReadContext& context) const override {
    return BracketReader(text, context).run();
  }
  std::string render(
      std::span<const chat::ToolCall> calls, const ToolSet&) const override {
    std::string out;
    for (const chat::ToolCall& call : calls) {
      out += (out.empty() ? "" : "\n") + ("[Calling tool: " + call.name) + "(" +
             call.arguments + ")]";
    }
    return out;
  }

 private:
  std::vector<std::string> none_;
};

}  // namespace

std::shared_ptr<const CallSyntax> bracket_syntax() {
  static const auto syntax = std::make_shared<BracketSyntax>();
  return syntax;
}

}  // namespace rapid
