#include "formats/coerce.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "formats/literal.h"
#include "formats/loose_json.h"
#include "formats/schema_view.h"

namespace rapid {
namespace {

constexpr int max_depth = 64;
// Schemas tried in one call beyond a few per value: what bounds the time when
// alternatives nest.
constexpr size_t spare_steps = 4096;
constexpr size_t steps_per_value = 64;
constexpr int max_texts = 4;  // of JSON inside of text of JSON

std::string_view trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  return lower;
}

bool is_word(std::string_view text, std::string_view word) {
  return text.size() == word.size() && lower_case(text) == word;
}

size_t count_values(const Json& value) {
  size_t count = 1;
  if (value.is_structured()) {
    for (const Json& item : value) {
      count += count_values(item);
    }
  }
  return count;
}

std::optional<Json> container_in(std::string_view text, unsigned types) {
  if (text.empty() || (text[0] != '{' && text[0] != '[' && text[0] != '(')) {
    return std::nullopt;
  }
  auto loose = parse_loose_json(text, {.cut_strings = true});
  if (!loose || loose->dropped || loose->consumed != text.size() ||
      (type_of(loose->value) & types) == 0) {
    return std::nullopt;
  }
  return std::move(loose->value);
}

std::optional<Json> number_in(std::string_view text, unsigned types) {
  auto number = read_number(text);
  if (!number || !number->value.is_number()) {
    return std::nullopt;
  }
  Json& value = number->value;
  if (value.is_number_integer()) {
    return std::move(value);
  }
  const bool whole = text.find_first_of(".eE") == std::string_view::npos;
  if (whole) {
    return std::nullopt;  // more than 64 bits: the text has all digits
  }
  if ((types & number_type) != 0) {
    return std::move(value);
  }
  const auto real = value.get<double>();
  if (number->exact && real == std::floor(real) && std::abs(real) < 0x1p53) {
    return Json(static_cast<int64_t>(real));
  }
  return std::nullopt;
}

// `text` as one of `types` other than a string.
std::optional<Json> read_as(std::string_view text, unsigned types) {
  text = trim(text);
  if ((types & null_type) != 0 &&
      (is_word(text, "null") || is_word(text, "none"))) {
    return Json(nullptr);
  }
  if ((types & boolean_type) != 0 &&
      (is_word(text, "true") || is_word(text, "false"))) {
    return Json(is_word(text, "true"));
  }
  if ((types & (integer_type | number_type)) != 0) {
    if (auto number = number_in(text, types)) {
      return number;
    }
  }
  if ((types & (array_type | object_type)) != 0) {
    return container_in(text, types & (array_type | object_type));
  }
  return std::nullopt;
}

// A value of no known type: JSON or a Python literal, else the text.
Json decode(std::string_view raw) {
  const auto text = trim(raw);
  const bool letter =
      !text.empty() && (text[0] | 0x20) >= 'a' && (text[0] | 0x20) <= 'z';
  if (letter) {
    const auto constant = read_constant(text);
    return constant && constant->exact ? constant->value : Json(raw);
  }
  if (text.empty() || text[0] == '(') {
    return raw;
  }
  auto loose = parse_loose_json(text, {.bare_words = false});
  if (!loose || loose->consumed != text.size() || !loose->complete ||
      loose->dropped) {
    return raw;
  }
  if (!loose->value.is_structured() && !loose->value.is_string() &&
      (loose->repaired || !loose->exact)) {
    return raw;
  }
  if (loose->value.is_string() && text[0] != '"' && text[0] != '\'') {
    return raw;  // a number that no double holds
  }
  return std::move(loose->value);
}

// `value` as the first type that fits; itself when none does.
Json convert(Json value, unsigned types) {
  const unsigned own = type_of(value);
  if ((own & types) != 0) {
    return value;
  }
  if (value.is_string()) {
    auto other = read_as(value.get_ref<const std::string&>(), types);
    return other ? std::move(*other) : value;
  }
  if (value.is_number_float() && (types & integer_type) != 0) {
    const auto real = value.get<double>();
    if (real == std::floor(real) && std::abs(real) < 0x1p53) {
      return static_cast<int64_t>(real);
    }
  }
  if ((types & string_type) != 0 && (value.is_number() || value.is_boolean())) {
    return dump_json(value);
  }
  return value;
}

bool same_text(const Json& listed, const Json& value) {
  if (listed.is_structured() || value.is_structured()) {
    return false;
  }
  const bool texts = listed.is_string() && value.is_string();
  const std::string a =
      listed.is_string() ? listed.get<std::string>() : dump_json(listed);
  const std::string b =
      value.is_string() ? value.get<std::string>() : dump_json(value);
  const auto trimmed = trim(b);
  return a == trimmed || (!texts && is_word(trimmed, lower_case(a)));
}

class Coercer {
 public:
  explicit Coercer(const Json& root) : view_(root) {}

  Json run(Json value, const Json& schema) {
    steps_ = spare_steps + steps_per_value * count_values(value);
    return coerce(std::move(value), schema, 0);
  }
  Json text(std::string_view raw, const Json& schema, TextRules rules);

 private:
  Json coerce(Json value, const Json& schema, int depth);
  Json alternative(Json value, const Json& schema, int depth);
  void children(Json& value, const Json& schema, int depth);
  const Json* listed(const Json& value, const Json& schema) const;

