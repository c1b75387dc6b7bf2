// GET and HEAD /: for browsers the UI; for all others who answers here, and
// where to go on.
#include <fmt/format.h>

#include <string>

#include "api/route.h"
#include "api/web_asset.h"

namespace rapid {

namespace {

constexpr std::string_view kNoPage =
    "This program was built without its web page. Install Node.js 18 or newer "
    "with npm, run make build again, and reload.\n\n";

}  // namespace

void register_route_banner(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/",
       .auth = Auth::open,
       .handler =
           [](const HttpRequest& http,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             const WebAsset* page = find_web_asset("index.html");
             if (page != nullptr && wants_page(http)) {
               return send_web_asset(*page, http, *stream);
             }
             RouteTable all;
             register_all_routes(all);
             std::string text = "rapid-mlx " + context.version + "\n\n";
             if (page == nullptr) {
               text += kNoPage;
             }
             for (const Route& route : all.routes()) {
               text += fmt::format(
                   "{:6} {:36} {}\n", route.method, route.path, route.summary);
             }
             stream->header("vary", "accept");
             stream->reply(200, text, "text/plain; charset=utf-8");
           },
       .summary = "a page for browsers; for others this list"});
}

}  // namespace rapid
