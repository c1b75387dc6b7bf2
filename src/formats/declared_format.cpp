#include "formats/declared_format.h"

#include <algorithm>
#include <utility>

#include "formats/registry.h"

namespace rapid {
namespace {

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
  // What its usual syntax makes of the template's call, without recovery.
  bool reads(const TemplateFacts& facts) const;

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

bool DeclaredFormat::reads(const TemplateFacts& facts) const {
  if (declaration_.syntaxes.empty()) {
    return false;
  }
  FormatInput input;
  input.tools.push_back({.name = "probe", .parameters = Json::object()});
  const ToolSet tools(input);
  const chat::ToolCall call = probe_call();
  const std::string ours =
      without_blank(declaration_.syntaxes[0]->render({&call, 1}, tools));
  return without_blank(facts.rendered_call).find(ours) != std::string::npos;
}

int DeclaredFormat::match(const TemplateFacts& facts) const {
  int score = 0;
  if (!facts.rendered_call.empty() && reads(facts)) {
    score = 4000;
  }
  const auto has = [&](std::string_view sign) {
    return facts.source.find(sign) != facts.source.npos;
  };
  if (std::ranges::any_of(declaration_.signs, has)) {
    score += 2000;
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
