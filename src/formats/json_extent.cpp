#include "formats/json_extent.h"

#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr size_t kFar = 256;  // how far a closing ' looks for what follows

enum class Border { none, maybe, close, start };

struct BorderAt {
  Border border = Border::none;
  size_t size = 0;
};

// A fence's end may be the beginning of another fence.
BorderAt border_at(
    std::string_view text,
    size_t at,
    std::span<const std::string> closers,
    std::span<const std::string> starts,
    bool end) {
  const TagMatch close = match_any(text, at, closers, end);
  const TagMatch start = match_any(text, at, starts, end);
  if (start.match == Match::yes) {
    return {Border::start, start.size};
  }
  if (start.match == Match::maybe || close.match == Match::maybe) {
    return {Border::maybe, 0};
  }
  return {close.match == Match::yes ? Border::close : Border::none, close.size};
}

class Scan {
 public:
  Scan(
      std::string_view text,
      size_t begin,
      std::span<const std::string> closers,
      std::span<const std::string> starts,
      bool end,
      std::string_view quote)
      : text_(text),
        at_(begin),
        closers_(closers),
        starts_(starts),
        end_(end),
        quote_(quote) {}

  enum class Stop { complete, close, start, maybe, ran_out };

  Stop run() {
    char before = ':';  // the last character outside of strings
    int depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (!quote_.empty() && text_.substr(at_).starts_with(quote_)) {
        at_ = text_.find(quote_, at_ + quote_.size());
        if (at_ == text_.npos) {
          return Stop::ran_out;
        }
        at_ += quote_.size();
        before = '"';
        continue;
      }
      if (c == '"' || (c == '\'' && opens_value(before))) {
        if (!skip_string(c)) {
          return Stop::ran_out;
        }
        before = c;
        continue;
      }
      if (c == '{' || c == '[') {
        ++depth;
      } else if ((c == '}' || c == ']') && --depth <= 0) {
        ++at_;
        return Stop::complete;
      } else if (const Stop stop = at_tag(); stop != Stop::complete) {
        return stop;
      }
      if (kBlank.find(c) == kBlank.npos) {
        before = c;
      }
      ++at_;
    }
    return Stop::ran_out;
  }

  size_t position() const { return at_; }

 private:
  static bool opens_value(char before) {
    return std::string_view("{[,:(").find(before) != std::string_view::npos;
  }

  // Stop::complete here: no tag.
  Stop at_tag() const {
    switch (border_at(text_, at_, closers_, starts_, end_).border) {
      case Border::close:
        return Stop::close;
      case Border::start:
        return Stop::start;
      case Border::maybe:
        return Stop::maybe;
      case Border::none:
        break;
    }
    return Stop::complete;
  }

  // False when the text ends first.
  bool skip_string(char quote) {
    for (size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] == '\\') {
        ++i;
      } else if (text_[i] == quote && (quote == '"' || closes_value(i + 1))) {
        at_ = i + 1;
        return true;
      }
    }
    return false;
  }

  // Behind a single quote: in it's, the quote closes nothing.
  bool closes_value(size_t i) const {
    const size_t next = skip_blank(text_.substr(0, i + kFar), i);
    return next >= text_.size() || std::string_view(",:}])").find(
                                       text_[next]) != std::string_view::npos;
  }

  std::string_view text_;
  size_t at_;
  std::span<const std::string> closers_;
  std::span<const std::string> starts_;
  bool end_;
  std::string_view quote_;
};

// The value is complete; what stands between it and the closing tag?
JsonExtent behind(
    std::string_view text,
    size_t end_of_value,
    std::span<const std::string> closers,
    std::span<const std::string> starts,
    bool end) {
  JsonExtent out{true, end_of_value, end_of_value, true, true};
  if (closers.empty()) {
    return out;
  }
  size_t next = skip_blank(text, end_of_value);
  BorderAt border = border_at(text, next, closers, starts, end);
  if (border.border == Border::none) {  // a brace too many, a fence
    next = skip(text, next, " \n\r\t`}");
    border = border_at(text, next, closers, starts, end);
  }
  if (border.border == Border::close) {
    out.next = next + border.size;
    return out;
  }
  if (border.border != Border::none) {
    return border.border == Border::start ? out : JsonExtent{};
  }
  const TagFound starter = find_any(text, next, starts);
  const TagFound closer = find_any(text.substr(0, starter.at), next, closers);
  if (closer.at < starter.at) {
    border = border_at(text, closer.at, closers, starts, end);
    if (border.border != Border::close) {
      return {};
    }
    out.next = closer.at + border.size;
    out.junk = text.substr(next, closer.at - next);
    return out;
  }
  // The model forgot the tag and went on with text, or with a call.
  out.decided = end || starter.at != text.npos;
  if (next == text.size()) {
    out.next = next;
  }
  return out;
}

}  // namespace

namespace {

JsonExtent find_extent(
    std::string_view text,
    size_t begin,
    std::span<const std::string> closers,
    std::span<const std::string> starts,
    bool end,
    std::string_view quote) {
  Scan scan(text, begin, closers, starts, end, quote);
  const Scan::Stop stop = scan.run();
  const size_t position = scan.position();
  switch (stop) {
    case Scan::Stop::complete:
      return behind(text, position, closers, starts, end);
    case Scan::Stop::close: {
      const TagMatch close = match_any(text, position, closers, end);
      return {true, position, position + close.size, true, false};
    }
    case Scan::Stop::start:
      return {true, position, position, false, false};
    case Scan::Stop::maybe:
      return {};
    case Scan::Stop::ran_out:
      break;
  }
  if (!end) {
    return {};
  }
  // A string that never closes swallowed the rest.
  const TagFound close = find_any(text, begin, closers);
  if (close.at != text.npos) {
    return {
        true, close.at, close.at + close.size, true, false, {}, text.size()};
  }
  return {true, text.size(), text.size(), false, false, {}, text.size()};
}

}  // namespace

JsonExtent json_extent(
    std::string_view text,
    size_t begin,
    std::span<const std::string> closers,
    std::span<const std::string> starts,
    bool end,
    std::string_view quote) {
  JsonExtent out = find_extent(text, begin, closers, starts, end, quote);
  out.looked = std::max(out.looked, out.decided ? out.next : text.size());
  return out;
}

}  // namespace rapid
