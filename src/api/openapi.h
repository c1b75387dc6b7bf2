// What routes say of their bodies and replies, for /openapi.json.
#pragma once

#include <initializer_list>
#include <string_view>

#include "base/json.h"

namespace rapid {

struct BodyField {
  const char* name;
  const char* type;  // of JSON Schema; several as "string|array"
  const char* about;
  bool required = false;
};

// A JSON Schema after a pattern: {"id": "string", "size?": "integer|null",
// "list": [{"name": "string"}], "any": "any", "kind": "=fixed"}. A "?" at the
// end of a name: it may be absent; "*" as the only name: any names.
Json json_shape(std::string_view pattern);

// Fields that are not listed are welcome, and without effect.
Json body_schema(std::initializer_list<BodyField> fields);

}  // namespace rapid
