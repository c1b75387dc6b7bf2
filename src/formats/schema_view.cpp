#include "formats/schema_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace rapid {
namespace {

constexpr int max_hops = 32;      // $refs in a row, and nesting of allOf etc.
constexpr int max_schemas = 256;  // looked at for the types at one place

unsigned type_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, unsigned>, 14> names{
      {{"null", null_type},
       {"none", null_type},
       {"bool", boolean_type},
       {"str", string_type},
       {"text", string_type},
       {"varchar", string_type},
       {"char", string_type},
       {"enum", string_type},
       {"dict", object_type},
       {"object", object_type},
       {"map", object_type},
       {"arr", array_type},
       {"list", array_type},
       {"tuple", array_type}}};
  constexpr std::array<std::string_view, 6> integers{
      "int", "uint", "long", "short", "unsigned", "byte"};
  constexpr std::array<std::string_view, 4> numbers{
      "num", "float", "double", "decimal"};
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  const auto begins = [&](std::string_view prefix) {
    return lower.starts_with(prefix);
  };
  if (std::ranges::any_of(integers, begins)) {
    return integer_type;
  }
  if (std::ranges::any_of(numbers, begins)) {
    return number_type | integer_type;
  }
  for (const auto& [prefix, type] : names) {
    if (begins(prefix)) {
      return type;
    }
  }
  return any_type;
}

const Json* find(const Json& schema, const char* key) {
  if (!schema.is_object()) {
    return nullptr;
  }
  const auto found = schema.find(key);
  return found == schema.end() ? nullptr : &*found;
}

const Json* find_array(const Json& schema, const char* key) {
  const Json* found = find(schema, key);
  return found != nullptr && found->is_array() ? found : nullptr;
}

// What `type`, `const`, `enum` and the keywords for one type say.
unsigned own_types(const Json& schema) {
  unsigned types = any_type;
  if (const Json* type = find(schema, "type")) {
    if (type->is_string()) {
      types = type_named(type->get_ref<const std::string&>());
    } else if (type->is_array() && !type->empty()) {
      types = 0;
      for (const Json& one : *type) {
        types |= one.is_string() ? type_named(one.get_ref<const std::string&>())
                                 : any_type;
      }
    }
  } else if (find(schema, "properties") || find(schema, "required")) {
    types = object_type;
  } else if (find(schema, "items") || find(schema, "prefixItems")) {
    types = array_type;
  }
  if (const Json* fixed = find(schema, "const")) {
    types &= type_of(*fixed);
  }
  if (const Json* values = find_array(schema, "enum")) {
    unsigned listed = 0;
    for (const Json& one : *values) {
      listed |= type_of(one);
    }
    types &= values->empty() ? any_type : listed;
  }
  const Json* nullable = find(schema, "nullable");
  if (nullable != nullptr && *nullable == true) {
    types |= null_type;
  }
  return types;
}

}  // namespace

unsigned type_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return null_type;
    case Json::value_t::boolean:
      return boolean_type;
    case Json::value_t::string:
      return string_type;
    case Json::value_t::array:
      return array_type;
    case Json::value_t::object:
      return object_type;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return integer_type | number_type;
    case Json::value_t::number_float:
      return number_type;
    default:
      return 0;
  }
}

const Json* SchemaView::resolve(const Json& schema) {
  if (!schema.is_object() || !schema.contains("$ref")) {
    return &schema;
  }
  const auto [entry, fresh] = resolved_.try_emplace(&schema);
  if (fresh) {
    entry->second = follow(schema);
  }
  return entry->second;
}

