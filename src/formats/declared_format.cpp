#include "formats/declared_format.h"

#include <algorithm>
#include <utility>

#include "formats/registry.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

// What speaks for a format: the template writes its very calls, or calls that
// it reads; words of the family. A format's later syntaxes count for less.
constexpr int kSame = 4000;
constexpr int kReads = 3000;
constexpr int kSign = 2000;
constexpr int kLessUsual = 300;

class DeclaredFormat final : public OutputFormat {
 public:
  explicit DeclaredFormat(FormatDeclaration declaration)
      : declaration_(std::move(declaration)) {}

  std::string_view name() const override { return declaration_.name; }
  std::vector<std::string_view> aliases() const override {
    return declaration_.aliases;
  }
  std::string_view reasoning() const override { return declaration_.reasoning; }
  const SyntaxList& syntaxes() const override { return declaration_.syntaxes; }

  std::unique_ptr<FormatMachine> start(
      const FormatInput& input) const override {
    return std::make_unique<CallMachine>(declaration_.syntaxes, input);
  }

  std::vector<std::string> kept_tokens() const override {
    std::vector<std::string> out;
    for (const auto& syntax : declaration_.syntaxes) {
      const auto markers = syntax->markers();
      out.insert(out.end(), markers.begin(), markers.end());
    }
    return out;
  }

  int match(const TemplateFacts& facts) const override;

 private:
  // How well its syntaxes fit the template's call.
  int reading(const TemplateFacts& facts) const;

  FormatDeclaration declaration_;
};

// The call that TemplateFacts.rendered_call shows.
chat::ToolCall probe_call() {
  return {"call_0", "probe", "{\"key\": \"value\"}"};
}

std::string without_blank(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (kBlank.find(c) == kBlank.npos) {
      out += c;
    }
  }
  return out;
}

// Whether the syntax finds the probe's call in the text.
bool finds_probe(
    const CallSyntax& syntax, const ToolSet& tools, std::string_view text) {
  const ReadContext context{
      .tools = tools,
      .end = true,
      .starts = true,
      .line_start = true,
      .word_start = true};
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    if (match_any(rest, 0, syntax.openers(), true).match != Match::yes) {
      continue;
    }
    const SyntaxRead read = syntax.read(rest, context);
    for (const FormatEvent& event : read.events) {
      const auto* call = std::get_if<FormatCall>(&event);
      const auto arguments =
          call ? parse_json(call->arguments) : Result<Json>(Json());
      if (arguments && *arguments == Json({{"key", "value"}})) {
        return true;
      }
    }
  }
  return false;
}

int DeclaredFormat::reading(const TemplateFacts& facts) const {
  FormatInput input;
  input.tools.push_back({.name = "probe", .parameters = Json::object()});
  const ToolSet tools(input);
  const chat::ToolCall call = probe_call();
  const std::string_view text = facts.rendered_call;
  int score = 0;
  for (size_t i = 0; i < declaration_.syntaxes.size(); ++i) {
    const CallSyntax& syntax = *declaration_.syntaxes[i];
    const std::string ours = without_blank(syntax.render({&call, 1}, tools));
    const bool same = without_blank(text).find(ours) != std::string::npos;
    const int kind = same                               ? kSame
                     : finds_probe(syntax, tools, text) ? kReads
                                                        : 0;
    score = std::max(score, kind - static_cast<int>(i) * kLessUsual);
  }
  return score;
}

int DeclaredFormat::match(const TemplateFacts& facts) const {
  int score = facts.rendered_call.empty() ? 0 : reading(facts);
  const auto has = [&](std::string_view sign) {
    return facts.source.find(sign) != facts.source.npos;
  };
  if (std::ranges::any_of(declaration_.signs, has)) {
    score += kSign;
  }
  return score == 0 ? 0 : score + declaration_.rank;
}

}  // namespace

std::unique_ptr<OutputFormat> declare(FormatDeclaration declaration) {
  return std::make_unique<DeclaredFormat>(std::move(declaration));
}

const SyntaxList& foreign_syntaxes() {
  static const SyntaxList all = [] {
    SyntaxList out;
    for (const OutputFormat* format : FormatRegistry::global().all()) {
      for (const auto& syntax : format->syntaxes()) {
        if (std::ranges::find(out, syntax) == out.end()) {
          out.push_back(syntax);
        }
      }
    }
    return out;
  }();
  return all;
}

const SyntaxList& OutputFormat::syntaxes() const {
  static const SyntaxList none;
  return none;
}

}  // namespace rapid
