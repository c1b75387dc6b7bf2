// GET /v1/mcp/tools and /v1/mcp/servers, POST /v1/mcp/execute: the tools that
// run here, for clients that call them without a model.
#include "api/hosted_tools.h"
#include "api/openapi.h"

namespace rapid {

namespace {

Result<std::shared_ptr<const HostedTools>> hosted(const ApiContext& context) {
  auto tools = context.hosted_tools();
  if (!tools && context.tools_expected) {
    return tools_are_starting();
  }
  if (!tools) {
    return Error{
        ErrorCode::not_found,
        "this server runs no tools",
        "start it with --mcp"};
  }
  return tools;
}

Status list_tools(
    const HttpRequest&, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto tools, hosted(context));
  Json out = Json::array();
  for (const chat::Tool& tool : tools->tools()) {
    const auto origin = tools->box().origin(tool.name);
    out.push_back(
        {{"name", tool.name},
         {"server", origin.server},
         {"tool", origin.tool},
         {"description", tool.description},
         {"parameters", tool.parameters},
         {"read_only", origin.read_only}});
  }
  stream.reply(
      200,
      dump_json({{"count", out.size()}, {"tools", out}}),
      "application/json");
  return {};
}

Status list_servers(
    const HttpRequest&, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const auto tools, hosted(context));
  Json out = Json::array();
  for (const auto& client : tools->box().clients()) {
    out.push_back(
        {{"name", client->config().name},
         {"title", client->title()},
         {"transport", client->config().url.empty() ? "stdio" : "http"},
         {"tools", client->tools().size()},
         {"error", nullptr}});
  }
  for (const Error& error : tools->box().trouble()) {
    out.push_back({{"name", error.param}, {"tools", 0}, {"error", error.what}});
  }
  stream.reply(
      200, dump_json({{"servers", std::move(out)}}), "application/json");
  return {};
}

Json execute_body() {
  return body_schema(
      {{"tool_name", "string", "as /v1/mcp/tools lists it", true},
       {"arguments", "object", "as its parameters say"}});
}

Status execute(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const auto tools, hosted(context));
  const Fields fields(body);
  RAPID_TRY(const auto name, fields.string("tool_name"));
  RAPID_TRY(const Json* given, fields.object("arguments"));
  if (!name) {
    return missing_field("tool_name", "a tool's name");
  }
  if (!tools->allows(*name)) {
    return wrong_field(
        "tool_name", "a tool that /v1/mcp/tools lists", Json(*name));
  }
  if (tools->running >= HostedTools::kMostAtOnce) {
    return Error{ErrorCode::busy, "too many calls are under way"};
  }
  const auto left = std::make_shared<std::atomic<bool>>(false);
  stream->on_disconnect([left] { *left = true; });
  ++tools->running;
  context.background.run([tools,
                          stream,
                          left,
                          name = *name,
                          arguments = given ? dump_json(*given) : "{}"](
                             const std::atomic<bool>& stop) {
    const auto result =
        tools->box().call(name, arguments, [&] { return !stop && !*left; });
    --tools->running;
    if (!result) {
      return reply_error(*stream, result.error(), standard_error_body);
    }
    stream->reply(
        200,
        dump_json(
            {{"tool_name", name},
             {"content", result->text},
             {"is_error", result->is_error}}),
        "application/json");
  });
  return {};
}

}  // namespace

void register_route_mcp_tools(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/v1/mcp/tools",
       .handler = answering(list_tools),
       .reply =
           [] {
             return json_shape(
                 R"({"count": "integer", "tools": [{"name": "string",
           "server": "string", "tool": "string", "description": "string",
           "parameters": "object", "read_only": "boolean"}]})");
           },
       .summary = "the tools of MCP servers that may run here"});
  table.add(
      {.method = "GET",
       .path = "/v1/mcp/servers",
       .handler = answering(list_servers),
       .reply =
           [] {
             return json_shape(
                 R"({"servers": [{"name": "string", "title?": "string",
           "transport?": "string", "tools": "integer",
           "error": "string|null"}]})");
           },
       .summary = "the MCP servers that this one has reached, or not"});
  table.add(
      {.method = "POST",
       .path = "/v1/mcp/execute",
       .handler = answering(execute),
       .body = execute_body,
       .reply =
           [] {
             return json_shape(R"({"tool_name": "string", "content": "string",
           "is_error": "boolean"})");
           },
       .summary = "one call of such a tool, without a model"});
}

}  // namespace rapid
