#include "formats/tag_scanner.h"

#include <algorithm>
#include <utility>

namespace rapid {

size_t partial_tag(std::string_view text, std::string_view tag) {
  if (tag.empty()) {
    return 0;
  }
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == tag.substr(0, n)) {
      return n;
    }
  }
  return 0;
}

TagScanner::TagScanner(std::vector<std::string> tags) : tags_(std::move(tags)) {
  std::erase(tags_, std::string());
}

TagScanner::Step TagScanner::feed(std::string_view text) {
  held_ += text;
  Step step;
  size_t best_end = std::string::npos;
  size_t best_begin = 0;
  for (size_t i = 0; i < tags_.size(); ++i) {
    const size_t begin = held_.find(tags_[i]);
    if (begin == std::string::npos) {
      continue;
    }
    const size_t end = begin + tags_[i].size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_end = end;
      best_begin = begin;
      step.match = i;
    }
  }
  if (step.match) {
    step.text = held_.substr(0, best_begin);
    step.rest = held_.substr(best_end);
    held_.clear();
    return step;
  }
  size_t hold = 0;
  for (const std::string& tag : tags_) {
    hold = std::max(hold, partial_tag(held_, tag));
  }
  step.text = held_.substr(0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return step;
}

std::string TagScanner::flush() {
  return std::exchange(held_, {});
}

}  // namespace rapid
