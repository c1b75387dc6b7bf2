#include "api/web_asset.h"

#include <algorithm>
#include <string>

namespace rapid {
namespace {

// Nothing from elsewhere, nothing inline, and markup only by the sanitiser.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify";

std::string_view header_of(const HttpRequest& http, const char* name) {
  const auto found = http.headers.find(name);
  return found == http.headers.end() ? std::string_view()
                                     : std::string_view(found->second);
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  const size_t end = text.find_last_not_of(" \t");
  return begin == text.npos ? "" : text.substr(begin, end - begin + 1);
}

// "gzip, br;q=0.8": whether `coding` is in it and not refused.
bool accepts(std::string_view list, std::string_view coding) {
  while (!list.empty()) {
    const auto item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(item.size() + 1, list.size()));
    const size_t semicolon = item.find(';');
    if (trimmed(item.substr(0, semicolon)) != coding) {
      continue;
    }
    const auto weight =
        semicolon == item.npos ? "" : trimmed(item.substr(semicolon + 1));
    return weight.find_first_not_of("q=0. ") != weight.npos || weight.empty();
  }
  return false;
}

}  // namespace

const WebAsset* find_web_asset(std::string_view name) {
  for (const WebAsset& asset : web_assets()) {
    if (asset.name == name) {
      return &asset;
    }
  }
  return nullptr;
}

bool wants_page(const HttpRequest& http) {
  return header_of(http, "accept").find("text/html") != std::string_view::npos;
}

void send_web_asset(
    const WebAsset& asset, const HttpRequest& http, ResponseStream& stream) {
  const bool page = asset.type.starts_with("text/html");
  // Names of all others carry a hash of what is in them.
  stream.header(
      "cache-control",
      page ? "no-cache" : "public, max-age=31536000, immutable");
  stream.header("etag", std::string(asset.etag));
  stream.header("vary", "accept, accept-encoding");
  stream.header("x-content-type-options", "nosniff");
  stream.header("referrer-policy", "no-referrer");
  stream.header("cross-origin-resource-policy", "same-origin");
  stream.header("content-security-policy", std::string(kPolicy));
  if (header_of(http, "if-none-match").find(asset.etag) !=
      std::string_view::npos) {
    return stream.reply(304, "", asset.type);
  }
  const auto codings = header_of(http, "accept-encoding");
  std::string_view body = asset.plain;
  if (accepts(codings, "br")) {
    stream.header("content-encoding", "br");
    body = asset.brotli;
  } else if (accepts(codings, "gzip")) {
    stream.header("content-encoding", "gzip");
    body = asset.gzip;
  }
  stream.reply(200, std::string(body), asset.type);
}

}  // namespace rapid
