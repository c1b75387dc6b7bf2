// Hermes: each call is a JSON object between <tool_call> and </tool_call>.
//
//   Let me look.
//   <tool_call>
//   {"name": "read", "arguments": {"path": "/a"}}
//   </tool_call>
//
// A call ends at the tag outside of its JSON strings. Whitespace around calls
// that stand alone is markup. Small models often leave the tag out: a whole
// message that is nothing but such objects - bare, in a ``` or ```json fence,
// or between <tools> and </tools> - is read as calls too, if each has a name
// and arguments and is declared; else it is text. Facts: Qwen2.5's and
// Hermes 2's chat templates.
#include <algorithm>
#include <array>

#include "formats/json_call.h"
#include "formats/registry.h"
#include "formats/tag_scanner.h"

namespace rapid {
namespace {

constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";

size_t skip(std::string_view text, size_t i, std::string_view set) {
  return std::min(text.find_first_not_of(set, i), text.size());
}
size_t skip_space(std::string_view text, size_t i) {
  return skip(text, i, " \n\r\t");
}

bool is_prefix(std::string_view part, std::string_view whole) {
  return whole.starts_with(part);
}

// How a message without tags wraps its calls.
struct Wrapper {
  std::string_view open, close;
};
// A fence's word must end its line, so the longer openers come first.
constexpr std::array<Wrapper, 4> kWrappers = {{
    {"```json\n", "```"},
    {"```\n", "```"},
    {"<tools>", "</tools>"},
    {"", ""},
}};

class HermesMachine final : public FormatMachine {
 public:
  explicit HermesMachine(const FormatInput& input) {
    if (input.tool_choice.kind != chat::ToolChoice::Kind::none) {
      for (const chat::Tool& tool : input.tools) {
        declared_.push_back(tool.name);
      }
    }
    state_ = declared_.empty() ? State::passthrough : State::start;
  }

  void feed(std::string_view text, std::vector<FormatEvent>& out) override {
    buffer_ += text;
    run(out, std::nullopt);
  }

  void finish(FinishCause cause, std::vector<FormatEvent>& out) override {
    run(out, cause);
    emit_text(buffer_.size(), out);
  }

  size_t held() const override { return buffer_.size(); }

 private:
  enum class State { passthrough, start, whole, text, body, after };
  using Cause = std::optional<FinishCause>;

  // Each step either takes input off buffer_ or changes the state, and says
  // false when only more input can decide.
  void run(std::vector<FormatEvent>& out, Cause cause) {
    while (!buffer_.empty() && step(out, cause)) {
    }
  }

  bool step(std::vector<FormatEvent>& out, Cause cause) {
    switch (state_) {
      case State::passthrough:
        emit_text(buffer_.size(), out);
        return false;
      case State::start:
        return step_start(cause);
      case State::whole:
        return step_whole(out, cause);
      case State::text:
        return step_text(out, cause);
      case State::body:
        return step_body(out, cause);
      case State::after:
        return step_after(out, cause);
    }
    return false;
  }

  void emit_text(size_t count, std::vector<FormatEvent>& out) {
    if (count > 0) {
      out.push_back(FormatText{buffer_.substr(0, count)});
      buffer_.erase(0, count);
    }
  }

  bool declared(const std::string& name) const {
    return std::find(declared_.begin(), declared_.end(), name) !=
           declared_.end();
  }

  void enter_body() {
    state_ = State::body;
    scan_ = JsonScan();
  }

  // The first thing in a message that is not space: a tag, the beginning of
  // a whole message of calls, or text.
  bool step_start(Cause cause) {
    const std::string_view text = buffer_;
    const size_t begin = skip_space(text, 0);
    const std::string_view rest = text.substr(begin);
    if (rest.starts_with(kOpen)) {
      buffer_.erase(0, begin);
      state_ = State::text;
      return true;
    }
    if (!cause && is_prefix(rest, kOpen)) {
      return false;
    }
    for (const Wrapper& wrapper : kWrappers) {
      if (!cause && rest.size() < wrapper.open.size() &&
          is_prefix(rest, wrapper.open)) {
        return false;
      }
      if (rest.starts_with(wrapper.open)) {
        wrapper_ = wrapper;
        const size_t object = skip_space(rest, wrapper.open.size());
        const int call = looks_like_call(rest.substr(object));
        if (call < 0 && !cause) {
          return false;
        }
        objects_.clear();
        whole_at_ = begin + object;
        scan_ = JsonScan();
        state_ = call > 0 ? State::whole : State::text;
        return true;
      }
    }
    state_ = State::text;
    return true;
  }

