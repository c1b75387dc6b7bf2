// The tools that one request declares: who may be called, and the types of
// their arguments. Immutable.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "formats/format.h"

namespace rapid {

class ToolSet {
 public:
  // Empty when the request says tool_choice none.
  explicit ToolSet(const FormatInput& input);

  bool empty() const { return tools_.empty(); }
  const std::vector<chat::Tool>& tools() const { return tools_; }
  // By its name, or by the name behind a namespace ("functions.read") or
  // before a call's number ("read:0"). Null: not declared.
  const chat::Tool* find(std::string_view name) const;
  // Whether tool_choice asks for exactly this tool.
  const std::string& forced() const { return forced_; }  // "": none
  bool is_forced(std::string_view name) const { return name == forced_; }

 private:
  const chat::Tool* exact(std::string_view name) const;

  std::vector<chat::Tool> tools_;
  std::unordered_map<std::string_view, size_t> index_;
  std::string forced_;
};

// Arguments as the client gets them: JSON text with the types of the tool's
// schema. `raw` is returned byte for byte where it is strict JSON of `value`
// and no type had to change; may be "".
std::string typed_arguments(
    const chat::Tool& tool, const Json& value, std::string_view raw);

}  // namespace rapid
