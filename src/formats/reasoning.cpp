#include "formats/reasoning.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "formats/registry.h"
#include "formats/tag_scanner.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

// Messages of GPT-OSS: <|channel|>analysis<|message|>...<|end|>.
Route harmony_route(std::string_view header) {
  return header.find("to=") != header.npos        ? Route::call
         : header.find("analysis") != header.npos ? Route::reasoning
                                                  : Route::content;
}

// <|channel>thought ... <channel|>
Route gemma_route(std::string_view header) {
  const std::string_view name = trim_blank(header);
  return name == "content" || name == "final" ? Route::content
                                              : Route::reasoning;
}

// to=self<|message|>...<|eom|>, to=user, to=TOOL
Route muse_route(std::string_view header) {
  return header.find("to=self") != header.npos ? Route::reasoning
                                               : Route::content;
}

Route functionary_route(std::string_view header) {
  const std::string_view recipient = trim_blank(header);
  return recipient.ends_with("all") || recipient.ends_with("user")
             ? Route::content
             : Route::call;
}

const ChannelShape& harmony_channels() {
  static const ChannelShape shape{
      .header_opens = {"<|start|>", "<|channel|>"},
      .header_words =
          {"assistant", "analysis", "commentary", "final", "functions."},
      .header_closes = {"<|message|>"},
      .body_ends = {"<|end|>", "<|return|>", "<|call|>"},
      .ends_at_border = true,
      .route = harmony_route,
      .implied_header = "",
      .thought_header = "<|channel|>analysis<|message|>"};
  return shape;
}

const ChannelShape& gemma_channels() {
  static const ChannelShape shape{
      .header_opens = {"<|channel>"},
      .header_closes = {"\n"},
      .body_ends = {"<channel|>", "<turn|>"},
      .route = gemma_route,
      .implied_header = "",
      .thought_header = "<|channel>thought\n"};
  return shape;
}

const ChannelShape& muse_channels() {
  static const ChannelShape shape{
      .header_opens = {"<|start|>"},
      .header_words = {"assistant"},
      .header_closes = {"<|message|>"},
      .body_ends = {"<|eom|>", "<|eot|>", "<|end|>"},
      .ends_at_border = true,
      .route = muse_route,
      .implied_header = "to=",
      .thought_header = "to=self<|message|>"};
  return shape;
}

const ChannelShape& functionary_channels() {
  static const ChannelShape shape{
      .header_opens =
          {"<|from|>assistant\n<|recipient|>",
           "<|from|>assistant<|recipient|>",
           "<|recipient|>"},
      .header_closes = {"\n<|content|>", "<|content|>"},
      .body_ends = {"<|stop|>"},
      .route = functionary_route,
      .implied_header = "",
      .thought_header = ""};
  return shape;
}

class ReasoningMachine final : public FormatMachine {
 public:
  ReasoningMachine(
      const OutputFormat& format,
      const ReasoningStyle& style,
      const FormatInput& input)
      : style_(style),
        answer_(format.start(input)),
        thought_(format.start(input)),
        tags_(style.also) {
    tags_.insert(tags_.begin(), std::pair(style_.open, style_.close));
    for (const auto& [open, close] : tags_) {
      closes_.emplace_back(close);
    }
    std::erase(closes_, "");
    if (input.thinking == Thinking::on) {
      state_ = State::opened;
    } else if (input.thinking == Thinking::automatic) {
      implicit_ = style_.implicit;
      patience_ = style_.patience;
    }
  }

  void feed(std::string_view text, std::vector<FormatEvent>& out) override {
    in_slices(text, [&](std::string_view slice) {
      buffer_ += slice;
      while (step(out, false)) {
      }
    });
  }

  void finish(FinishCause cause, std::vector<FormatEvent>& out) override {
    while (step(out, true)) {
    }
    if (state_ == State::thought) {
      think(buffer_, out);
      buffer_.clear();
      end_thought(cause, out);
    }
    buffer_.clear();
    answer_->finish(cause, out);
  }