  // 1: an object whose first key is a call's; 0: something else; -1: more
  // input must tell. So other JSON answers stream.
  static int looks_like_call(std::string_view text) {
    constexpr std::array<std::string_view, 5> kKeys = {
        "\"name\"",
        "\"function\"",
        "\"type\"",
        "\"arguments\"",
        "\"parameters\""};
    if (text.empty()) {
      return -1;
    }
    if (text[0] != '{') {
      return 0;
    }
    const std::string_view key = text.substr(skip_space(text, 1));
    for (const std::string_view known : kKeys) {
      if (key.starts_with(known)) {
        return 1;
      }
      if (is_prefix(key, known)) {
        return -1;
      }
    }
    return 0;
  }

  // Objects one after another, then the wrapper's end, then nothing.
  bool step_whole(std::vector<FormatEvent>& out, Cause cause) {
    const std::string_view text = buffer_;
    while (true) {
      scan_.advance(text.substr(whole_at_));
      while (scan_.at_tag()) {
        scan_.step_over_tag();
        scan_.advance(text.substr(whole_at_));
      }
      if (!scan_.complete()) {
        return cause ? give_up() : false;
      }
      const size_t end = whole_at_ + scan_.position();
      const size_t next = skip_space(text, end);
      const std::string_view rest = text.substr(next);
      if (rest.starts_with("{")) {
        objects_.push_back(buffer_.substr(whole_at_, scan_.position()));
        whole_at_ = next;
        scan_ = JsonScan();
        continue;
      }
      const bool closed =
          rest.starts_with(wrapper_.close) &&
          skip_space(rest, wrapper_.close.size()) == rest.size();
      const bool open = is_prefix(rest, wrapper_.close);
      if (!closed && !open) {
        return give_up();
      }
      if (!cause) {
        return false;
      }
      objects_.push_back(buffer_.substr(whole_at_, scan_.position()));
      return take_whole(out);
    }
  }

  bool give_up() {
    state_ = State::text;
    return true;
  }

  bool take_whole(std::vector<FormatEvent>& out) {
    std::vector<FormatEvent> calls;
    for (const std::string& object : objects_) {
      auto call = parse_json_call(object);
      if (!call || !call->has_arguments || !declared(call->name)) {
        return give_up();
      }
      calls.push_back(FormatCall{call->name, call->arguments});
    }
    buffer_.clear();
    out.insert(out.end(), calls.begin(), calls.end());
    return false;
  }

  bool step_text(std::vector<FormatEvent>& out, Cause cause) {
    const size_t at = buffer_.find(kOpen);
    if (at != std::string::npos) {
      emit_text(at, out);
      enter_body();
      return true;
    }
    const size_t hold = cause ? 0 : partial_tag(buffer_, kOpen);
    emit_text(buffer_.size() - hold, out);
    return false;
  }

  // Space between calls and behind the last one is markup.
  bool step_after(std::vector<FormatEvent>& out, Cause cause) {
    const size_t begin = skip_space(buffer_, 0);
    const std::string_view rest = std::string_view(buffer_).substr(begin);
    if (rest.starts_with(kOpen) || (cause && rest.empty())) {
      buffer_.erase(0, begin);
      if (!buffer_.empty()) {
        enter_body();
      }
      return !buffer_.empty();
    }
    if (!cause && is_prefix(rest, kOpen)) {
      return false;
    }
    emit_text(begin, out);
    state_ = State::text;
    return true;
  }

  // buffer_ starts with the opening tag.
  bool step_body(std::vector<FormatEvent>& out, Cause cause) {
    const std::string_view text = buffer_;
    size_t begin = skip_space(text, kOpen.size());
    for (const std::string_view fence : {"```json", "```"}) {
      const std::string_view rest = text.substr(begin);
      if (!cause && rest.size() < fence.size() && is_prefix(rest, fence)) {
        return false;
      }
      if (rest.starts_with(fence)) {
        begin = skip_space(text, begin + fence.size());
        break;
      }
    }
    if (begin == text.size()) {
      return cause ? reject(text.size(), "the call is empty", out) : false;
    }
    return text[begin] == '{' ? step_object(begin, out, cause)
                              : step_other(begin, out, cause);
  }

