#include "hub/http_get.h"

#include <fmt/format.h>

#include <memory>

#include "hub/curl_library.h"

namespace rapid {

namespace {

// Only behind http_get's own check that there is a library.
const CurlLibrary& api() {
  return *CurlLibrary::get();
}

constexpr long kConnectSeconds = 15;
constexpr long kStallSeconds = 30;

struct Transfer {
  const HttpSink& sink;
  CURL* curl;
  HttpReply reply;
  bool begun = false;
  Status failure;
  bool cancelled = false;
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  HttpReply& reply = static_cast<Transfer*>(user)->reply;
  if (add_header_line({data, size * count}, reply.headers) == "x-linked-etag") {
    reply.linked_etag = reply.headers["x-linked-etag"];
  }
  return size * count;
}

Status deliver(Transfer& transfer, std::span<const std::byte> bytes) {
  if (!transfer.begun) {
    transfer.begun = true;
    api().easy_getinfo(
        transfer.curl, CURLINFO_RESPONSE_CODE, &transfer.reply.status);
    if (transfer.sink.begin) {
      RAPID_CHECK(transfer.sink.begin(transfer.reply));
    }
  }
  return transfer.sink.body(bytes);
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.failure =
      deliver(transfer, std::as_bytes(std::span(data, size * count)));
  return transfer.failure ? size * count : 0;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.sink.keep_going && !transfer.sink.keep_going()) {
    transfer.cancelled = true;
    return 1;
  }
  return 0;
}

// Worth another try: the line broke, or the server was busy. A host that
// cannot be reached at all is told at once.
bool is_transient(CURLcode code, long status) {
  switch (code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    case CURLE_OPERATION_TIMEDOUT:
      return status != 0;
    case CURLE_HTTP_RETURNED_ERROR:
      return status == 408 || status == 429 || status >= 500;
    default:
      return false;
  }
}

Error http_error(const std::string& url, long status) {
  const bool denied = status == 401 || status == 403;
  return Error{
      denied          ? ErrorCode::unauthorized
      : status == 404 ? ErrorCode::not_found
                      : ErrorCode::io,
      fmt::format("{} answered HTTP {}", url, status),
      denied ? "it does not exist or needs a token: set HF_TOKEN, and accept "
               "the model's terms on its page"
      : status == 404 ? "check the name"
                      : "try again later"};
}

void set_options(CURL* curl, const HttpGet& request, Transfer& transfer) {
  const bool secure = request.url.starts_with("https:");
  set_url(curl, request.url);
  api().easy_setopt(curl, CURLOPT_USERAGENT, "rapid-mlx");
  api().easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  api().easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  api().easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  api().easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
  api().easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  api().easy_setopt(
      curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  api().easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  api().easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  api().easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  if (!request.bearer.empty()) {
    // As credentials, not as a header: libcurl keeps these to the first host.
    api().easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    api().easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request.bearer.c_str());
  }
  if (request.resume_from != 0 || request.range_end != 0) {
    // As a range, which unlike RESUME_FROM lets a server answer 200.
    std::string range = fmt::format("{}-", request.resume_from);
    if (request.range_end != 0) {
      range += std::to_string(request.range_end - 1);
    }
    api().easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }
  api().easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  api().easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  api().easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  api().easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  api().easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  api().easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  api().easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

Status outcome(
    CURLcode code,
    Transfer& transfer,
    const std::string& url,
    const char* message) {
  if (transfer.cancelled) {
    return Error{ErrorCode::cancelled, "the download was stopped"};
  }
  if (!transfer.failure) {
    return transfer.failure;
  }
  if (code == CURLE_HTTP_RETURNED_ERROR) {
    return http_error(url, transfer.reply.status);
  }
  if (code != CURLE_OK) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "cannot fetch {}: {}",
            url,
            *message ? message : api().easy_strerror(code)),
        "check the network (HTTPS_PROXY is obeyed) and try again"};
  }
  return {};
}

}  // namespace

HttpOutcome http_get(const HttpGet& request, const HttpSink& sink) {
  HttpOutcome out;
  if (!CurlLibrary::get()) {
    out.status = Error{
        ErrorCode::unsupported,
        "downloads need libcurl, which this machine lacks",
        "install it (Debian: apt-get install libcurl4)"};
    return out;
  }
  std::unique_ptr<CURL, CurlFree> curl(api().easy_init());
  if (!curl) {
    out.status = Error{ErrorCode::internal, "libcurl did not start"};
    return out;
  }
  Transfer transfer{sink, curl.get(), {}, false, {}, false};
  char message[CURL_ERROR_SIZE] = "";
  set_options(curl.get(), request, transfer);
  api().easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, message);
  std::unique_ptr<curl_slist, CurlFree> headers;
  if ((request.resume_from != 0 || request.range_end != 0) &&
      !request.if_range.empty()) {
    headers.reset(api().slist_append(
        nullptr, fmt::format("If-Range: {}", request.if_range).c_str()));
    api().easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  }
  const CURLcode code = api().easy_perform(curl.get());
  api().easy_getinfo(
      curl.get(), CURLINFO_RESPONSE_CODE, &transfer.reply.status);
  out.status = outcome(code, transfer, request.url, message);
  // A sink that refused is final: the same bytes would come again.
  out.transient = !transfer.cancelled && transfer.failure &&
                  is_transient(code, transfer.reply.status);
  out.reply = std::move(transfer.reply);
  return out;
}

Result<std::string> http_get_text(
    const std::string& url,
    const std::string& bearer,
    const std::function<bool()>& keep_going,
    uint64_t limit) {
  std::string text;
  HttpSink sink;
  sink.keep_going = keep_going;
  sink.body = [&](std::span<const std::byte> bytes) -> Status {
    if (text.size() + bytes.size() > limit) {
      return Error{ErrorCode::too_large, url + " answers too much"};
    }
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  const HttpOutcome out = http_get({url, bearer, 0, ""}, sink);
  RAPID_CHECK(out.status);
  return text;
}

}  // namespace rapid