  SchemaView view_;
  size_t steps_ = 0;
  int texts_ = 0;  // how deep in text of JSON this is
};

// The value of const or enum that `value` is, or is written like.
const Json* Coercer::listed(const Json& value, const Json& schema) const {
  if (!schema.is_object()) {
    return nullptr;
  }
  const auto fixed = schema.find("const");
  if (fixed != schema.end()) {
    return *fixed == value || same_text(*fixed, value) ? &*fixed : nullptr;
  }
  const auto values = schema.find("enum");
  if (values == schema.end() || !values->is_array()) {
    return nullptr;
  }
  for (const Json& one : *values) {
    if (one == value && one.type() == value.type()) {
      return &one;
    }
  }
  for (const Json& one : *values) {
    if (one == value || same_text(one, value)) {
      return &one;
    }
  }
  return nullptr;
}

Json Coercer::coerce(Json value, const Json& schema, int depth) {
  const Json* here = view_.resolve(schema);
  if (here == nullptr || !here->is_object() || depth >= max_depth ||
      steps_ == 0) {
    return value;
  }
  --steps_;
  if (const Json* one = listed(value, *here)) {
    return *one;
  }
  value = alternative(std::move(value), *here, depth);
  for (const Json* one : view_.conjuncts(*here)) {
    value = coerce(std::move(value), *one, depth + 1);
  }
  unsigned types = view_.types(schema);
  const bool was_text = value.is_string();
  if (was_text && texts_ >= max_texts) {
    types &= ~unsigned{array_type | object_type};
  }
  value = convert(std::move(value), types);
  const bool from_text = was_text && value.is_structured();
  if (from_text) {
    steps_ += steps_per_value * count_values(value);
    ++texts_;
  }
  children(value, *here, depth);
  if (here != &schema) {
    children(value, schema, depth);
  }
  texts_ -= from_text ? 1 : 0;
  return value;
}

Json Coercer::alternative(Json value, const Json& schema, int depth) {
  const auto all = view_.alternatives(schema);
  const Json* best = nullptr;
  int best_match = -2;
  for (const Json* one : all) {
    if ((view_.types(*one) & type_of(value)) == 0) {
      continue;
    }
    int match = 0;
    if (value.is_object()) {
      match = view_.match(*one, value);
    } else if (!value.is_structured()) {
      const bool closed = one->contains("enum") || one->contains("const");
      match = closed && listed(value, *one) == nullptr ? -1 : 0;
    }
    if (match > best_match) {
      best = one;
      best_match = match;
    }
  }
  if (best != nullptr) {
    return coerce(std::move(value), *best, depth + 1);
  }
  for (const Json* one : all) {
    Json other = coerce(value, *one, depth + 1);
    if ((view_.types(*one) & type_of(other)) != 0) {
      return other;
    }
    if (value.is_structured()) {
      break;  // none takes a container
    }
  }
  return value;
}

void Coercer::children(Json& value, const Json& schema, int depth) {
  if (value.is_object()) {
    for (auto& [key, item] : value.get_ref<Json::object_t&>()) {
      if (const Json* one = view_.member(schema, key)) {
        item = coerce(std::move(item), *one, depth + 1);
      }
    }
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      const Json* one = view_.item(schema, i);
      if (one != nullptr) {
        value[i] = coerce(std::move(value[i]), *one, depth + 1);
      }
    }
  }
}

Json Coercer::text(std::string_view raw, const Json& schema, TextRules rules) {
  const unsigned types = view_.types(schema);
  const Json* here = view_.resolve(schema);
  if (here != nullptr) {
    if (const Json* one = listed(raw, *here)) {
      return *one;
    }
  }
  if (types == any_type) {
    return run(decode(raw), schema);
  }
  if ((types & string_type) == 0) {
    auto other = read_as(raw, types);
    return run(other ? std::move(*other) : Json(raw), schema);
  }
  const auto trimmed = trim(raw);
  if ((types & null_type) != 0 && is_word(trimmed, "null")) {
    return nullptr;
  }
  const unsigned others = types & ~unsigned{string_type | null_type};
  const bool quoted = trimmed.size() > 1 && trimmed[0] == '"' &&
                      trimmed.back() == '"' && rules.unquote;
  if (others != 0 || quoted) {
    const auto strict = parse_json(trimmed, max_depth);
    if (strict && (type_of(*strict) & others) != 0) {
      return run(*strict, schema);
    }
    if (strict && quoted) {
      return *strict;
    }
  }
  return raw;
}

const Json* find_parameter(
    SchemaView& view, const Json& schema, std::string_view name, int depth) {
  const Json* here = view.resolve(schema);
  if (here == nullptr || !here->is_object() || depth > 4) {
    return nullptr;
  }
  const auto properties = here->find("properties");
  if (properties != here->end() && properties->is_object()) {
    const auto found = properties->find(name);
    if (found != properties->end()) {
      return &*found;
    }
  }
  for (const auto& list : {view.conjuncts(*here), view.alternatives(*here)}) {
    for (const Json* one : list) {
      if (const Json* found = find_parameter(view, *one, name, depth + 1)) {
        return found;
      }
    }
  }
  return nullptr;
}

}  // namespace

Json coerce_to_schema(Json value, const Json& schema, const Json& root) {
  return Coercer(root).run(std::move(value), schema);
}

Json coerce_to_schema(Json value, const Json& schema) {
  return coerce_to_schema(std::move(value), schema, schema);
}

Json coerce_text(
    std::string_view raw,
    const Json& schema,
    const Json& root,
    TextRules rules) {
  return Coercer(root).text(raw, schema, rules);
}

Json coerce_text(std::string_view raw, const Json& schema, TextRules rules) {
  return coerce_text(raw, schema, schema, rules);
}

const Json* parameter_schema(const Json& parameters, std::string_view name) {
  SchemaView view(parameters);
  return find_parameter(view, parameters, name, 0);
}

}  // namespace rapid