  size_t held() const override {
    return buffer_.size() + answer_->held() + thought_->held();
  }

  bool thinking() const override {
    return state_ == State::opened || state_ == State::thought ||
           (state_ == State::start && implicit_);
  }

  size_t open_call() const override {
    const size_t call =
        state_ == State::thought ? thought_->open_call() : answer_->open_call();
    return call == 0 ? 0 : call + buffer_.size();
  }

 private:
  // start: nothing but space so far; opened: behind the opening tag; closed:
  // behind the closing one.
  enum class State { start, opened, thought, closed, answer };

  // False when only more input can decide.
  bool step(std::vector<FormatEvent>& out, bool end) {
    if (buffer_.empty()) {
      return false;
    }
    switch (state_) {
      case State::start:
        return step_start(end);
      case State::opened:
      case State::closed:
        return step_space(end);
      case State::thought:
        return step_thought(out);
      case State::answer:
        return step_answer(out, end);
    }
    return false;
  }

  bool step_start(bool end) {
    const size_t begin = blank_ = skip_blank(buffer_, blank_);
    bool maybe = false;
    for (const auto& [open, close] : tags_) {
      for (const std::string_view tag : {open, close}) {
        const Match match =
            tag.empty() ? Match::no : match_tag(buffer_, begin, tag, end);
        if (match == Match::yes) {
          buffer_.erase(0, begin + tag.size());
          state_ = tag == open ? State::opened : State::closed;
          return true;
        }
        maybe |= match == Match::maybe;
      }
    }
    if (maybe) {
      return false;
    }
    if (implicit_) {
      state_ = State::thought;
      return true;
    }
    switch (closes_soon(begin, end)) {
      case Match::maybe:
        return false;
      case Match::yes:
        state_ = State::thought;
        return true;
      case Match::no:
        state_ = State::answer;
        return true;
    }
    return true;
  }

  // Does a block end near by that the output did not open? Then the prompt
  // did. No other tag, nor what a call begins with, may come before.
  Match closes_soon(size_t begin, bool end) const {
    if (patience_ == 0 || closes_.empty() || buffer_[begin] == '{' ||
        buffer_[begin] == '[') {
      return Match::no;
    }
    const std::string_view near =
        std::string_view(buffer_).substr(begin, patience_);
    const size_t tag = near.find(closes_[0][0]);
    if (tag == near.npos) {
      return near.size() < patience_ && !end ? Match::maybe : Match::no;
    }
    return match_any(buffer_, begin + tag, closes_, end).match;
  }

  // Tags that are dropped, and a closing tag that comes late: behind the calls
  // that ended the block.
  bool step_answer(std::vector<FormatEvent>& out, bool end) {
    std::vector<std::string> marks = style_.dropped;
    if (late_ == Late::calls) {
      for (const std::string& tag : style_.soft_closes) {
        marks.push_back("</" + tag.substr(1));
      }
    } else if (late_ == Late::close) {
      marks.insert(marks.end(), closes_.begin(), closes_.end());
    }
    const TagFound found = find_any(buffer_, 0, marks);
    if (found.at != std::string::npos) {
      const std::string mark = buffer_.substr(found.at, found.size);
      answer(found.at, out);
      if (late_ == Late::calls && mark.starts_with("</")) {
        answer(found.size, out);
        late_ = Late::close;
      } else {
        buffer_.erase(0, found.size);
        late_ = mark.starts_with("</") ? Late::none : late_;
      }
      return !buffer_.empty();
    }
    size_t hold = 0;
    for (const std::string& mark : marks) {
      hold = std::max(hold, end ? 0 : partial_tag(buffer_, mark));
    }
    answer(buffer_.size() - hold, out);
    return false;
  }

  void answer(size_t size, std::vector<FormatEvent>& out) {
    answer_->feed(std::string_view(buffer_).substr(0, size), out);
    buffer_.erase(0, size);
  }

