// What the text of a parameter means, and how a value is written as text.
#include <algorithm>
#include <array>
#include <utility>

#include "formats/coerce.h"
#include "formats/members.h"
#include "formats/tag_value.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

constexpr std::string_view kCdata = "<![CDATA[";
constexpr std::string_view kCdataEnd = "]]>";
constexpr std::string_view kZeroWidth = "\u200b";

void replace_all(
    std::string& text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos;
       at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

const Json& schema_of(const chat::Tool* tool, std::string_view key) {
  static const Json unknown = Json::object();
  const Json* found =
      tool == nullptr ? nullptr : parameter_schema(tool->parameters, key);
  return found == nullptr ? unknown : *found;
}

bool closed_schema(const chat::Tool* tool) {
  return tool != nullptr && tool->parameters.is_object() &&
         !tool->parameters.value("properties", Json()).empty();
}

// Whether text must not stand in a value as it is.
bool needs_quotes(const TagShape& shape, std::string_view text) {
  const std::string_view start = trim_blank(text);
  if (start.starts_with('"')) {
    return true;
  }
  const auto holds = [&](const std::vector<std::string>& tags) {
    return find_any(text, 0, tags).at != text.npos;
  };
  return text.find(shape.params.open) != text.npos ||
         text.find(shape.params.close) != text.npos || holds(shape.closes) ||
         holds(shape.opens) || holds(shape.section_opens) ||
         holds(shape.section_closes);
}

std::string_view without_lines(std::string_view raw, Lines lines) {
  const bool first = raw.starts_with("\r\n") || raw.starts_with('\n');
  if (lines == Lines::none || (lines == Lines::framed && !first)) {
    return raw;
  }
  raw.remove_prefix(raw.starts_with("\r\n") ? 2 : first);
  raw.remove_suffix(raw.ends_with("\r\n") ? 2 : raw.ends_with('\n'));
  return raw;
}

std::optional<std::string> json_string(std::string_view raw) {
  raw = trim_blank(raw);
  if (!raw.starts_with('"')) {
    return std::nullopt;
  }
  const auto json = parse_json(raw);
  return json && json->is_string() ? std::optional(json->get<std::string>())
                                   : std::nullopt;
}

std::string plain_xml(std::string_view raw) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5>
      entities = {
          {{"&lt;", "<"},
           {"&gt;", ">"},
           {"&quot;", "\""},
           {"&apos;", "'"},
           {"&amp;", "&"}}};
  std::string out(raw);
  for (const auto& [entity, text] : entities) {
    replace_all(out, entity, text);
  }
  return out;
}

std::string without_cdata(std::string_view raw) {
  std::string out;
  const bool wrapped = trim_blank(raw).starts_with(kCdata) &&
                       trim_blank(raw).ends_with(kCdataEnd);
  if (wrapped) {
    raw = trim_blank(raw);
  }
  while (!raw.empty()) {
    const size_t begin = raw.find(kCdata);
    out += plain_xml(raw.substr(0, begin));
    if (begin == raw.npos) {
      break;
    }
    raw.remove_prefix(begin + kCdata.size());
    const size_t end = std::min(raw.find(kCdataEnd), raw.size());
    out += raw.substr(0, end);
    raw.remove_prefix(std::min(raw.size(), end + kCdataEnd.size()));
  }
  return out;
}

// Zero-width spaces keep text from looking like markup: behind the < of what
// would, n of them are written as 2n + 1.
std::string marked(std::string_view text, std::string_view tag, bool write) {
  std::string out;
  const std::string_view name = tag.substr(1);  // behind the <
  for (size_t i = 0; i < text.size();) {
    out += text[i];
    if (text[i++] != '<') {
      continue;
    }
    size_t spaces = 0;
    while (text.substr(i).starts_with(kZeroWidth)) {
      i += kZeroWidth.size();
      ++spaces;
    }
    const std::string_view rest = text.substr(i);
    const bool control =
        rest.starts_with(name) ||
        (rest.starts_with('/') && rest.substr(1).starts_with(name));
    const size_t want = !control ? spaces : write ? 2 * spaces + 1 : spaces / 2;
    for (size_t n = 0; n < want; ++n) {
      out += kZeroWidth;
    }
  }
  return out;
}

// The part of the parameter's tag that all tags of the family share.
std::string_view family_tag(const TagShape& shape) {
  const std::string_view open = shape.params.open;
  return open.substr(
      0, open.rfind("\uff5c") + std::string_view("\uff5c").size());
}

