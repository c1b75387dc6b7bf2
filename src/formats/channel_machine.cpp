#include "formats/channel_machine.h"

#include "formats/tag_scanner.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr size_t kLongestHeader = 512;

class ChannelMachine final : public FormatMachine {
 public:
  ChannelMachine(
      const ChannelShape& shape,
      const OutputFormat& format,
      const FormatInput& input)
      : shape_(shape),
        format_(format),
        input_(input),
        answer_(format.start(input)),
        marks_(shape.body_ends) {
    marks_.insert(
        marks_.end(), shape.header_opens.begin(), shape.header_opens.end());
    if (input.thinking == Thinking::on && !shape.thought_header.empty()) {
      route_ = Route::reasoning;
    } else if (!shape.implied_header.empty()) {
      state_ = State::implied;
    }
  }

  void feed(std::string_view text, std::vector<FormatEvent>& out) override {
    in_slices(text, [&](std::string_view slice) {
      buffer_ += slice;
      while (!buffer_.empty() && step(out, false)) {
      }
    });
  }

  void finish(FinishCause cause, std::vector<FormatEvent>& out) override {
    while (!buffer_.empty() && step(out, true)) {
    }
    send(buffer_, out);
    buffer_.clear();
    end_thought(cause, out);
    answer_->finish(cause, out);
  }

  size_t held() const override {
    return buffer_.size() + answer_->held() + (thought_ ? thought_->held() : 0);
  }

  bool thinking() const override {
    return state_ == State::body && route_ == Route::reasoning;
  }

  size_t open_call() const override {
    const size_t call = thought_ ? thought_->open_call() : answer_->open_call();
    return call == 0 ? 0 : call + buffer_.size();
  }

 private:
  enum class State { implied, header, body };

  // False when only more input can decide.
  bool step(std::vector<FormatEvent>& out, bool end) {
    switch (state_) {
      case State::implied:
        return step_implied(end);
      case State::header:
        return step_header(out, end);
      case State::body:
        return step_body(out, end);
    }
    return false;
  }

  // The prompt wrote the beginning of a header: is this the rest of one?
  bool step_implied(bool end) {
    const size_t begin = blank_ = skip_blank(buffer_, blank_);
    const std::string& mark = shape_.implied_header;
    switch (match_tag(buffer_, begin, mark, end)) {
      case Match::maybe:
        return false;
      case Match::yes:
        state_ = State::header;
        open_ = 0;
        return true;
      case Match::no:
        break;
    }
    // A header that names nobody.
    const TagMatch close = match_any(buffer_, begin, shape_.header_closes, end);
    if (close.match == Match::maybe) {
      return false;
    }
    buffer_.erase(0, close.match == Match::yes ? begin + close.size : 0);
    state_ = State::body;
    return true;
  }

  // Is the mark at the front of the buffer what it looks like?
  Match is_mark(size_t size, bool opens, bool end) const {
    if (opens) {
      const auto& words = shape_.header_words;
      return words.empty() ? Match::yes
                           : match_any(buffer_, size, words, end).match;
    }
    if (!shape_.ends_at_border || route_ != Route::content) {
      return Match::yes;
    }
    const size_t next = skip_blank(buffer_, size);
    if (next >= buffer_.size()) {
      return end ? Match::yes : Match::maybe;
    }
    return match_any(buffer_, next, marks_, end).match;
  }

  bool step_header(std::vector<FormatEvent>& out, bool end) {
    const TagFound close = find_any(buffer_, open_, shape_.header_closes);
    const TagFound stop = find_any(buffer_, open_, shape_.body_ends);
    if (close.at == std::string::npos && stop.at == std::string::npos) {
      if (!end && buffer_.size() < kLongestHeader) {
        return false;
      }
      // Not a header after all.
      state_ = State::body;
      const size_t size = std::max<size_t>(open_, 1);
      send(std::string_view(buffer_).substr(0, size), out);
      buffer_.erase(0, size);
      return true;
    }
    const bool closed = close.at < stop.at;
    const size_t at = closed ? close.at : stop.at;
    const std::string_view header =
        std::string_view(buffer_).substr(open_, at - open_);
    const Route route = shape_.route(header);
    if (route_ == Route::reasoning && route != Route::reasoning) {
      end_thought(FinishCause::end, out);
    }
    route_ = route;
    state_ = State::body;
    if (route == Route::call) {
      const size_t size = closed ? at + close.size : at;
      answer_->feed(std::string_view(buffer_).substr(0, size), out);
      buffer_.erase(0, size);
    } else {
      buffer_.erase(0, closed ? at + close.size : at);
    }
    return true;
  }

  bool step_body(std::vector<FormatEvent>& out, bool end) {
    const TagFound mark = find_any(buffer_, 0, marks_);
    if (mark.at == std::string::npos) {
      size_t hold = 0;
      for (const std::string& tag : marks_) {
        hold = std::max(hold, end ? 0 : partial_tag(buffer_, tag));
      }
      send(std::string_view(buffer_).substr(0, buffer_.size() - hold), out);
      buffer_.erase(0, buffer_.size() - hold);
      return false;
    }
    send(std::string_view(buffer_).substr(0, mark.at), out);
    buffer_.erase(0, mark.at);
    const TagMatch open = match_any(buffer_, 0, shape_.header_opens, true);
    const bool opens = open.match == Match::yes;
    const Match real = is_mark(opens ? open.size : mark.size, opens, end);
    if (real == Match::maybe) {
      return false;
    }
    if (real == Match::no) {
      send(std::string_view(buffer_).substr(0, mark.size), out);
      buffer_.erase(0, mark.size);
      return true;
    }
    if (open.match == Match::yes) {
      open_ = open.size;
      state_ = State::header;
      return true;
    }
    if (route_ == Route::call) {
      send(std::string_view(buffer_).substr(0, mark.size), out);
    } else if (route_ == Route::reasoning) {
      end_thought(FinishCause::end, out);
    }
    buffer_.erase(0, mark.size);
    route_ = Route::content;
    return true;
  }

  void send(std::string_view text, std::vector<FormatEvent>& out) {
    if (text.empty()) {
      return;
    }
    if (route_ != Route::reasoning) {
      answer_->feed(text, out);
      return;
    }
    if (!thought_) {
      thought_ = format_.start(input_);
    }
    std::vector<FormatEvent> events;
    thought_->feed(text, events);
    pass_thought(events, out);
  }

  void end_thought(FinishCause cause, std::vector<FormatEvent>& out) {
    if (!thought_) {
      return;
    }
    std::vector<FormatEvent> events;
    thought_->finish(cause, events);
    thought_.reset();
    pass_thought(events, out);
  }

  const ChannelShape& shape_;
  const OutputFormat& format_;
  FormatInput input_;
  std::unique_ptr<FormatMachine> answer_;
  std::unique_ptr<FormatMachine> thought_;  // of the message being read
  std::vector<std::string> marks_;
  State state_ = State::body;
  Route route_ = Route::content;
  size_t blank_ = 0;    // State::implied: white space at the front
  size_t open_ = 0;     // State::header: the size of its opening mark
  std::string buffer_;  // input that no machine has seen
};

}  // namespace

std::unique_ptr<FormatMachine> make_channel_machine(
    const ChannelShape& shape,
    const OutputFormat& format,
    const FormatInput& input) {
  return std::make_unique<ChannelMachine>(shape, format, input);
}

void pass_thought(
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

}  // namespace rapid
