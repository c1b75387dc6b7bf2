#include "agents/config_document.h"

#include <array>

#include "agents/toml_text.h"
#include "agents/yaml_text.h"

namespace rapid {

namespace {

constexpr const char* kRemove = "$remove";

// "name" or "id", where every item of the list has it as text.
const char* identity_of(const Json& list) {
  for (const char* key : {"name", "id"}) {
    bool all = !list.empty();
    for (const Json& item : list) {
      all = all && item.is_object() && item.contains(key) &&
            item.at(key).is_string();
    }
    if (all) {
      return key;
    }
  }
  return nullptr;
}

Json::iterator find_item(Json& list, const char* key, const Json& value) {
  for (auto item = list.begin(); item != list.end(); ++item) {
    if (item->is_object() && item->contains(key) && item->at(key) == value) {
      return item;
    }
  }
  return list.end();
}

void merge_items(Json& into, const Json& items, const char* key) {
  for (const Json& item : items) {
    auto old = find_item(into, key, item.at(key));
    if (item.contains(kRemove)) {
      if (old != into.end()) {
        into.erase(old);
      }
    } else if (old != into.end()) {
      merge_patch(*old, item);
    } else {
      Json added = Json::object();
      merge_patch(added, item);
      into.push_back(std::move(added));
    }
  }
}

Json inverse_items(const Json& before, const Json& items, const char* key) {
  Json out = Json::array();
  Json old = before;
  for (const Json& item : items) {
    const auto found = find_item(old, key, item.at(key));
    if (found == old.end()) {
      out.push_back({{key, item.at(key)}, {kRemove, true}});
      continue;
    }
    Json back = inverse_patch(*found, item);
    back[key] = item.at(key);
    out.push_back(std::move(back));
  }
  return out;
}

// Equal whatever the order of members.
bool same(const Json& a, const Json& b) {
  return nlohmann::json(a) == nlohmann::json(b);
}

// What a JSON file is indented with: its own first step, or two spaces.
int indentation(std::string_view text, char& with) {
  const size_t line = text.find('\n');
  size_t count = 0;
  with = ' ';
  if (line != text.npos) {
    for (size_t i = line + 1; i < text.size(); ++i, ++count) {
      if (text[i] != ' ' && text[i] != '\t') {
        break;
      }
      with = text[i];
    }
  }
  return count == 0 ? 2 : static_cast<int>(count);
}

}  // namespace

Result<Json> parse_config(ConfigSyntax syntax, std::string_view text) {
  if (syntax == ConfigSyntax::toml) {
    return parse_toml(text);
  }
  if (syntax == ConfigSyntax::yaml) {
    return parse_yaml(text);
  }
  if (text.find_first_not_of(" \t\r\n") == text.npos) {
    return Json::object();
  }
  Json out = Json::parse(text, nullptr, false, true);
  if (!out.is_object()) {
    return Error{ErrorCode::corrupt, "the file is not a JSON object"};
  }
  return out;
}

void merge_patch(Json& into, const Json& patch) {
  if (!into.is_object()) {
    into = Json::object();
  }
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      into.erase(key);
    } else if (value.is_object()) {
      merge_patch(into[key], value);
    } else if (
        const char* name = value.is_array() ? identity_of(value) : nullptr) {
      Json& list = into[key];
      if (!list.is_array()) {
        list = Json::array();
      }
      merge_items(list, value, name);
    } else {
      into[key] = value;
    }
  }
}

Json inverse_patch(const Json& before, const Json& patch) {
  Json out = Json::object();
  for (const auto& [key, value] : patch.items()) {
    const bool known = before.is_object() && before.contains(key);
    const char* name = value.is_array() ? identity_of(value) : nullptr;
    if (!known) {
      out[key] = nullptr;
    } else if (value.is_object() && before.at(key).is_object()) {
      out[key] = inverse_patch(before.at(key), value);
    } else if (name != nullptr && before.at(key).is_array()) {
      out[key] = inverse_items(before.at(key), value, name);
    } else {
      out[key] = before.at(key);
    }
  }
  return out;
}

Result<std::string> patch_config(
    ConfigSyntax syntax, std::string_view text, const Json& patch) {
  RAPID_TRY(Json merged, parse_config(syntax, text));
  const Json before = merged;
  merge_patch(merged, patch);
  if (same(before, merged) && !text.empty()) {
    return std::string(text);
  }
  std::string out;
  switch (syntax) {
    case ConfigSyntax::json: {
      char with = ' ';
      const int count = indentation(text, with);
      out = merged.dump(count, with) + "\n";
      break;
    }
    case ConfigSyntax::toml:
      out = edit_toml(text, before, merged);
      break;
    case ConfigSyntax::yaml:
      out = edit_yaml(text, before, merged);
      break;
  }
  const auto again = parse_config(syntax, out);
  if (!again || !same(*again, merged)) {
    return Error{
        ErrorCode::unsupported,
        "the file is laid out in a way that cannot be edited in place",
        "make the changes that --dry-run prints yourself"};
  }
  return out;
}

}  // namespace rapid
