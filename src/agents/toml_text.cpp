#include "agents/toml_text.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include "agents/text_lines.h"

namespace rapid {

namespace {

Json to_json(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    Json out = Json::object();
    for (const auto& [key, value] : *table) {
      out[std::string(key.str())] = to_json(value);
    }
    return out;
  }
  if (const auto* list = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& value : *list) {
      out.push_back(to_json(value));
    }
    return out;
  }
  if (const auto text = node.value_exact<std::string>()) {
    return *text;
  }
  if (const auto flag = node.value_exact<bool>()) {
    return *flag;
  }
  if (const auto number = node.value_exact<int64_t>()) {
    return *number;
  }
  if (const auto number = node.value_exact<double>()) {
    return *number;
  }
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::ranges::all_of(key, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
  return bare ? key : dump_json(key);
}

bool is_table_list(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::ranges::all_of(
             value, [](const Json& i) { return i.is_object(); });
}

// JSON's scalars and lists of them are TOML's.
std::string value_text(const Json& value) {
  if (!value.is_object()) {
    return dump_json(value);
  }
  std::string out = "{";
  for (const auto& [key, member] : value.items()) {
    out += (out.size() > 1 ? ", " : " ") + key_text(key) + " = " +
           value_text(member);
  }
  return out + " }";
}

// A header without blanks and quotes: [a."b"] is a.b, [[a]] is [a].
std::string header_of(const std::string& line) {
  const std::string text = without_comment(line);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') {
    return "";
  }
  std::string out;
  for (const char c : text.substr(1, text.size() - 2)) {
    if (c != ' ' && c != '\t' && c != '"' && c != '\'') {
      out += c;
    }
  }
  return out;
}

std::string key_of(const std::string& line) {
  const size_t equals = line.find('=');
  if (equals == line.npos || !header_of(line).empty()) {
    return "";
  }
  std::string key = trimmed(line.substr(0, equals));
  if (key.size() > 1 && (key.front() == '"' || key.front() == '\'')) {
    key = key.substr(1, key.size() - 2);
  }
  return key;
}

class Editor {
 public:
  explicit Editor(std::string_view text) : lines_(split_lines(text)) {}

  void change(const std::string& path, const Json& before, const Json& after) {
    for (const auto& [key, value] : before.items()) {
      if (!after.contains(key)) {
        remove(path, key);
      }
    }
    // Scalars first: they stand before any table of their own.
    for (const bool tables : {false, true}) {
      for (const auto& [key, value] : after.items()) {
        const bool table = value.is_object() || is_table_list(value);
        const Json old = before.value(key, Json());
        if (table == tables && value != old) {
          set(path, key, old, value);
        }
      }
    }
  }

  std::string text() const { return join_lines(lines_); }

 private:
  using Range = std::pair<size_t, size_t>;

  static std::string join(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + "." + key;
  }

  size_t next_header(size_t from) const {
    while (from < lines_.size() && header_of(lines_[from]).empty()) {
      ++from;
    }
    return from;
  }

  // The lines of a table behind its header; of the root, those before any.
  bool find(const std::string& path, Range& out) const {
    if (path.empty()) {
      out = {0, next_header(0)};
      return true;
    }
    for (size_t i = next_header(0); i < lines_.size(); i = next_header(i + 1)) {
      if (header_of(lines_[i]) == path) {
        out = {i + 1, next_header(i + 1)};
        return true;
      }
    }
    return false;
  }

  void set(
      const std::string& path,
      const std::string& key,
      const Json& old,
      const Json& value) {
    if (value.is_object()) {
      change(join(path, key), old.is_object() ? old : Json::object(), value);
    } else if (is_table_list(value)) {
      remove(path, key);
      for (const Json& item : value) {
        append_table("[[" + join(path, key) + "]]", item);
      }
    } else {
      set_line(path, key, key_text(key) + " = " + value_text(value));
    }
  }

  void set_line(
      const std::string& path, const std::string& key, std::string line) {
    Range range;
    if (!find(path, range)) {
      append_table("[" + path + "]", Json::object());
      find(path, range);
    }
    for (size_t i = range.first; i < range.second; ++i) {
      if (key_of(lines_[i]) == key) {
        lines_[i] = std::move(line);
        return;
      }
    }
    size_t at = range.second;
    while (at > range.first && trimmed(lines_[at - 1]).empty()) {
      --at;
    }
    lines_.insert(lines_.begin() + static_cast<long>(at), std::move(line));
  }

  void append_table(const std::string& header, const Json& members) {
    if (!lines_.empty() && !trimmed(lines_.back()).empty()) {
      lines_.push_back("");
    }
    lines_.push_back(header);
    for (const auto& [key, value] : members.items()) {
      lines_.push_back(key_text(key) + " = " + value_text(value));
    }
  }

  void remove(const std::string& path, const std::string& key) {
    const std::string whole = join(path, key);
    for (size_t i = next_header(0); i < lines_.size();) {
      const std::string header = header_of(lines_[i]);
      const size_t end = next_header(i + 1);
      if (header == whole || header == "[" + whole + "]" ||
          header.starts_with(whole + ".")) {
        erase(i, end);
      } else {
        i = end;
      }
    }
    Range range;
    if (!find(path, range)) {
      return;
    }
    for (size_t i = range.first; i < range.second; ++i) {
      if (key_of(lines_[i]) == key) {
        erase(i, i + 1);
        return;
      }
    }
  }

  void erase(size_t begin, size_t end) {
    lines_.erase(
        lines_.begin() + static_cast<long>(begin),
        lines_.begin() + static_cast<long>(end));
  }

  std::vector<std::string> lines_;
};

}  // namespace

Result<Json> parse_toml(std::string_view text) {
  try {
    return to_json(toml::parse(text));
  } catch (const toml::parse_error& e) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("line {}: {}", e.source().begin.line, e.description())};
  }
}

std::string edit_toml(
    std::string_view text, const Json& before, const Json& after) {
  Editor editor(text);
  editor.change("", before, after);
  return editor.text();
}

}  // namespace rapid
