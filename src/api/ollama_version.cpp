// GET /api/version
#include "api/ollama_common.h"
#include "api/openapi.h"

namespace rapid {

void register_route_ollama_version(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/api/version",
       .auth = Auth::open,
       .handler =
           [](const HttpRequest&,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             const Json reply = {
                 {"version", kOllamaApiVersion},
                 {"rapid_mlx", context.version}};
             stream->reply(200, dump_json(reply), "application/json");
           },
       .error_body = ollama_error_body,
       .reply = [] { return json_shape(R"({"version": "string"})"); },
       .summary = "the version of the Ollama API that is spoken"});
}

}  // namespace rapid