const Json* SchemaView::follow(const Json& schema) const {
  const Json* at = &schema;
  for (int hops = 0; hops < max_hops; ++hops) {
    const Json* ref = find(*at, "$ref");
    if (ref == nullptr || !ref->is_string()) {
      return at;
    }
    const auto& path = ref->get_ref<const std::string&>();
    if (!path.starts_with('#')) {
      return nullptr;
    }
    at = &root_;
    size_t begin = 1;
    while (begin < path.size()) {
      const size_t end = std::min(path.find('/', begin + 1), path.size());
      std::string key = path.substr(begin + 1, end - begin - 1);
      for (const auto& [code, plain] :
           {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
        for (size_t i = 0; (i = key.find(code, i)) != std::string::npos; ++i) {
          key.replace(i, 2, plain);
        }
      }
      at = find(*at, key.c_str());
      if (at == nullptr) {
        return nullptr;
      }
      begin = end;
    }
  }
  return nullptr;
}

unsigned SchemaView::types(const Json& schema) {
  const auto [entry, fresh] = types_.try_emplace(&schema);
  if (fresh) {
    int budget = max_schemas;
    const unsigned found = types(schema, 0, budget);
    entry->second = found == 0 ? unsigned{any_type} : found;
  }
  return entry->second;
}

unsigned SchemaView::types(const Json& schema, int depth, int& budget) {
  const Json* here = resolve(schema);
  if (here == nullptr || depth > max_hops || --budget < 0) {
    return any_type;
  }
  unsigned found = own_types(*here);
  const Json* beside = &schema != here ? &schema : nullptr;  // beside a $ref
  if (beside != nullptr) {
    found &= own_types(*beside);
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    if (const Json* list = find_array(*here, key)) {
      unsigned any = 0;
      for (const Json& one : *list) {
        any |= types(one, depth + 1, budget);
      }
      const Json* nullable = find(*here, "nullable");
      any |= nullable != nullptr && *nullable == true ? null_type : 0u;
      found &= list->empty() ? any_type : any;
    }
  }
  if (const Json* list = find_array(*here, "allOf")) {
    for (const Json& one : *list) {
      found &= types(one, depth + 1, budget);
    }
  }
  return found;
}

std::vector<const Json*> SchemaView::alternatives(const Json& schema) {
  std::vector<const Json*> out;
  for (const char* key : {"anyOf", "oneOf"}) {
    if (const Json* list = find_array(schema, key)) {
      for (const Json& one : *list) {
        if (const Json* resolved = resolve(one)) {
          out.push_back(resolved);
        }
      }
    }
  }
  return out;
}

std::vector<const Json*> SchemaView::conjuncts(const Json& schema) {
  std::vector<const Json*> out;
  if (const Json* list = find_array(schema, "allOf")) {
    for (const Json& one : *list) {
      if (const Json* resolved = resolve(one)) {
        out.push_back(resolved);
      }
    }
  }
  return out;
}

const Json* SchemaView::member(const Json& schema, std::string_view key) {
  const Json* properties = find(schema, "properties");
  if (properties != nullptr && properties->is_object()) {
    const auto [entry, fresh] = members_.try_emplace(properties);
    if (fresh) {
      for (const auto& [name, value] :
           properties->get_ref<const Json::object_t&>()) {
        entry->second.emplace(name, &value);
      }
    }
    const auto found = entry->second.find(key);
    if (found != entry->second.end()) {
      return found->second;
    }
  }
  const Json* others = find(schema, "additionalProperties");
  return others != nullptr && others->is_object() ? others : nullptr;
}

const Json* SchemaView::item(const Json& schema, size_t at) const {
  const Json* first = find_array(schema, "prefixItems");
  const Json* others = find(schema, "items");
  if (others != nullptr && others->is_array()) {  // before draft 2020-12
    first = others;
    others = find(schema, "additionalItems");
  }
  if (first != nullptr && at < first->size()) {
    return &(*first)[at];
  }
  return others != nullptr && others->is_object() ? others : nullptr;
}

int SchemaView::match(const Json& schema, const Json& object) {
  if (const Json* required = find_array(schema, "required")) {
    for (const Json& key : *required) {
      if (key.is_string() &&
          !object.contains(key.get_ref<const std::string&>())) {
        return -1;
      }
    }
  }
  int declared = 0;
  const Json* properties = find(schema, "properties");
  for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) {
    const Json* one = properties == nullptr ? nullptr : member(schema, key);
    const Json* resolved = one == nullptr ? nullptr : resolve(*one);
    if (resolved == nullptr) {
      continue;
    }
    ++declared;
    const Json* fixed = find(*resolved, "const");
    const Json* values = find_array(*resolved, "enum");
    if ((fixed != nullptr && *fixed != value) ||
        (values != nullptr &&
         std::ranges::find(*values, value) == values->end())) {
      return -1;
    }
  }
  return declared;
}

}  // namespace rapid
