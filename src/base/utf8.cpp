#include "base/utf8.h"

namespace rapid {

namespace {

enum class Form { valid, invalid, cut };

struct Step {
  Form form;
  size_t length;  // bytes to move on by
};

// Looks at the character that starts at text[at]. Follows table 3-7 of the
// Unicode standard, so overlong forms and surrogates are invalid.
Step step_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return static_cast<unsigned char>(text[i]);
  };
  const unsigned char lead = byte(at);
  if (lead < 0x80) {
    return {Form::valid, 1};
  }
  size_t need = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    need = 1;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    need = 2;
    low = lead == 0xE0 ? 0xA0 : 0x80;
    high = lead == 0xED ? 0x9F : 0xBF;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    need = 3;
    low = lead == 0xF0 ? 0x90 : 0x80;
    high = lead == 0xF4 ? 0x8F : 0xBF;
  } else {
    return {Form::invalid, 1};
  }
  for (size_t i = 1; i <= need; ++i) {
    if (at + i >= text.size()) {
      return {Form::cut, i};
    }
    if (byte(at + i) < low || byte(at + i) > high) {
      return {Form::invalid, i};
    }
    low = 0x80;
    high = 0xBF;
  }
  return {Form::valid, need + 1};
}

}  // namespace

size_t utf8_complete_prefix(std::string_view text) {
  // Only the last three bytes can belong to a character that is cut.
  size_t at = text.size() > 3 ? text.size() - 3 : 0;
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0xC0 && step_at(text, at).form == Form::cut) {
      return at;
    }
    ++at;
  }
  return text.size();
}

bool utf8_valid(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Step step = step_at(text, at);
    if (step.form != Form::valid) {
      return false;
    }
    at += step.length;
  }
  return true;
}

std::string utf8_replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Step step = step_at(text, at);
    if (step.form == Form::valid) {
      out.append(text.substr(at, step.length));
    } else {
      out.append("\xEF\xBF\xBD");
    }
    at += step.length;
  }
  return out;
}

}  // namespace rapid
