#include "hub/curl_library.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/shared_library.h"

namespace rapid {

namespace {

std::optional<CurlLibrary> load() {
  const SharedLibrary library(
      {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"});
  CurlLibrary out;
  const bool complete = library.find("curl_global_init", out.global_init) &&
                        library.find("curl_easy_init", out.easy_init) &&
                        library.find("curl_easy_cleanup", out.easy_cleanup) &&
                        library.find("curl_easy_setopt", out.easy_setopt) &&
                        library.find("curl_easy_perform", out.easy_perform) &&
                        library.find("curl_easy_getinfo", out.easy_getinfo) &&
                        library.find("curl_easy_strerror", out.easy_strerror) &&
                        library.find("curl_slist_append", out.slist_append) &&
                        library.find("curl_slist_free_all", out.slist_free_all);
  if (!complete || out.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return std::nullopt;
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(
      out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0]))) {
    text.remove_prefix(1);
  }
  while (!text.empty() &&
         std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

}  // namespace

const CurlLibrary* CurlLibrary::get() {
  static const std::optional<CurlLibrary> library = load();
  return library ? &*library : nullptr;
}

void CurlFree::operator()(CURL* curl) const {
  CurlLibrary::get()->easy_cleanup(curl);
}

void CurlFree::operator()(curl_slist* list) const {
  CurlLibrary::get()->slist_free_all(list);
}

void set_url(CURL* curl, const std::string& url) {
  const auto& api = *CurlLibrary::get();
  api.easy_setopt(curl, CURLOPT_URL, url.c_str());
  const size_t begin = url.find("://");
  std::string host = lower(url.substr(begin == url.npos ? 0 : begin + 3));
  host = host.substr(0, host.find_first_of("/?#"));
  host = host.substr(host.rfind('@') + 1);
  host = host.starts_with('[') ? host.substr(0, host.find(']') + 1)
                               : host.substr(0, host.find(':'));
  if (host == "localhost" || host == "[::1]" || host.starts_with("127.")) {
    api.easy_setopt(curl, CURLOPT_PROXY, "");
  }
}

std::string add_header_line(
    std::string_view line, std::map<std::string, std::string>& headers) {
  const size_t colon = line.find(':');
  if (line.starts_with("HTTP/")) {
    headers.clear();
    return "";
  }
  if (colon == std::string_view::npos) {
    return "";
  }
  std::string name = lower(line.substr(0, colon));
  headers[name] = trim(line.substr(colon + 1));
  return name;
}

}  // namespace rapid
