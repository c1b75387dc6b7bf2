// Everything is text: models that have no way to call a tool.
#include "formats/registry.h"

namespace rapid {
namespace {

class PlainMachine final : public FormatMachine {
 public:
  void feed(std::string_view text, std::vector<FormatEvent>& out) override {
    if (!text.empty()) {
      out.push_back(FormatText{std::string(text)});
    }
  }
  void finish(FinishCause, std::vector<FormatEvent>&) override {}
};

class PlainFormat final : public OutputFormat {
 public:
  std::string_view name() const override { return "plain"; }
  int match(const TemplateFacts&) const override { return 1; }
  std::unique_ptr<FormatMachine> start(const FormatInput&) const override {
    return std::make_unique<PlainMachine>();
  }
};

}  // namespace

void register_format_plain(FormatRegistry& registry) {
  registry.add(std::make_unique<PlainFormat>());
}

}  // namespace rapid
