// Calls as Python: [read(path="/a"), add(a=1)], between tags or bare.
#pragma once

#include <string>
#include <vector>

#include "formats/call_syntax.h"
#include "formats/json_syntax.h"

namespace rapid {

struct PythonShape {
  std::vector<std::string> opens;  // empty: the list stands bare
  std::vector<std::string> closes;
  Place own = Place::anywhere;
  Place foreign = Place::line;
};

// name(key=value, ...) as Python; keys that are no names go into **{...}.
std::string python_call_text(const std::string& name, const Json& arguments);

class PythonSyntax final : public CallSyntax {
 public:
  explicit PythonSyntax(PythonShape shape) : shape_(std::move(shape)) {}

  const std::vector<std::string>& openers() const override;
  const std::vector<std::string>& closers() const override {
    return shape_.closes;
  }
  std::vector<std::string> markers() const override;
  SyntaxRead read(
      std::string_view text, const ReadContext& context) const override;
  std::string render(
      std::span<const chat::ToolCall> calls,
      const ToolSet& tools) const override;

 private:
  PythonShape shape_;
};

}  // namespace rapid
