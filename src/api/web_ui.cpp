// GET /ui/*: the files of the browser UI. The page itself is at / (banner.cpp).
#include "api/web_asset.h"

namespace rapid {

namespace {

Status asset(const HttpRequest& http, ResponseStream& stream, ApiContext&) {
  const WebAsset* found = find_web_asset(http.tail);
  if (found == nullptr) {
    return Error{
        ErrorCode::not_found,
        "the page has no file " + http.tail,
        "reload it: another version of the program may be running now"};
  }
  send_web_asset(*found, http, stream);
  return {};
}

}  // namespace

void register_route_web_ui(RouteTable& table) {
  table.add(
      {.method = "GET",
       .path = "/ui/*",
       .auth = Auth::open,
       .handler = answering(asset),
       .summary = "files of the page that browsers get at /"});
}

}  // namespace rapid
