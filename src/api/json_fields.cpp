#include "api/json_fields.h"

#include <fmt/format.h>

#include <cmath>

#include "base/utf8.h"

namespace rapid {

namespace {

std::string short_form(const Json& value) {
  if (value.is_object()) {
    return "an object";
  }
  if (value.is_array()) {
    return "a list";
  }
  std::string text = dump_json(value);
  constexpr size_t kMost = 40;
  if (text.size() > kMost) {
    text.resize(utf8_complete_prefix(text.substr(0, kMost)));
    text += "...";
  }
  return text;
}

std::string range_text(std::string_view kind, double low, double high) {
  if (high >= 1e15) {
    return low <= -1e15 ? std::string(kind)
                        : fmt::format("{} of at least {}", kind, low);
  }
  return fmt::format("{} from {} to {}", kind, low, high);
}

// Whole floats such as 5.0 count: some clients have only one number type.
std::optional<int64_t> as_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    return number > INT64_MAX ? std::nullopt : std::optional<int64_t>(number);
  }
  if (value.is_number_integer()) {
    return value.get<int64_t>();
  }
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::abs(number) < 9e15 && number == std::floor(number)) {
      return static_cast<int64_t>(number);
    }
  }
  return std::nullopt;
}

}  // namespace

Error wrong_field(
    std::string_view path, std::string_view expected, const Json& value) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("{}: expected {}, got {}", path, expected, short_form(value)),
      "",
      std::string(path)};
}

Error missing_field(std::string_view path, std::string_view expected) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("{}: expected {}, but it is missing", path, expected),
      "",
      std::string(path)};
}

Error unsupported_field(std::string_view path, std::string_view hint) {
  return {
      ErrorCode::unsupported,
      fmt::format("{} is not supported", path),
      std::string(hint),
      std::string(path)};
}

Fields::Fields(const Json& object, std::string path)
    : object_(object), path_(std::move(path)) {}

const Json* Fields::find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::string Fields::path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

Result<std::optional<std::string>> Fields::string(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) {
    return std::optional<std::string>();
  }
  if (!value->is_string()) {
    return wrong_field(path(name), "a string", *value);
  }
  return std::optional(value->get<std::string>());
}

Result<std::optional<bool>> Fields::boolean(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) {
    return std::optional<bool>();
  }
  if (!value->is_boolean()) {
    return wrong_field(path(name), "true or false", *value);
  }
  return std::optional(value->get<bool>());
}

Result<std::optional<double>> Fields::number(
    std::string_view name, double low, double high) const {
  const Json* value = find(name);
  if (value == nullptr) {
    return std::optional<double>();
  }
  if (value->is_number()) {
    const double number = value->get<double>();
    if (number >= low && number <= high) {
      return std::optional(number);
    }
  }
  return wrong_field(path(name), range_text("a number", low, high), *value);
}

Result<std::optional<int64_t>> Fields::integer(
    std::string_view name, int64_t low, int64_t high) const {
  const Json* value = find(name);
  if (value == nullptr) {
    return std::optional<int64_t>();
  }
  if (const auto number = as_integer(*value)) {
    if (*number >= low && *number <= high) {
      return number;
    }
  }
  return wrong_field(
      path(name),
      range_text(
          "a whole number",
          static_cast<double>(low),
          static_cast<double>(high)),
      *value);
}

Result<std::optional<float>> Fields::real(
    std::string_view name, double low, double high) const {
  RAPID_TRY(const auto value, number(name, low, high));
  return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
}

Result<std::vector<std::string>> Fields::strings(std::string_view name) const {
  std::vector<std::string> out;
  const Json* value = find(name);
  if (value == nullptr) {
    return out;
  }
  const Json list = value->is_string() ? Json::array({*value}) : *value;
  if (!list.is_array()) {
    return wrong_field(path(name), "a string or a list of strings", *value);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) {
      return wrong_field(
          fmt::format("{}[{}]", path(name), i), "a string", list[i]);
    }
    if (auto text = list[i].get<std::string>(); !text.empty()) {
      out.push_back(std::move(text));
    }
  }
  return out;
}

Result<const Json*> Fields::object(std::string_view name) const {
  const Json* value = find(name);
  if (value != nullptr && !value->is_object()) {
    return wrong_field(path(name), "an object", *value);
  }
  return value;
}

Result<const Json*> Fields::array(std::string_view name) const {
  const Json* value = find(name);
  if (value != nullptr && !value->is_array()) {
    return wrong_field(path(name), "a list", *value);
  }
  return value;
}

Result<Json> parse_body(std::string_view body) {
  const auto broken = [](std::string what) {
    return Error{ErrorCode::invalid_argument, std::move(what), "", "body"};
  };
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return broken("the request body is empty; expected a JSON object");
  }
  if (!utf8_valid(body)) {
    return broken("the request body is not UTF-8");
  }
  auto json = parse_json(body);
  if (!json) {
    return broken("the request body is " + json.error().what);
  }
  if (!json->is_object()) {
    return broken("the request body must be a JSON object");
  }
  return json;
}

}  // namespace rapid
