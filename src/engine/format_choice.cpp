#include "engine/format_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/call_syntax.h"
#include "formats/registry.h"

namespace rapid {
namespace {

using Reason = FormatChoice::Reason;

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string without_blank(std::string text) {
  std::erase_if(text, [](char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
  });
  return text;
}

// Whether the format's usual way of writing gives what the template gives.
bool renders_same(const OutputFormat& format, const TemplateFacts& facts) {
  if (format.syntaxes().empty() || facts.rendered_call.empty()) {
    return false;
  }
  FormatInput input;
  input.tools.push_back({.name = "probe", .parameters = Json::object()});
  const ToolSet tools(input);
  const chat::ToolCall call{"call_0", "probe", R"({"key": "value"})"};
  const std::string ours =
      without_blank(format.syntaxes()[0]->render({&call, 1}, tools));
  return without_blank(facts.rendered_call).find(ours) != std::string::npos;
}

// What a format for any model claims when nothing speaks for it.
int unasked(const OutputFormat& format) {
  return format.match({});
}

Reason reason_for(const OutputFormat& format, const TemplateFacts& facts) {
  if (renders_same(format, facts)) {
    return Reason::same;
  }
  TemplateFacts call_only = facts;
  call_only.source = {};
  if (format.match(call_only) > unasked(format)) {
    return Reason::readable;
  }
  return format.match(facts) > unasked(format) ? Reason::signs : Reason::none;
}

std::vector<std::string> vocabulary_tokens(
    const OutputFormat& format, const TemplateFacts& facts) {
  std::vector<std::string> out;
  for (const std::string& marker : format.syntaxes().empty()
                                       ? std::vector<std::string>()
                                       : format.syntaxes()[0]->markers()) {
    if (facts.has_token && facts.has_token(marker)) {
      out.push_back(marker);
    }
  }
  return out;
}

}  // namespace

std::string FormatChoice::why() const {
  std::string out;
  switch (reason) {
    case Reason::forced:
      return "asked for by name";
    case Reason::none:
      return "nothing in the chat template speaks for a format";
    case Reason::same:
      out = "the chat template renders a call this way";
      break;
    case Reason::readable:
      out = "this format reads the call that the chat template renders";
      break;
    case Reason::signs:
      out = "words of this family stand in the chat template";
      break;
  }
  if (!rivals.empty()) {
    out += fmt::format("; preferred to {}, which fit as well", joined(rivals));
  }
  if (!tokens.empty()) {
    out += fmt::format("; tokens of the vocabulary: {}", joined(tokens));
  }
  return out;
}

Result<FormatChoice> choose_format(
    const TemplateFacts& facts, const std::string& forced) {
  const FormatRegistry& formats = FormatRegistry::global();
  FormatChoice out;
  if (!forced.empty()) {
    out.format = formats.find(forced);
    out.reason = Reason::forced;
    if (out.format == nullptr) {
      std::vector<std::string> known;
      for (const OutputFormat* format : formats.all()) {
        known.emplace_back(format->name());
      }
      return Error{
          ErrorCode::invalid_argument,
          "there is no output format \"" + forced + "\"",
          "known formats: " + joined(known),
          "format"};
    }
    out.tokens = vocabulary_tokens(*out.format, facts);
    return out;
  }
  out.format = &formats.choose(facts);
  out.reason = reason_for(*out.format, facts);
  out.tokens = vocabulary_tokens(*out.format, facts);
  for (const OutputFormat* other : formats.all()) {
    if (out.reason != Reason::none && other != out.format &&
        unasked(*other) == 0 && reason_for(*other, facts) == out.reason) {
      out.rivals.emplace_back(other->name());
    }
  }
  return out;
}

}  // namespace rapid
