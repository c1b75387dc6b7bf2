#include "agents/yaml_text.h"

#include <yaml-cpp/yaml.h>

#include <cctype>
#include <vector>

#include "agents/text_lines.h"

namespace rapid {

namespace {

Json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null") {
    return nullptr;
  }
  for (const bool value : {true, false}) {
    const std::string lower = value ? "true" : "false";
    const std::string title = value ? "True" : "False";
    if (text == lower || text == title) {
      return value;
    }
  }
  // JSON's numbers are YAML's; other notations stay text.
  if (const auto number = parse_json(text); number && number->is_number()) {
    return *number;
  }
  return text;
}

Json to_json(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map: {
      Json out = Json::object();
      for (const auto& member : node) {
        out[member.first.Scalar()] = to_json(member.second);
      }
      return out;
    }
    case YAML::NodeType::Sequence: {
      Json out = Json::array();
      for (const auto& item : node) {
        out.push_back(to_json(item));
      }
      return out;
    }
    case YAML::NodeType::Scalar:
      return node.Tag() == "!" ? Json(node.Scalar())
                               : plain_scalar(node.Scalar());
    default:
      return nullptr;
  }
}

std::string scalar_text(const Json& value) {
  if (!value.is_string()) {
    return dump_json(value);
  }
  const auto& text = value.get_ref<const std::string&>();
  const bool simple =
      !text.empty() &&
      text.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
          "_-./") == text.npos &&
      std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
      plain_scalar(text).is_string() && text != "yes" && text != "no" &&
      text != "on" && text != "off" && text != "y" && text != "n";
  return simple ? text : dump_json(text);
}

void emit(const Json& value, int indent, std::vector<std::string>& out);

// What stands behind "key:" or "-": a scalar on the line, or lines below.
void emit_member(
    const std::string& lead,
    const Json& value,
    int indent,
    std::vector<std::string>& out) {
  if (value.is_structured() && !value.empty()) {
    out.push_back(lead);
    emit(value, indent, out);
  } else {
    out.push_back(lead + " " + scalar_text(value));
  }
}

void emit(const Json& value, int indent, std::vector<std::string>& out) {
  const std::string space(static_cast<size_t>(indent), ' ');
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      emit_member(space + scalar_text(key) + ":", member, indent + 2, out);
    }
    return;
  }
  for (const Json& item : value) {
    if (!item.is_object() || item.empty()) {
      emit_member(space + "-", item, indent + 2, out);
      continue;
    }
    const size_t first = out.size();
    emit(item, indent + 2, out);
    out[first][static_cast<size_t>(indent)] = '-';
  }
}

bool starts_key(const std::string& line) {
  return !line.empty() && line[0] != ' ' && line[0] != '\t' && line[0] != '#' &&
         line[0] != '-' && line[0] != '.' && line[0] != '%' &&
         line.find(':') != line.npos;
}

std::string key_of(const std::string& line) {
  std::string key = trimmed(line.substr(0, line.find(':')));
  if (key.size() > 1 && (key.front() == '"' || key.front() == '\'')) {
    key = key.substr(1, key.size() - 2);
  }
  return key;
}

bool says_nothing(const std::string& line) {
  const std::string text = trimmed(line);
  return text.empty() || text[0] == '#';
}

}  // namespace

Result<Json> parse_yaml(std::string_view text) {
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    if (root.IsNull()) {
      return Json::object();
    }
    Json out = to_json(root);
    if (!out.is_object()) {
      return Error{ErrorCode::corrupt, "the file is not a YAML mapping"};
    }
    return out;
  } catch (const YAML::Exception& e) {
    return Error{ErrorCode::corrupt, e.what()};
  }
}

std::string edit_yaml(
    std::string_view text, const Json& before, const Json& after) {
  std::vector<std::string> lines = split_lines(text);
  const auto replace = [&](const std::string& key, const Json* value) {
    std::vector<std::string> block;
    if (value != nullptr) {
      emit(Json{{key, *value}}, 0, block);
    }
    size_t begin = 0;
    while (begin < lines.size() &&
           !(starts_key(lines[begin]) && key_of(lines[begin]) == key)) {
      ++begin;
    }
    size_t end = begin;
    if (begin < lines.size()) {
      for (++end; end < lines.size() && !starts_key(lines[end]);) {
        ++end;
      }
      // Blank lines and comments belong to what follows.
      while (end > begin + 1 && says_nothing(lines[end - 1]) &&
             lines[end - 1].find("  #") != 0) {
        --end;
      }
    }
    const auto at = lines.erase(
        lines.begin() + static_cast<long>(begin),
        lines.begin() + static_cast<long>(end));
    lines.insert(at, block.begin(), block.end());
  };
  for (const auto& [key, value] : before.items()) {
    if (!after.contains(key)) {
      replace(key, nullptr);
    }
  }
  for (const auto& [key, value] : after.items()) {
    if (!before.contains(key) || before.at(key) != value) {
      replace(key, &value);
    }
  }
  return join_lines(lines);
}

}  // namespace rapid
