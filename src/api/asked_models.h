// What a request's query says of models: ?model=NAME.
#pragma once

#include <memory>
#include <vector>

#include "api/route.h"

namespace rapid {

// The model that ?model= names; without it the default. Errors: backend_for's.
Result<std::shared_ptr<Backend>> asked_backend(
    const HttpRequest& http, const ApiContext& context);

// The same; without it all of them.
Result<std::vector<std::shared_ptr<Backend>>> asked_backends(
    const HttpRequest& http, const ApiContext& context);

// Of several engines: sums, and the longest times of those at work.
EngineStats sum_of(const std::vector<EngineStats>& all);
FrontStats sum_of(const std::vector<FrontStats>& all);

}  // namespace rapid