  bool step_space(bool end) {
    const size_t begin = buffer_.find_first_not_of(kBlank);
    if (begin == std::string::npos && !end) {
      return false;
    }
    buffer_.erase(0, begin);
    state_ = state_ == State::opened ? State::thought : State::answer;
    return true;
  }

  // Where the block ends; a soft close stays for what follows.
  TagFound closing() const {
    const TagFound hard = find_any(buffer_, 0, closes_);
    TagFound soft = find_any(buffer_, 0, style_.soft_closes);
    soft.size = 0;
    return soft.at < hard.at ? soft : hard;
  }

  bool step_thought(std::vector<FormatEvent>& out) {
    const TagFound found = closing();
    const size_t at = found.at;
    if (at != std::string::npos) {
      const size_t last = buffer_.find_last_not_of(kBlank, at - (at > 0));
      const size_t size = at == 0 || last == std::string::npos ? 0 : last + 1;
      think(std::string_view(buffer_).substr(0, size), out);
      late_ = found.size == 0 && !closes_.empty() ? Late::calls : Late::none;
      buffer_.erase(0, at + found.size);
      end_thought(FinishCause::end, out);
      state_ = State::closed;
      return true;
    }
    // Hold what may become the tag, and the space before it.
    size_t hold = 0;
    for (const auto* tags : {&std::as_const(closes_), &style_.soft_closes}) {
      for (const std::string& tag : *tags) {
        hold = std::max(hold, partial_tag(buffer_, tag));
      }
    }
    size_t size = buffer_.size() - hold;
    while (size > 0 && kBlank.find(buffer_[size - 1]) != kBlank.npos) {
      --size;
    }
    think(std::string_view(buffer_).substr(0, size), out);
    buffer_.erase(0, size);
    return false;
  }

  void think(std::string_view text, std::vector<FormatEvent>& out) {
    std::vector<FormatEvent> events;
    thought_->feed(text, events);
    pass_thought(events, out);
  }

  void end_thought(FinishCause cause, std::vector<FormatEvent>& out) {
    std::vector<FormatEvent> events;
    thought_->finish(cause, events);
    pass_thought(events, out);
  }

  const ReasoningStyle& style_;
  std::unique_ptr<FormatMachine> answer_;
  std::unique_ptr<FormatMachine> thought_;
  std::vector<std::pair<std::string_view, std::string_view>> tags_;
  std::vector<std::string> closes_;
  State state_ = State::start;
  bool implicit_ = false;
  size_t patience_ = 0;
  // Calls ended the block before its tag: first they end, then it may come.
  enum class Late { none, calls, close };
  Late late_ = Late::none;
  size_t blank_ = 0;    // State::start: white space at the front
  std::string buffer_;  // input that no machine has seen
};

}  // namespace

