#include "api/openai_logprobs.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "api/openai_common.h"

namespace rapid {

namespace {

// The exact bytes of a token's printed text, undoing "bytes:\xNN...".
std::string bytes_of(std::string_view text) {
  constexpr std::string_view kPrefix = "bytes:";
  std::string_view rest = text;
  if (!rest.starts_with("bytes:\\x")) {
    return std::string(text);
  }
  std::string bytes;
  for (rest.remove_prefix(kPrefix.size()); rest.size() >= 4;
       rest.remove_prefix(4)) {
    const std::string digits(rest.substr(2, 2));
    bytes += static_cast<char>(std::strtoul(digits.c_str(), nullptr, 16));
  }
  return bytes;
}

Json scored(const std::string& text, const std::string& bytes, float logprob) {
  Json numbers = Json::array();
  for (const char byte : bytes) {
    numbers.push_back(static_cast<unsigned char>(byte));
  }
  return {
      {"token", text},
      {"logprob", openai_logprob(logprob)},
      {"bytes", std::move(numbers)}};
}

}  // namespace

Json openai_logprob_entries(const std::vector<chat::TokenLogprob>& tokens) {
  Json content = Json::array();
  for (const auto& token : tokens) {
    Json entry = scored(token.text, token.bytes, token.logprob.value_or(0));
    Json top = Json::array();
    for (const auto& other : token.top) {
      top.push_back(scored(other.text, bytes_of(other.text), other.logprob));
    }
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return content;
}

}  // namespace rapid
