#include "engine/reasoning_budget.h"

#include <map>

namespace rapid {

std::optional<int> reasoning_budget(
    const chat::Request& request, std::string_view template_source) {
  static const std::map<std::string, int, std::less<>> kEfforts = {
      {"none", 0},
      {"minimal", 256},
      {"low", 512},
      {"medium", 2048},
      {"high", 8192}};
  if (request.reasoning_max_tokens) {
    return request.reasoning_max_tokens;
  }
  const auto found = kEfforts.find(request.reasoning_effort);
  const bool by_template =
      template_source.find("reasoning_effort") != template_source.npos;
  if (found == kEfforts.end() || (by_template && found->second > 0)) {
    return std::nullopt;
  }
  return found->second;
}

std::string closing_text(const ReasoningStyle& style, bool to_answer) {
  if (style.channels != nullptr) {
    std::string out(style.close);
    out += style.next_message;
    return to_answer ? out + std::string(style.answer_header) : out;
  }
  if (style.close.empty()) {
    return style.soft_closes.empty() ? "\n\n" : "\n" + style.soft_closes[0];
  }
  return "\n" + std::string(style.close) + "\n\n";
}

}  // namespace rapid
