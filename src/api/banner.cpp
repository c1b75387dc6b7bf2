// GET and HEAD /: who answers here, and where to go on.
#include <string>

#include "api/route.h"
#include "base/json.h"

namespace rapid {

void register_route_banner(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/",
       .auth = Auth::open,
       .handler =
           [](const HttpRequest&,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             RouteTable all;
             register_all_routes(all);
             Json endpoints = Json::array();
             for (const Route& route : all.routes()) {
               endpoints.push_back(
                   {{"method", route.method},
                    {"path", route.path},
                    {"about", route.summary}});
             }
             const Json reply = {
                 {"name", "rapid-mlx"},
                 {"version", context.version},
                 {"endpoints", std::move(endpoints)}};
             stream->reply(200, dump_json(reply), "application/json");
           },
       .summary = "this list"});
}

}  // namespace rapid
