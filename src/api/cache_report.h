// Why the cache did or did not hold a prompt, as JSON, and what a request may
// say of the cache: "rapid_mlx": {"explain_cache": true, "history": "keep"}.
#pragma once

#include "api/json_fields.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"
#include "chat/request.h"

namespace rapid {

Json cache_report_json(const chat::CacheReport& report);

// Also takes the request's id. True: the reply shall explain.
Result<bool> read_cache_fields(
    const HttpRequest& http, const Fields& fields, chat::Request& request);

}  // namespace rapid
