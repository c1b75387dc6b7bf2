// Whom a request is for, as far as its client says: agents' and sessions'
// headers, or OpenAI's prompt_cache_key and user. Lanes share the engine and
// the cache equally (engine/lane_clock.h).
#pragma once

#include <string>

#include "api/route.h"
#include "base/json.h"

namespace rapid {

// "" when nothing names it.
std::string request_lane(const HttpRequest& http, const Json& body);

}  // namespace rapid
