// Small looks into text that may still grow: what the readers of calls share.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace rapid {

constexpr std::string_view kBlank = " \n\r\t";

inline size_t skip(std::string_view text, size_t at, std::string_view set) {
  return std::min(text.find_first_not_of(set, at), text.size());
}

inline size_t skip_blank(std::string_view text, size_t at) {
  return skip(text, at, kBlank);
}

inline std::string_view trim_blank(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlank);
  if (first == text.npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Does text[at...) begin with the tag? `maybe`: it is all there is so far and
// the tag may still come.
enum class Match { no, maybe, yes };

inline Match match_tag(
    std::string_view text, size_t at, std::string_view tag, bool end) {
  const std::string_view rest = text.substr(std::min(at, text.size()));
  if (rest.starts_with(tag)) {
    return Match::yes;
  }
  return !end && tag.starts_with(rest) ? Match::maybe : Match::no;
}

// The longest of several tags that stands at a place; `maybe` while a longer
// one still may.
struct TagMatch {
  Match match = Match::no;
  size_t size = 0;  // of the tag that matched
};

inline TagMatch match_any(
    std::string_view text,
    size_t at,
    std::span<const std::string> tags,
    bool end) {
  TagMatch out;
  bool maybe = false;
  for (const std::string& tag : tags) {
    const Match one = match_tag(text, at, tag, end);
    if (one == Match::yes && tag.size() >= out.size) {
      out = {one, tag.size()};
    }
    maybe |= one == Match::maybe;
  }
  return maybe ? TagMatch{Match::maybe, 0} : out;
}

struct TagFound {
  size_t at = std::string_view::npos;
  size_t size = 0;
};

// The first place from `at` on where one of the tags stands.
inline TagFound find_any(
    std::string_view text, size_t at, std::span<const std::string> tags) {
  TagFound out;
  for (const std::string& tag : tags) {
    const size_t found = text.substr(0, out.at).find(tag, at);
    if (found < out.at) {
      out = {found, tag.size()};
    }
  }
  return out;
}

// Calls `step` with slices of a long text, cut between characters, so that
// what a machine holds stays small.
template <typename Step>
void in_slices(std::string_view text, Step step) {
  constexpr size_t kSlice = 2048;
  while (text.size() > kSlice) {
    size_t size = kSlice;
    while (size > 1 &&
           (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
      --size;
    }
    step(text.substr(0, size));
    text.remove_prefix(size);
  }
  step(text);
}

inline bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

}  // namespace rapid
