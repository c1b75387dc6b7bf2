// The browser UI, as it was built from web/: files in memory, compressed
// beforehand. cmake/web.cmake generates the list; it is empty in a build
// without Node.js.
//
//   if (const WebAsset* page = find_web_asset("index.html")) ...
#pragma once

#include <span>
#include <string_view>

#include "api/route.h"

namespace rapid {

struct WebAsset {
  std::string_view name;  // below /ui/
  std::string_view type;  // content-type
  std::string_view etag;  // of the uncompressed bytes, with its quotes
  std::string_view plain;
  std::string_view gzip;
  std::string_view brotli;
};

std::span<const WebAsset> web_assets();  // generated

const WebAsset* find_web_asset(std::string_view name);

// Whether a browser asks for a page, not a program for a listing.
bool wants_page(const HttpRequest& http);

// The asset in the best coding that the client takes, or a 304; with what
// keeps foreign scripts, frames and connections out.
void send_web_asset(
    const WebAsset& asset, const HttpRequest& http, ResponseStream& stream);

}  // namespace rapid