  bool step_object(size_t begin, std::vector<FormatEvent>& out, Cause cause) {
    const std::string_view text = buffer_;
    scan_.advance(text.substr(begin));
    while (scan_.at_tag()) {
      const std::string_view tag = text.substr(begin + scan_.position());
      if (tag.starts_with(kClose) || tag.starts_with(kOpen)) {
        const size_t end = begin + scan_.position();
        return take(begin, end, end + closing(tag), out);
      }
      if (!cause && (is_prefix(tag, kClose) || is_prefix(tag, kOpen))) {
        return false;
      }
      scan_.step_over_tag();
      scan_.advance(text.substr(begin));
    }
    if (scan_.complete()) {
      return step_object_end(begin, begin + scan_.position(), out, cause);
    }
    if (!cause) {
      return false;
    }
    if (cause == FinishCause::length) {
      return reject(text.size(), "the token limit cut the call", out);
    }
    // An unclosed string swallowed the rest: resume behind the first tag.
    const size_t close = text.find(kClose, begin);
    if (close != std::string::npos) {
      return take(begin, close, close + kClose.size(), out);
    }
    return take(begin, text.size(), text.size(), out);
  }

  static size_t closing(std::string_view tag) {
    return tag.starts_with(kClose) ? kClose.size() : 0;
  }

  // The object is whole; what stands between it and the closing tag?
  bool step_object_end(
      size_t begin, size_t end, std::vector<FormatEvent>& out, Cause cause) {
    const std::string_view text = buffer_;
    const size_t next = skip(text, end, " \n\r\t`}");
    const std::string_view rest = text.substr(next);
    if (rest.starts_with(kClose) || rest.starts_with(kOpen)) {
      return take(begin, end, next + closing(rest), out);
    }
    if (is_prefix(rest, kClose) || is_prefix(rest, kOpen)) {
      return cause ? take(begin, end, text.size(), out) : false;
    }
    // Something else: all up to the closing tag belongs to a call that is
    // broken; without one the model forgot it and went on with text.
    const size_t close = text.find(kClose, next);
    if (text.find(kOpen, next) < close || (cause && close == text.npos)) {
      return take(begin, end, end, out);
    }
    return close == text.npos ? false
                              : take(begin, close, close + kClose.size(), out);
  }

  // The body is no JSON object. A tag that is merely mentioned is text.
  bool step_other(size_t begin, std::vector<FormatEvent>& out, Cause cause) {
    const std::string_view text = buffer_;
    const size_t close = text.find(kClose, begin);
    const size_t open = text.find(kOpen, begin);
    if (open < close) {
      emit_text(open, out);
      return true;
    }
    if (close != std::string::npos) {
      return reject(
          close + kClose.size(), "the call is not a JSON object", out);
    }
    if (!cause) {
      return false;
    }
    if (text[begin] == '<' || text[begin] == '[') {
      return reject(text.size(), "the call is not a JSON object", out);
    }
    emit_text(text.size(), out);
    return false;
  }

  bool reject(size_t count, std::string why, std::vector<FormatEvent>& out) {
    out.push_back(FormatRejected{buffer_.substr(0, count), std::move(why)});
    buffer_.erase(0, count);
    state_ = State::text;
    return true;
  }

  // The body is buffer_[begin, end), the whole markup buffer_[0, count).
  bool take(
      size_t begin, size_t end, size_t count, std::vector<FormatEvent>& out) {
    const auto call =
        parse_json_call(std::string_view(buffer_).substr(begin, end - begin));
    if (!call) {
      return reject(count, call.error().what, out);
    }
    if (!declared(call->name)) {
      emit_text(count, out);
      state_ = State::text;
      return true;
    }
    out.push_back(FormatCall{call->name, call->arguments});
    buffer_.erase(0, count);
    state_ = State::after;
    return true;
  }

  std::vector<std::string> declared_;
  State state_ = State::start;
  std::string buffer_;  // input that no event covers yet
  JsonScan scan_;       // over the object being read
  Wrapper wrapper_;     // State::whole
  size_t whole_at_ = 0;
  std::vector<std::string> objects_;
};

class HermesFormat final : public OutputFormat {
 public:
  std::string_view name() const override { return "hermes"; }
  std::vector<std::string_view> aliases() const override {
    return {"nous", "qwen3_coder"};
  }
  std::vector<std::string> kept_tokens() const override {
    return {std::string(kOpen), std::string(kClose)};
  }
  int match(const TemplateFacts& facts) const override {
    if (facts.rendered_call.find("<tool_call>\n{") != std::string::npos ||
        facts.rendered_call.find("<tool_call>{") != std::string::npos) {
      return 30;
    }
    return facts.source.find(kOpen) != std::string_view::npos ? 10 : 0;
  }
  std::unique_ptr<FormatMachine> start(
      const FormatInput& input) const override {
    return std::make_unique<HermesMachine>(input);
  }
};

}  // namespace

void register_format_hermes(FormatRegistry& registry) {
  registry.add(std::make_unique<HermesFormat>());
}

}  // namespace rapid
