// A benchmark's JSON as one page of HTML with charts: no scripts, no network,
// everything inside. Pure.
//
// Reads {"model", "points": [{prompt, batch, prefill_tps, decode_tps,
// ttft_ms}], "servers": [{"name", "speed": [...], "tools": {...},
// "agent": {...}}]}; what is absent is left out.
#pragma once

#include <string>

#include "base/json.h"

namespace rapid {

std::string report_html(const Json& result);

}  // namespace rapid
