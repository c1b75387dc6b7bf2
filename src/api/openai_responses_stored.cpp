// GET, DELETE, cancel and input_items of /v1/responses/{id}
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/json_fields.h"
#include "api/openapi.h"
#include "api/query.h"
#include "api/response_store.h"
#include "api/route.h"

namespace rapid {

namespace {

using Answer = Result<Json> (*)(const HttpRequest&, ResponseStore&);

Error no_response(const std::string& id) {
  return {
      ErrorCode::not_found,
      fmt::format("no response {} is stored here", id),
      "it was deleted, made room for others, or asked for with store: false",
      "response_id"};
}

Result<Json> retrieve(const HttpRequest& http, ResponseStore& store) {
  if (query_value(http.query, "stream") == "true") {
    return unsupported_field("stream", "ask for the response, not its events");
  }
  if (const auto running = store.running(http.tail, http.owner)) {
    return running->snapshot();
  }
  auto found = store.get(http.tail, http.owner);
  if (!found) {
    return no_response(http.tail);
  }
  return std::move(found->response);
}

Result<Json> remove(const HttpRequest& http, ResponseStore& store) {
  if (!store.erase(http.tail, http.owner)) {
    return no_response(http.tail);
  }
  return Json{{"id", http.tail}, {"object", "response"}, {"deleted", true}};
}

// What has ended stays as it is.
Result<Json> cancel(const HttpRequest& http, ResponseStore& store) {
  if (const auto running = store.running(http.tail, http.owner)) {
    running->cancel();
    return running->snapshot();
  }
  auto found = store.get(http.tail, http.owner);
  if (!found) {
    return no_response(http.tail);
  }
  return std::move(found->response);
}

Result<Json> items_of(const HttpRequest& http, ResponseStore& store) {
  if (const auto running = store.running(http.tail, http.owner)) {
    return running->input_items();
  }
  auto found = store.get(http.tail, http.owner);
  if (!found) {
    return no_response(http.tail);
  }
  return std::move(found->input);
}

// ?limit= (20, at most 100) &order=desc|asc &after=ITEM
Result<Json> input_items(const HttpRequest& http, ResponseStore& store) {
  RAPID_TRY(Json items, items_of(http, store));
  size_t limit = 20;
  if (const auto text = query_value(http.query, "limit")) {
    const char* end = text->data() + text->size();
    const auto read = std::from_chars(text->data(), end, limit);
    if (read.ec != std::errc() || read.ptr != end || limit < 1 || limit > 100) {
      return wrong_field("limit", "a whole number from 1 to 100", Json(*text));
    }
  }
  const auto order = query_value(http.query, "order");
  if (order && *order != "asc" && *order != "desc") {
    return wrong_field("order", "asc or desc", Json(*order));
  }
  if (order != "asc") {
    std::reverse(items.begin(), items.end());
  }
  size_t first = 0;
  if (const auto after = query_value(http.query, "after")) {
    const auto found = std::ranges::find_if(
        items, [&](const Json& item) { return item["id"] == *after; });
    if (found == items.end()) {
      return wrong_field("after", "the id of an item", Json(*after));
    }
    first = static_cast<size_t>(found - items.begin()) + 1;
  }
  Json data = Json::array();
  for (size_t i = first; i < items.size() && data.size() < limit; ++i) {
    data.push_back(items[i]);
  }
  const auto id = [&](const Json& item) { return item["id"]; };
  return Json{
      {"object", "list"},
      {"first_id", data.empty() ? Json("") : id(data.front())},
      {"last_id", data.empty() ? Json("") : id(data.back())},
      {"has_more", first + data.size() < items.size()},
      {"data", std::move(data)}};
}

RouteHandler answering(Answer answer) {
  return [answer](
             const HttpRequest& http,
             const std::shared_ptr<ResponseStream>& stream,
             ApiContext& context) {
    const auto body = answer(http, *context.responses);
    if (!body) {
      return reply_error(*stream, body.error(), standard_error_body);
    }
    stream->reply(200, dump_json(*body), "application/json");
  };
}

}  // namespace

void register_route_openai_responses_stored(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/responses/{id}",
       .handler = answering(retrieve),
       .reply = response_shape,
       .summary = "a stored response, or one under way"});
  table.add(
      {.method = "DELETE",
       .path = "/v1/responses/{id}",
       .handler = answering(remove),
       .reply =
           [] {
             return json_shape(
                 R"({"id": "string", "object": "=response", "deleted": "boolean"})");
           },
       .summary = "forget a stored response"});
  table.add(
      {.method = "POST",
       .path = "/v1/responses/{id}/cancel",
       .handler = answering(cancel),
       .reply = response_shape,
       .summary = "stop a response under way"});
  table.add(
      {.method = "GET",
       .path = "/v1/responses/{id}/input_items",
       .handler = answering(input_items),
       .reply =
           [] {
             return json_shape(
                 R"({"object": "=list", "first_id": "string", "last_id": "string",
           "has_more": "boolean", "data": [{"id": "string",
           "type": "string"}]})");
           },
       .query = {"limit", "order", "after"},
       .summary = "what a stored response was asked"});
}

}  // namespace rapid
