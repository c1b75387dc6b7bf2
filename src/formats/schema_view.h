// What a JSON Schema says about the type of a value, as far as typing
// arguments needs it. Follows $ref inside of the document (a cycle ends it),
// reads type, nullable, const, enum, allOf, anyOf, oneOf, properties,
// additionalProperties, items, prefixItems; takes other languages' names of
// types (str, int, uint32, float, dict, list, ...). All else is ignored.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"

namespace rapid {

// Types as bits of a set.
enum SchemaType : unsigned {
  null_type = 1,
  boolean_type = 2,
  integer_type = 4,
  number_type = 8,
  string_type = 16,
  array_type = 32,
  object_type = 64,
  any_type = 127,
};

unsigned type_of(const Json& value);  // 3.0 is a number, 3 both

class SchemaView {
 public:
  // `root` must outlive this; $refs are looked up in it.
  explicit SchemaView(const Json& root) : root_(root) {}

  // The schema behind $ref; none when there is no such, or only a cycle.
  const Json* resolve(const Json& schema);

  // The types that a value may have; any_type when nothing says.
  unsigned types(const Json& schema);

  // The schemas that are alternatives at this place (anyOf and oneOf), and
  // those that hold all together (allOf). Resolved.
  std::vector<const Json*> alternatives(const Json& schema);
  std::vector<const Json*> conjuncts(const Json& schema);

  // The schema of a member or an item; none if there is none.
  const Json* member(const Json& schema, std::string_view key);
  const Json* item(const Json& schema, size_t at) const;

  // Whether an object can be meant by this schema: what is required is there,
  // and what is const or enum agrees. The number of declared members it has
  // is a measure of how well; -1 when it cannot.
  int match(const Json& schema, const Json& object);

 private:
  using Index = std::unordered_map<std::string_view, const Json*>;

  const Json* follow(const Json& schema) const;
  unsigned types(const Json& schema, int depth, int& budget);

  const Json& root_;
  std::unordered_map<const Json*, Index> members_;
  std::unordered_map<const Json*, const Json*> resolved_;
  std::unordered_map<const Json*, unsigned> types_;
};

}  // namespace rapid
