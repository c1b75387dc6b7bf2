// Lines of a text, and what changed between two texts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rapid {

// Without line ends; the last line needs none.
std::vector<std::string> split_lines(std::string_view text);
std::string join_lines(const std::vector<std::string>& lines);

std::string trimmed(std::string_view text);
// Trimmed, up to a '#' that stands in no quotes.
std::string without_comment(std::string_view line);

// A unified diff with three lines of context, "" where nothing changed.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace rapid
