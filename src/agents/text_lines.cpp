#include "agents/text_lines.h"

#include <fmt/format.h>

#include <algorithm>

namespace rapid {

namespace {

struct Edit {
  char mark = ' ';
  std::string line;
};

// By the longest common subsequence; configuration files are short.
std::vector<Edit> edits_between(
    const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const size_t width = b.size() + 1;
  std::vector<int> common((a.size() + 1) * width, 0);
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i * width + j] = a[i] == b[j] ? common[(i + 1) * width + j + 1] + 1
                                           : std::max(
                                                 common[(i + 1) * width + j],
                                                 common[i * width + j + 1]);
    }
  }
  std::vector<Edit> out;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      out.push_back({' ', a[i]});
      ++i;
      ++j;
    } else if (
        j == b.size() || (i < a.size() && common[(i + 1) * width + j] >=
                                              common[i * width + j + 1])) {
      out.push_back({'-', a[i++]});
    } else {
      out.push_back({'+', b[j++]});
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) {
    out += line + "\n";
  }
  return out;
}

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) {
    return "";
  }
  return std::string(
      text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

std::string without_comment(std::string_view line) {
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      quote = c == quote ? '\0' : quote;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      return trimmed(line.substr(0, i));
    }
  }
  return trimmed(line);
}

std::string line_diff(std::string_view before, std::string_view after) {
  constexpr size_t kContext = 3;
  const auto edits = edits_between(split_lines(before), split_lines(after));
  std::vector<bool> shown(edits.size(), false);
  for (size_t i = 0; i < edits.size(); ++i) {
    if (edits[i].mark != ' ') {
      const size_t end = std::min(i + kContext + 1, edits.size());
      for (size_t j = i > kContext ? i - kContext : 0; j < end; ++j) {
        shown[j] = true;
      }
    }
  }
  std::string out;
  for (size_t i = 0; i < edits.size(); ++i) {
    if (shown[i]) {
      if (i > 0 && !shown[i - 1]) {
        out += "  ...\n";
      }
      out += fmt::format("{} {}\n", edits[i].mark, edits[i].line);
    }
  }
  return out;
}

}  // namespace rapid
