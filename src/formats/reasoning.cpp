#include "formats/reasoning.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "formats/tag_scanner.h"

namespace rapid {
namespace {

constexpr std::string_view kSpace = " \n\r\t";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  const size_t last = text.find_last_not_of(kSpace);
  return first == text.npos ? "" : text.substr(first, last - first + 1);
}

class ReasoningMachine final : public FormatMachine {
 public:
  ReasoningMachine(const OutputFormat& format, const FormatInput& input)
      : style_(*input.reasoning),
        answer_(format.start(input)),
        thought_(format.start(input)) {
    if (input.thinking == Thinking::on) {
      state_ = State::opened;
    } else if (style_.implicit && input.thinking == Thinking::automatic) {
      implicit_ = true;
    }
  }

  void feed(std::string_view text, std::vector<FormatEvent>& out) override {
    buffer_ += text;
    while (step(out, false)) {
    }
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
        answer_->feed(buffer_, out);
        buffer_.clear();
        return false;
    }
    return false;
  }

  bool step_start(bool end) {
    const size_t begin =
        std::min(buffer_.find_first_not_of(kSpace), buffer_.size());
    const std::string_view rest = std::string_view(buffer_).substr(begin);
    if (rest.starts_with(style_.open)) {
      buffer_.erase(0, begin + style_.open.size());
      state_ = State::opened;
      return true;
    }
    if (!end && style_.open.starts_with(rest)) {
      return false;
    }
    state_ = implicit_ ? State::thought : State::answer;
    return true;
  }

  bool step_space(bool end) {
    const size_t begin = buffer_.find_first_not_of(kSpace);
    if (begin == std::string::npos && !end) {
      return false;
    }
    buffer_.erase(0, begin);
    state_ = state_ == State::opened ? State::thought : State::answer;
    return true;
  }

  bool step_thought(std::vector<FormatEvent>& out) {
    const size_t at = buffer_.find(style_.close);
    if (at != std::string::npos) {
      const size_t last = buffer_.find_last_not_of(kSpace, at - (at > 0));
      const size_t size = at == 0 || last == std::string::npos ? 0 : last + 1;
      think(std::string_view(buffer_).substr(0, size), out);
      buffer_.erase(0, at + style_.close.size());
      end_thought(FinishCause::end, out);
      state_ = State::closed;
      return true;
    }
    // Hold what may become the tag, and the space before it.
    size_t size = buffer_.size() - partial_tag(buffer_, style_.close);
    while (size > 0 && kSpace.find(buffer_[size - 1]) != kSpace.npos) {
      --size;
    }
    think(std::string_view(buffer_).substr(0, size), out);
    buffer_.erase(0, size);
    return false;
  }

  void think(std::string_view text, std::vector<FormatEvent>& out) {
    std::vector<FormatEvent> events;
    thought_->feed(text, events);
    pass(events, out);
  }

  void end_thought(FinishCause cause, std::vector<FormatEvent>& out) {
    std::vector<FormatEvent> events;
    thought_->finish(cause, events);
    pass(events, out);
  }

  // Of what the block's machine found only calls are more than reasoning.
  static void pass(
      std::vector<FormatEvent>& events, std::vector<FormatEvent>& out) {
    for (FormatEvent& event : events) {
      if (auto* text = std::get_if<FormatText>(&event)) {
        out.push_back(FormatReasoning{std::move(text->text)});
      } else if (auto* rejected = std::get_if<FormatRejected>(&event)) {
        out.push_back(FormatReasoning{std::move(rejected->raw)});
      } else {
        out.push_back(std::move(event));
      }
    }
  }

  const ReasoningStyle& style_;
  std::unique_ptr<FormatMachine> answer_;
  std::unique_ptr<FormatMachine> thought_;
  State state_ = State::start;
  bool implicit_ = false;
  std::string buffer_;  // input that no machine has seen
};

}  // namespace

const std::vector<ReasoningStyle>& reasoning_styles() {
  static const std::vector<ReasoningStyle> styles = {
      {"qwen3", {}, "<think>", "</think>"},
      {"deepseek_r1", {}, "<think>", "</think>"},
      {"deepseek_r1_distill", {}, "<think>", "</think>", true},
      {"deepseek_v4", {}, "<think>", "</think>", true},
      {"vibethinker", {}, "<think>", "</think>"},
      {"glm4", {}, "<think>", "</think>"},
      {"minimax", {}, "<think>", "</think>"},
      {"seed", {"seed_oss"}, "<seed:think>", "</seed:think>"},
      {"mistral", {"magistral"}, "[THINK]", "[/THINK]"},
      {"north", {}, "<|START_THINKING|>", "<|END_THINKING|>", true}};
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
    if (source.find(style.close) != source.npos) {
      return &style;
    }
  }
  return nullptr;
}

Thinking thinking_of_prompt(
    const ReasoningStyle& style, std::string_view prompt_end) {
  const std::string_view end = trimmed(prompt_end);
  return end.ends_with(style.open)    ? Thinking::on
         : end.ends_with(style.close) ? Thinking::off
                                      : Thinking::automatic;
}

std::unique_ptr<FormatMachine> start_machine(
    const OutputFormat& format, const FormatInput& input) {
  if (input.reasoning) {
    return std::make_unique<ReasoningMachine>(format, input);
  }
  return format.start(input);
}

std::vector<std::string> kept_tokens(
    const OutputFormat& format, const ReasoningStyle* reasoning) {
  std::vector<std::string> out = format.kept_tokens();
  if (reasoning) {
    out.emplace_back(reasoning->open);
    out.emplace_back(reasoning->close);
  }
  return out;
}

}  // namespace rapid