std::string value_text(
    const TagShape& shape,
    const chat::Tool* tool,
    const std::string& key,
    const Json& value) {
  if (!value.is_string()) {
    return quoted_json(value);
  }
  const auto& text = value.get_ref<const std::string&>();
  const ValueText kind = shape.params.text;
  if (kind == ValueText::marked) {
    return marked(text, family_tag(shape), true);
  }
  if (kind == ValueText::cdata &&
      (text.find_first_of("<&") != text.npos ||
       read_value(shape, tool, key, "", text) != value)) {
    std::string inner = text;
    replace_all(inner, kCdataEnd, "]]]]><![CDATA[>");
    return std::string(kCdata) + inner + std::string(kCdataEnd);
  }
  const std::string lines =
      shape.params.lines != Lines::none ? "\n" + text + "\n" : text;
  const bool plain = (kind == ValueText::cdata || !needs_quotes(shape, text)) &&
                     read_value(shape, tool, key, "", lines) == value;
  return plain ? text : quoted_json(value);
}

// Behind a parameter's name; `text`: its value is some.
std::string key_end(const ParameterShape& params, bool text) {
  if (params.text == ValueText::marked) {
    return text ? "\" string=\"true\">" : "\" string=\"false\">";
  }
  return params.key_end == "\"" ? "\">" : params.key_end;
}

}  // namespace

std::string quoted_json(const Json& value) {
  std::string out = dump_json(value);
  replace_all(out, "<", "\\u003c");
  return out;
}

Json read_value(
    const TagShape& shape,
    const chat::Tool* tool,
    std::string_view key,
    std::string_view attributes,
    std::string_view raw) {
  static const Json unknown = Json::object();
  const Json& schema = schema_of(tool, key);
  const Json& root = tool == nullptr ? unknown : tool->parameters;
  raw = without_lines(raw, shape.params.lines);
  switch (shape.params.text) {
    case ValueText::quotable:
      return coerce_text(raw, schema, root, {.unquote = true});
    case ValueText::verbatim:
      if (closed_schema(tool) &&
          parameter_schema(tool->parameters, key) == nullptr) {
        Json value = coerce_text(raw, unknown, root);
        return value.is_structured() ? value : Json(raw);
      }
      if (const auto text = json_string(raw);
          text && needs_quotes(shape, *text)) {
        return *text;
      }
      return coerce_text(raw, schema, root);
    case ValueText::cdata:
      return raw.find(kCdata) == raw.npos
                 ? coerce_text(plain_xml(raw), schema, root)
                 : coerce_to_schema(without_cdata(raw), schema, root);
    case ValueText::marked:
      break;
  }
  const std::string text = marked(raw, family_tag(shape), false);
  if (attributes.find("string=\"true\"") != attributes.npos) {
    return coerce_to_schema(text, schema, root);
  }
  if (attributes.find("string=\"false\"") != attributes.npos) {
    if (auto json = parse_json(text)) {
      return coerce_to_schema(*std::move(json), schema, root);
    }
  }
  return coerce_text(text, schema, root);
}

std::vector<CallFrame::Parameter> parameter_frames(
    const TagShape& shape, const chat::Tool& tool) {
  std::vector<CallFrame::Parameter> out;
  const ParameterShape& params = shape.params;
  if (!tool.parameters.is_object() || !tool.parameters.contains("properties") ||
      !tool.parameters["properties"].is_object()) {
    return out;
  }
  const Json required = tool.parameters.value("required", Json::array());
  for (const auto& [key, schema] : tool.parameters["properties"].items()) {
    const std::string line = params.lines != Lines::none ? "\n" : "";
    const bool text = schema.is_object() &&
                      schema.value("type", Json()) == "string" &&
                      !schema.contains("enum") && !schema.contains("const");
    out.push_back(
        {key,
         params.open + key + key_end(params, text) + params.value_open + line,
         line + params.close + shape.params_between,
         text,
         std::ranges::find(required, Json(key)) != required.end()});
  }
  return out;
}

std::string render_parameters(
    const TagShape& shape, const chat::Tool* tool, const Json& arguments) {
  const ParameterShape& params = shape.params;
  std::string out;
  for (const auto& [key, value] : arguments.items()) {
    out += params.open + key + key_end(params, value.is_string());
    const std::string text = value_text(shape, tool, key, value);
    out += params.value_open;
    out += params.lines != Lines::none ? "\n" + text + "\n" : text;
    out += params.close + shape.params_between;
  }
  return out;
}

}  // namespace rapid
