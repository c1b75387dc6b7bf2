// Chat templates for model files that carry none, by architecture
// (general.architecture or model_type). They lie in data/templates/ and are
// compiled in: one file adds one.
#pragma once

#include <optional>
#include <string_view>

namespace rapid {

// None: chat with such a file must be refused with a hint.
std::optional<std::string_view> fallback_template(
    std::string_view architecture);

}  // namespace rapid
