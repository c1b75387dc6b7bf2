// Fields of sampling that dialects have in common.
#pragma once

#include "api/json_fields.h"
#include "chat/request.h"

namespace rapid {

// temperature, top_p and top_k (-1 is how some clients say "off").
Status read_distribution(const Fields& fields, chat::Sampling& sampling);

}  // namespace rapid
