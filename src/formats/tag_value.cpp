#include "formats/tag_value.h"

#include <algorithm>
#include <optional>

#include "formats/coerce.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr std::string_view kCdata = "<![CDATA[";
constexpr std::string_view kCdataEnd = "]]>";
constexpr size_t kLongestKey = 64;

// Whether every name may be a parameter: the schema says nothing.
bool open_schema(const chat::Tool* tool) {
  if (tool == nullptr || !tool->parameters.is_object()) {
    return true;
  }
  const auto found = tool->parameters.find("properties");
  return found == tool->parameters.end() || !found->is_object() ||
         found->empty();
}

bool declares(const chat::Tool* tool, std::string_view key) {
  return open_schema(tool) ||
         parameter_schema(tool->parameters, key) != nullptr;
}

class ValueFinder {
 public:
  ValueFinder(
      std::string_view text,
      size_t begin,
      const std::set<std::string, std::less<>>& seen,
      const ValueBorders& borders)
      : text_(text), begin_(begin), seen_(seen), borders_(borders) {}

  ValueEnd run() {
    if (const auto quoted = quoted_end()) {
      return *quoted;
    }
    size_t closer = 0;
    size_t sibling = 0;
    const auto find_from = [&](size_t& found, std::string_view tag, size_t at) {
      if (found < at || at == begin_) {
        found = text_.find(tag, at);
      }
    };
    for (size_t at = begin_; at < text_.size();) {
      find_from(closer, params().close, at);
      find_from(sibling, params().open, at);
      if (params().text == ValueText::cdata) {
        const size_t data = text_.find(kCdata, at);
        if (data < std::min(closer, sibling)) {
          const size_t stop = text_.find(kCdataEnd, data);
          at = stop == text_.npos ? stop : stop + kCdataEnd.size();
          continue;
        }
      }
      if (closer == text_.npos && sibling == text_.npos) {
        break;
      }
      if (sibling < closer) {
        if (const auto ended = at_sibling(sibling)) {
          return *ended;
        }
        ++inner_;
        at = sibling + 1;
        continue;
      }
      switch (follow(closer)) {
        case Follow::maybe:
          return {};
        case Follow::sibling:
          return found(closer);
        case Follow::call_end:
          return extended(closer);
        case Follow::weak:
          weak_ = closer;
          break;
        case Follow::data:
          break;
      }
      last_closer_ = closer;
      inner_ -= inner_ > 0 ? 1 : 0;
      at = closer + 1;
    }
    ValueEnd out = borders_.end ? recovered() : ValueEnd{};
    out.looked = kNone;
    return out;
  }

 private:
  enum class Follow { maybe, sibling, call_end, weak, data };
  static constexpr size_t kNone = std::string_view::npos;

  const ParameterShape& params() const { return borders_.shape.params; }

  ValueEnd found(size_t closer) const {
    const size_t next = closer + params().close.size();
    return {ValueEnd::Kind::found, closer, next, next};
  }

  // No closing tag: the line break before what follows is markup.
  ValueEnd unclosed(size_t at) const {
    const bool line = params().lines != Lines::both && at > begin_ &&
                      text_[at - 1] == '\n' && text_[begin_] != '\n';
    return {ValueEnd::Kind::found, at - (line ? 1 : 0), at, at};
  }

  // A value that is one JSON string: tags inside of it are data.
  std::optional<ValueEnd> quoted_end() const {
    const bool may = params().text == ValueText::quotable ||
                     params().text == ValueText::verbatim;
    size_t i = skip_blank(text_, begin_);
    if (!may || i >= text_.size() || text_[i] != '"') {
      return std::nullopt;
    }
    for (++i; i < text_.size() && text_[i] != '"'; ++i) {
      if (static_cast<unsigned char>(text_[i]) < 0x20) {
        return std::nullopt;
      }
      i += text_[i] == '\\' ? 1 : 0;
    }
    const bool open = i >= text_.size();
    i = open ? text_.size() : skip_blank(text_, i + 1);
    if (i == text_.size() && !borders_.end) {
      return ValueEnd{};
    }
    switch (match_tag(text_, i, params().close, borders_.end)) {
      case Match::yes:
        return found(i);
      case Match::maybe:
        return ValueEnd{};
      case Match::no:
        break;
    }
    return std::nullopt;
  }

  // The key of the parameter that opens at `at`; none: not all there.
  std::optional<std::string_view> key_at(size_t at) const {
    const size_t begin = at + params().open.size();
    const size_t stop = text_.find(params().key_end, begin);
    if (stop == kNone) {
      return std::nullopt;
    }
    return key_text(text_.substr(begin, stop - begin));
  }

  // A declared parameter that had not come yet opens before this one was
  // closed: the closing tag is missing.
  std::optional<ValueEnd> at_sibling(size_t at) const {
    const auto key = key_at(at);
    if (!key) {
      return borders_.end ? std::nullopt : std::optional(ValueEnd{});
    }
    const bool known = borders_.tool != nullptr &&
                       !open_schema(borders_.tool) &&
                       declares(borders_.tool, *key);
    const char before = at > begin_ ? text_[at - 1] : '\n';
    if (!known || seen_.contains(*key) || (before != '\n' && before != '>')) {
      return std::nullopt;
    }
    if (last_closer_ != kNone) {
      return found(last_closer_);
    }
    return unclosed(at);
  }

