// Values of a URL's query string.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rapid {

// The decoded value of the first `name`=, or none.
std::optional<std::string> query_value(
    std::string_view query, std::string_view name);

}  // namespace rapid
