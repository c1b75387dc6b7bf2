// Reads typed fields of a request body. Every error names the field by its
// path ("messages[2].content") in `what` and `param`. An absent field and
// null are the same: no value. Unknown fields are never looked at.
//
//   Fields fields(body);
//   RAPID_TRY(auto top_p, fields.number("top_p", 0, 1));
//   RAPID_TRY(auto stop, fields.strings("stop"));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

// "path: expected <expected>, got <short form of value>".
Error wrong_field(
    std::string_view path, std::string_view expected, const Json& value);
Error missing_field(std::string_view path, std::string_view expected);
Error unsupported_field(std::string_view path, std::string_view hint);

class Fields {
 public:
  // `object` must be a JSON object and outlive this. `path` names it in
  // errors; "" for the body itself.
  explicit Fields(const Json& object, std::string path = "");

  // The member, or null when it is absent or JSON null.
  const Json* find(std::string_view name) const;
  std::string path(std::string_view name) const;

  Result<std::optional<std::string>> string(std::string_view name) const;
  Result<std::optional<bool>> boolean(std::string_view name) const;
  // Both ends included.
  Result<std::optional<double>> number(
      std::string_view name, double low, double high) const;
  Result<std::optional<int64_t>> integer(
      std::string_view name, int64_t low, int64_t high) const;
  Result<std::optional<float>> real(
      std::string_view name, double low, double high) const;
  // A string or a list of strings; empty ones are left out.
  Result<std::vector<std::string>> strings(std::string_view name) const;
  // Null when absent.
  Result<const Json*> object(std::string_view name) const;
  Result<const Json*> array(std::string_view name) const;

 private:
  const Json& object_;
  std::string path_;
};

// The body as a JSON object. Errors have the param "body".
Result<Json> parse_body(std::string_view body);

}  // namespace rapid