  // A parameter that the tool does not declare opens right behind the tag
  // that closes this one. Text may look so, too: then it has tags of its own,
  // or not the lines of this value.
  bool next_unknown(size_t closer, std::string_view key) const {
    const bool lines = begin_ < text_.size() && text_[begin_] == '\n' &&
                       params().lines != Lines::none;
    return inner_ == 0 && !key.empty() && key.size() <= kLongestKey &&
           std::ranges::all_of(key, is_name_char) &&
           (!lines || text_[closer - 1] == '\n');
  }

  Follow maybe_or(Follow otherwise) const {
    return borders_.end ? otherwise : Follow::maybe;
  }

  // What follows the closing tag at `closer`.
  Follow follow(size_t closer) const {
    const bool end = borders_.end;
    const TagShape& shape = borders_.shape;
    const size_t at = skip_blank(text_, closer + params().close.size());
    if (at >= text_.size()) {
      return maybe_or(Follow::call_end);
    }
    const Match sibling = match_tag(text_, at, params().open, end);
    if (sibling == Match::yes) {
      const auto key = key_at(at);
      return !key ? maybe_or(Follow::data)
             : declares(borders_.tool, *key) || next_unknown(closer, *key)
                 ? Follow::sibling
                 : Follow::data;
    }
    const TagMatch close = match_any(text_, at, shape.closes, end);
    if (close.match == Match::yes) {
      return behind_call(at + close.size);
    }
    const TagMatch section = match_any(text_, at, shape.section_closes, end);
    const TagMatch open = match_any(text_, at, borders_.openers, end);
    if (section.match == Match::yes || open.match == Match::yes) {
      return Follow::call_end;
    }
    const bool maybe = sibling == Match::maybe || close.match == Match::maybe ||
                       section.match == Match::maybe ||
                       open.match == Match::maybe;
    return maybe ? Follow::maybe : Follow::data;
  }

  Follow behind_call(size_t at) const {
    if (!borders_.in_section) {
      return Follow::call_end;
    }
    at = skip_blank(text_, at);
    if (at >= text_.size()) {
      return maybe_or(Follow::call_end);
    }
    const TagMatch section =
        match_any(text_, at, borders_.shape.section_closes, borders_.end);
    const TagMatch open = match_any(text_, at, borders_.openers, borders_.end);
    if (section.match == Match::yes || open.match == Match::yes) {
      return Follow::call_end;
    }
    return section.match == Match::maybe || open.match == Match::maybe
               ? Follow::maybe
               : Follow::weak;
  }

  // The call seems to end behind `closer`. What follows up to the next call
  // is part of the value if it ends the call once more.
  ValueEnd extended(size_t closer) const {
    const size_t after = closer + params().close.size();
    const size_t stop = find_any(text_, after, borders_.openers).at;
    if (stop == kNone && !borders_.end) {
      return {};
    }
    const std::string_view region = text_.substr(0, stop);
    for (size_t at = after;
         (at = region.find(params().close, at)) != region.npos;
         ++at) {
      if (ends_call(region, at)) {
        closer = at;
      }
    }
    ValueEnd out = found(closer);
    out.looked = stop;
    return out;
  }

  bool ends_call(std::string_view region, size_t closer) const {
    const TagShape& shape = borders_.shape;
    size_t at = skip_blank(region, closer + params().close.size());
    const TagMatch close = match_any(region, at, shape.closes, true);
    if (close.match != Match::yes) {
      return false;
    }
    at = skip_blank(region, at + close.size);
    return !borders_.in_section ||
           match_any(region, at, shape.section_closes, true).match ==
               Match::yes;
  }

  // Nothing closes the value as it should.
  ValueEnd recovered() const {
    if (weak_ != kNone) {
      return found(weak_);
    }
    const size_t stop = std::min(
        {find_any(text_, begin_, borders_.shape.closes).at,
         find_any(text_, begin_, borders_.shape.section_closes).at,
         find_any(text_, begin_, borders_.openers).at});
    const size_t closer = text_.substr(0, stop).rfind(params().close);
    if (closer != kNone && closer >= begin_) {
      return found(closer);
    }
    if (stop != kNone) {
      return unclosed(stop);
    }
    return {ValueEnd::Kind::cut, text_.size(), text_.size(), kNone};
  }

  std::string_view text_;
  size_t begin_;
  const std::set<std::string, std::less<>>& seen_;
  const ValueBorders& borders_;
  size_t last_closer_ = kNone;
  int inner_ = 0;        // parameters that opened in this value
  size_t weak_ = kNone;  // ends the call, but not its section
};

}  // namespace

std::string_view key_text(std::string_view raw) {
  raw = trim_blank(raw);
  const bool quoted = raw.size() > 2 && raw.front() == raw.back() &&
                      (raw[0] == '"' || raw[0] == '\'');
  return quoted ? raw.substr(1, raw.size() - 2) : raw;
}

ValueEnd find_value_end(
    std::string_view text,
    size_t begin,
    const std::set<std::string, std::less<>>& seen,
    const ValueBorders& borders) {
  return ValueFinder(text, begin, seen, borders).run();
}

}  // namespace rapid
