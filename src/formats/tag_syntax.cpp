#include "formats/tag_syntax.h"

#include <algorithm>
#include <utility>

#include "formats/tag_value.h"
#include "formats/text_scan.h"

namespace rapid {
namespace {

// Bare keys, and strings in marks: {path:<|"|>/a<|"|>,n:3}.
void write_literal(
    const Json& value, const std::string& quote, std::string& out) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const bool plain = text.find(quote) == text.npos;
    out += plain ? quote + text + quote : quoted_json(value);
    return;
  }
  if (!value.is_structured()) {
    out += dump_json(value);
    return;
  }
  out += value.is_object() ? '{' : '[';
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    out += first ? "" : ",";
    first = false;
    if (value.is_object()) {
      const bool bare = !key.empty() && std::ranges::all_of(key, is_name_char);
      out += (bare ? key : quoted_json(key)) + ":";
    }
    write_literal(item, quote, out);
  }
  out += value.is_object() ? '}' : ']';
}

std::string arguments_text(const TagShape& shape, const std::string& json) {
  if (shape.quote.empty()) {
    return json;
  }
  std::string out;
  const auto value = parse_json(json);
  write_literal(value ? *value : Json::object(), shape.quote, out);
  return out;
}

}  // namespace

TagSyntax::TagSyntax(TagShape shape) : shape_(std::move(shape)) {
  openers_ = shape_.section_opens;
  if (!shape_.needs_section) {
    openers_.insert(openers_.end(), shape_.opens.begin(), shape_.opens.end());
  }
  closers_ = shape_.section_closes;
  closers_.insert(closers_.end(), shape_.closes.begin(), shape_.closes.end());
}

std::vector<std::string> TagSyntax::markers() const {
  std::vector<std::string> out = openers_;
  for (const auto* tags :
       {&shape_.opens,
        &shape_.name_prefixes,
        &shape_.name_ends,
        &shape_.closes,
        &shape_.section_closes}) {
    out.insert(out.end(), tags->begin(), tags->end());
  }
  for (const std::string* tag :
       {&shape_.id_open,
        &shape_.params.open,
        &shape_.params.key_end,
        &shape_.params.value_open,
        &shape_.params.close}) {
    out.push_back(*tag);
  }
  std::erase(out, "");
  return out;
}

std::optional<CallFrame> TagSyntax::frame(const chat::Tool& tool) const {
  if (!shape_.quote.empty()) {
    return std::nullopt;
  }
  const auto first = [](const std::vector<std::string>& tags) {
    return tags.empty() ? std::string() : tags[0];
  };
  CallFrame out;
  out.turn_between = shape_.between;
  out.before = first(shape_.opens) + shape_.name_before + tool.name +
               (shape_.number_names ? ":0" : "") +
               (shape_.render_name_end.empty() ? first(shape_.name_ends)
                                               : shape_.render_name_end);
  out.after = first(shape_.closes);
  if (shape_.section_each) {
    out.before = first(shape_.section_opens) + shape_.lead + out.before;
    out.after += shape_.tail + first(shape_.section_closes);
  } else if (!shape_.section_opens.empty()) {
    out.turn_before = first(shape_.section_opens) + shape_.lead;
    out.turn_after = shape_.tail + first(shape_.section_closes);
  }
  if (shape_.params.open.empty()) {
    out.before += shape_.json_open;
    out.after = shape_.json_close + out.after;
    return out;
  }
  out.json = false;
  out.before += shape_.params_lead;
  out.parameters = parameter_frames(shape_, tool);
  return out;
}

std::string TagSyntax::render(
    std::span<const chat::ToolCall> calls, const ToolSet& tools) const {
  const auto first = [](const std::vector<std::string>& tags) {
    return tags.empty() ? std::string() : tags[0];
  };
  std::string out;
  for (size_t i = 0; i < calls.size(); ++i) {
    const bool section = !shape_.section_opens.empty();
    if (section && (i == 0 || shape_.section_each)) {
      out += (i == 0 ? "" : shape_.between) + first(shape_.section_opens) +
             shape_.lead;
    } else if (i > 0) {
      out += shape_.between;
    }
    out += first(shape_.opens) + shape_.name_before + calls[i].name;
    out += shape_.number_names ? ":" + std::to_string(i) : "";
    out += shape_.render_name_end.empty() ? first(shape_.name_ends)
                                          : shape_.render_name_end;
    if (shape_.params.open.empty()) {
      out += shape_.json_open + arguments_text(shape_, calls[i].arguments) +
             shape_.json_close;
    } else {
      const auto arguments = parse_json(calls[i].arguments);
      out += shape_.params_lead;
      out += render_parameters(
          shape_,
          tools.find(calls[i].name),
          arguments ? *arguments : Json::object());
    }
    out += first(shape_.closes);
    if (section && (i + 1 == calls.size() || shape_.section_each)) {
      out += shape_.tail + first(shape_.section_closes);
    }
  }
  return out;
}

}  // namespace rapid
