// Gives arguments the types that a tool's JSON Schema asks for. Every format
// types its values here and nowhere else. Only the type of what the model
// wrote changes: members are neither invented, dropped nor moved, and a value
// that cannot be read as what the schema wants stays what it was.
//
//   "123" for a string        stays "123"; so do "true" and "null"
//   "3" "3.0" 3.0 for integer  3; a number of more than 64 bits stays text
//   "0.5" for a number         0.5
//   "TRUE" for a boolean       true
//   "null" "None" for null     null, where null is allowed and text is not
//   3, true for a string       "3", "true"; arrays and objects stay
//   text for array, object     what loose_json reads, if nothing is left over
//   enum, const                the listed value with the same text
//   anyOf, oneOf               the first alternative that fits; of objects the
//                              one with all required and most declared members
//
// Linear in the value for a given schema; looks 64 levels deep; never throws.
#pragma once

#include <string_view>

#include "base/json.h"

namespace rapid {

// Types a value of JSON arguments; for a call, `schema` is the tool's
// parameters and `value` the object of all arguments. $refs are looked up in
// `root`, where `schema` comes from.
Json coerce_to_schema(Json value, const Json& schema, const Json& root);
Json coerce_to_schema(Json value, const Json& schema);

struct TextRules {
  // A string field takes "..." that is one JSON string without its quotes.
  bool unquote = false;
};

// Types a value that arrived as text, as in XML parameters. For a string
// field the text is the value, byte for byte; null (in any case) is null where
// null is allowed. A field for text or something else takes something else
// only where the text is strict JSON of it. Without a schema (also true or {})
// it is what JSON or a Python literal is, and else text.
Json coerce_text(
    std::string_view raw,
    const Json& schema,
    const Json& root,
    TextRules rules = {});
Json coerce_text(
    std::string_view raw, const Json& schema, TextRules rules = {});

// The schema of parameter `name` in a tool's parameters, through $ref, allOf
// and anyOf; none if it is not declared.
const Json* parameter_schema(const Json& parameters, std::string_view name);

}  // namespace rapid
