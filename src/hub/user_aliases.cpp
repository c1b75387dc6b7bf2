#include "hub/user_aliases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "base/home.h"
#include "base/json.h"
#include "hub/file_writer.h"
#include "hub/text_file.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestName = 64;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::isalnum(static_cast<unsigned char>(name.front())) &&
         std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// The whole file: {} when there is none.
Result<Json> read_file() {
  const fs::path file = user_aliases_file();
  RAPID_TRY(const std::string text, read_optional_text(file));
  if (text.empty()) {
    return Json{{"version", 1}, {"aliases", Json::object()}};
  }
  const auto json = parse_json(text);
  const bool fine = json && json->is_object() && json->contains("aliases") &&
                    json->at("aliases").is_object() &&
                    std::ranges::all_of(
                        json->at("aliases"),
                        [](const Json& target) { return target.is_string(); });
  if (!fine) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("{} does not hold aliases", file.string()),
        "mend it or move it away: {\"version\": 1, \"aliases\": {}}",
        file.string()};
  }
  return *json;
}

Status write_file(const Json& json) {
  const fs::path file = user_aliases_file();
  RAPID_CHECK(make_folder(file.parent_path()));
  FileWriter writer;
  RAPID_CHECK(writer.open(file.string() + ".new", false));
  const std::string text = json.dump(2) + "\n";
  RAPID_CHECK(writer.write(std::as_bytes(std::span(text))));
  return writer.commit(file);
}

}  // namespace

fs::path user_aliases_file() {
  return home_dir() / "aliases.json";
}

Result<std::vector<UserAlias>> user_aliases() {
  RAPID_TRY(const Json json, read_file());
  std::vector<UserAlias> out;
  for (const auto& [name, target] : json.at("aliases").items()) {
    out.emplace_back(name, target.get<std::string>());
  }
  std::ranges::sort(out);
  return out;
}

std::string user_alias_target(std::string_view name) {
  if (!is_name(name)) {
    return "";
  }
  const auto json = read_file();
  if (!json) {
    return "";
  }
  return json->at("aliases").value(std::string(name), "");
}

Status set_user_alias(const std::string& name, const std::string& target) {
  if (!is_name(name)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} cannot be an alias", name),
        "letters, digits, dots, dashes and underscores, at most 64"};
  }
  RAPID_TRY(Json json, read_file());
  if (target == name || json["aliases"].contains(target)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} is itself an alias of yours", target),
        "name the model that is meant"};
  }
  for (const auto& [other, meant] : json["aliases"].items()) {
    if (meant == name) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("your alias {} leads to {}", other, name),
          "choose another name"};
    }
  }
  json["aliases"][name] = target;
  return write_file(json);
}

Status remove_user_alias(const std::string& name) {
  RAPID_TRY(Json json, read_file());
  if (json["aliases"].erase(name) == 0) {
    return Error{
        ErrorCode::not_found,
        fmt::format("you have no alias {}", name),
        "`rapid-mlx alias list` shows them"};
  }
  return write_file(json);
}

}  // namespace rapid