const std::vector<ReasoningStyle>& reasoning_styles() {
  static const std::vector<ReasoningStyle> styles = {
      {"qwen3", {}, "<think>", "</think>"},
      {"deepseek_r1", {}, "<think>", "</think>"},
      {"deepseek_r1_distill", {}, "<think>", "</think>", true},
      {.name = "deepseek_v4",
       .aliases = {},
       .open = "<think>",
       .close = "</think>",
       .soft_closes =
           {"<｜DSML｜tool_calls>",
            "<｜DSML｜function_calls>",
            "<｜DSML｜r:tool_calls>",
            "<｜DSML｜r:function_calls>"}},
      {.name = "vibethinker",
       .aliases = {},
       .open = "<think>",
       .close = "</think>",
       .patience = 1024},
      {.name = "glm4",
       .aliases = {},
       .open = "<think>",
       .close = "</think>",
       .dropped = {"<|begin_of_box|>", "<|end_of_box|>"}},
      {.name = "minimax",
       .aliases = {},
       .open = "<think>",
       .close = "</think>",
       .patience = 512},
      {"seed", {"seed_oss"}, "<seed:think>", "</seed:think>"},
      {"mistral", {"magistral"}, "[THINK]", "[/THINK]"},
      {.name = "north",
       .aliases = {},
       .open = "<|START_THINKING|>",
       .close = "<|END_THINKING|>",
       .implicit = true,
       .dropped =
           {"<|START_TEXT|>",
            "<|END_TEXT|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>"}},
      {.name = "hy_v3",
       .aliases = {"hy3"},
       .open = "<think:opensource>",
       .close = "</think:opensource>",
       .also = {{"<think>", "</think>"}}},
      {.name = "ui_tars",
       .aliases = {},
       .open = "Thought:",
       .close = "",
       .also = {{"Reflection:", ""}},
       .patience = 0,
       .soft_closes = {"Action:", "\n\n"}},
      {.name = "harmony",
       .aliases = {"gpt_oss", "gpt-oss"},
       .open = "<|channel|>analysis<|message|>",
       .close = "<|end|>",
       .answer_header = "<|channel|>final<|message|>",
       .next_message = "<|start|>assistant",
       .channels = &harmony_channels()},
      {.name = "gemma4",
       .aliases = {"gemma_4"},
       .open = "<|channel>thought",
       .close = "<channel|>",
       .channels = &gemma_channels()},
      {.name = "muse",
       .aliases = {},
       .open = "to=self<|message|>",
       .close = "<|eom|>",
       .channels = &muse_channels()},
      {.name = "functionary",
       .aliases = {},
       .open = "<|recipient|>",
       .close = "<|stop|>",
       .channels = &functionary_channels()}};
  return styles;
}

const ReasoningStyle* find_reasoning_style(std::string_view name) {
  for (const ReasoningStyle& style : reasoning_styles()) {
    if (style.name == name ||
        std::ranges::find(style.aliases, name) != style.aliases.end()) {
      return &style;
    }
  }
  return nullptr;
}

const ReasoningStyle* reasoning_of_template(std::string_view source) {
  for (const ReasoningStyle& style : reasoning_styles()) {
    const bool both = !style.close.empty() &&
                      source.find(style.close) != source.npos &&
                      source.find(trim_blank(style.open)) != source.npos;
    if (both) {
      return &style;
    }
  }
  return nullptr;
}

Thinking thinking_of_prompt(
    const ReasoningStyle& style, std::string_view prompt_end) {
  const std::string_view end = trim_blank(prompt_end);
  return end.ends_with(style.open)    ? Thinking::on
         : end.ends_with(style.close) ? Thinking::off
                                      : Thinking::automatic;
}

const ReasoningStyle* reasoning_for(
    const OutputFormat& format, const ReasoningStyle* chosen) {
  return chosen != nullptr || format.reasoning().empty()
             ? chosen
             : find_reasoning_style(format.reasoning());
}

std::unique_ptr<FormatMachine> start_machine(
    const OutputFormat& format, const FormatInput& input) {
  const ReasoningStyle* style = reasoning_for(format, input.reasoning);
  if (style == nullptr) {
    return format.start(input);
  }
  if (style->channels) {
    return make_channel_machine(*style->channels, format, input);
  }
  return std::make_unique<ReasoningMachine>(format, *style, input);
}

std::vector<std::string> kept_tokens(
    const OutputFormat& format, const ReasoningStyle* reasoning) {
  std::vector<std::string> out = format.kept_tokens();
  reasoning = reasoning_for(format, reasoning);
  if (reasoning && reasoning->channels) {
    for (const auto* marks :
         {&reasoning->channels->header_opens,
          &reasoning->channels->header_closes,
          &reasoning->channels->body_ends}) {
      out.insert(out.end(), marks->begin(), marks->end());
    }
  } else if (reasoning) {
    out.emplace_back(reasoning->open);
    out.emplace_back(reasoning->close);
    for (const auto& [open, close] : reasoning->also) {
      out.emplace_back(open);
      out.emplace_back(close);
    }
  }
  std::erase(out, "");
  return out;
}

}  // namespace rapid
