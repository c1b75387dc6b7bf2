// The body of POST /v1/responses as a chat::Request, and what its reply needs.
#pragma once

#include "api/backend.h"
#include "api/hosted_tools.h"
#include "api/response_store.h"
#include "api/responses_writer.h"
#include "api/route.h"
#include "chat/request.h"

namespace rapid {

struct ResponsesRequest {
  chat::Request chat;
  ResponsesReply reply;
  HostedOffer hosted;
  bool truncate = false;  // the oldest turns may go when the prompt is too long
};

// Errors name the field. not_found: previous_response_id, or an item.
Result<ResponsesRequest> read_responses_request(
    const HttpRequest& http,
    const Json& body,
    const ModelCard& card,
    const ApiContext& context);

// Leaves out the oldest turns until the prompt fits, with a note. What does
// not fit even then is for submit() to refuse.
Status fit_to_context(const Backend& backend, ResponsesRequest& request);

}  // namespace rapid
