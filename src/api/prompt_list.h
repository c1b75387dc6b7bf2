// Prompts as bodies give them: a text, a list of texts, token ids, or a list
// of such lists.
#pragma once

#include <cstddef>
#include <string_view>

#include "api/json_fields.h"
#include "chat/request.h"

namespace rapid {

// Fills request.prompts from the field; at least one, at most `most`.
Status read_prompts(
    const Fields& fields,
    std::string_view name,
    size_t most,
    chat::Request& request);

}  // namespace rapid
