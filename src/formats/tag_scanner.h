// Finds the first of several fixed strings in a stream of text, holding back
// no more than what may still become one of them.
//
// The first match is the one that is complete first; of those that complete
// at the same byte the longest. So the result does not depend on how the
// stream was cut.
//
//   TagScanner scanner({"<tool_call>"});
//   auto step = scanner.feed("Hi <tool");   // text "Hi ", no match
//   step = scanner.feed("_call>{");         // match 0, rest "{"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rapid {

// The length of the longest end of `text` that is a true beginning of `tag`.
size_t partial_tag(std::string_view text, std::string_view tag);

class TagScanner {
 public:
  explicit TagScanner(std::vector<std::string> tags);

  struct Step {
    std::string text;             // before the match, or certain by now
    std::optional<size_t> match;  // index of the tag found
    std::string rest;             // input behind the tag; feed it again
  };
  Step feed(std::string_view text);

  // What is held, which then is text.
  std::string flush();
  size_t held() const { return held_.size(); }

 private:
  std::vector<std::string> tags_;
  std::string held_;
};

}  // namespace rapid
