#include "hub/http_post.h"

#include <fmt/format.h>

#include <memory>

#include "hub/curl_library.h"

namespace rapid {

namespace {

constexpr long kConnectSeconds = 15;

struct Transfer {
  const HttpPost& request;
  const std::function<bool()>& keep_going;
  const std::function<bool(const HttpPostReply&)>& enough;
  HttpPostReply reply;
  CURL* curl = nullptr;
  bool cancelled = false;
  bool too_large = false;
  bool done = false;  // the caller has enough
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  add_header_line({data, size * count}, transfer.reply.headers);
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (transfer.reply.body.size() + bytes > transfer.request.limit) {
    transfer.too_large = true;
    return 0;
  }
  transfer.reply.body.append(data, bytes);
  CurlLibrary::get()->easy_getinfo(
      transfer.curl, CURLINFO_RESPONSE_CODE, &transfer.reply.status);
  transfer.done = transfer.enough && transfer.enough(transfer.reply);
  return transfer.done ? 0 : bytes;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.cancelled = transfer.keep_going && !transfer.keep_going();
  return transfer.cancelled ? 1 : 0;
}

using Headers = std::unique_ptr<curl_slist, CurlFree>;

Headers header_list(const HttpPost& request) {
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    list = CurlLibrary::get()->slist_append(
        list, fmt::format("{}: {}", name, value).c_str());
  }
  return Headers(list);
}

void set_options(CURL* curl, Transfer& transfer, curl_slist* headers) {
  const CurlLibrary& api = *CurlLibrary::get();
  set_url(curl, transfer.request.url);
  api.easy_setopt(curl, CURLOPT_USERAGENT, "rapid-mlx");
  api.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  api.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  api.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  api.easy_setopt(curl, CURLOPT_POSTFIELDS, transfer.request.body.c_str());
  api.easy_setopt(
      curl,
      CURLOPT_POSTFIELDSIZE_LARGE,
      static_cast<curl_off_t>(transfer.request.body.size()));
  api.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  api.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  api.easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  api.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  api.easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  api.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  api.easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  api.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

}  // namespace

Result<HttpPostReply> http_post(
    const HttpPost& request,
    const std::function<bool()>& keep_going,
    const std::function<bool(const HttpPostReply&)>& enough) {
  const CurlLibrary* api = CurlLibrary::get();
  if (api == nullptr) {
    return Error{
        ErrorCode::unsupported,
        "requests over HTTP need libcurl, which this machine lacks",
        "install it (Debian: apt-get install libcurl4)"};
  }
  std::unique_ptr<CURL, CurlFree> curl(api->easy_init());
  if (!curl) {
    return Error{ErrorCode::internal, "libcurl did not start"};
  }
  Transfer transfer{request, keep_going, enough, {}, curl.get()};
  const Headers headers = header_list(request);
  set_options(curl.get(), transfer, headers.get());
  const CURLcode code = api->easy_perform(curl.get());
  api->easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &transfer.reply.status);
  if (transfer.cancelled) {
    return Error{ErrorCode::cancelled, "the request was stopped"};
  }
  if (transfer.too_large) {
    return Error{ErrorCode::too_large, request.url + " answers too much"};
  }
  if (code != CURLE_OK && !transfer.done) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "cannot reach {}: {}", request.url, api->easy_strerror(code))};
  }
  return std::move(transfer.reply);
}

}  // namespace rapid
