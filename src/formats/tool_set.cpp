#include "formats/tool_set.h"

#include "formats/coerce.h"
#include "formats/text_scan.h"

namespace rapid {

ToolSet::ToolSet(const FormatInput& input) {
  if (input.tool_choice.kind == chat::ToolChoice::Kind::none) {
    return;
  }
  tools_ = input.tools;
  forced_ = input.tool_choice.name;
  for (size_t i = 0; i < tools_.size(); ++i) {
    index_.emplace(tools_[i].name, i);
  }
}

const chat::Tool* ToolSet::exact(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tools_[found->second];
}

const chat::Tool* ToolSet::find(std::string_view name) const {
  name = trim_blank(name);
  if (const chat::Tool* tool = exact(name)) {
    return tool;
  }
  if (const size_t colon = name.rfind(':');
      colon != name.npos && colon + 1 < name.size() &&
      name.find_first_not_of("0123456789", colon + 1) == name.npos) {
    name = name.substr(0, colon);
    if (const chat::Tool* tool = exact(name)) {
      return tool;
    }
  }
  constexpr std::string_view space = "functions.";
  return name.starts_with(space) ? exact(name.substr(space.size())) : nullptr;
}

std::string typed_arguments(
    const chat::Tool& tool, const Json& value, std::string_view raw) {
  Json typed = coerce_to_schema(value, tool.parameters);
  return !raw.empty() && typed == value ? std::string(raw) : dump_json(typed);
}

}  // namespace rapid
