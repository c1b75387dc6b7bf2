// libcurl, loaded when the first download needs it. It brings about thirty
// libraries with it, which would cost every start of the program 4 ms.
//
//   if (const CurlLibrary* curl = CurlLibrary::get()) curl->easy_init();
#pragma once

#include <curl/curl.h>

#include <map>
#include <string>
#include <string_view>

namespace rapid {

struct CurlLibrary {
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;

  // The loaded and initialised library, or null where the machine has none.
  // Any thread; never unloaded.
  static const CurlLibrary* get();
};

// Frees what libcurl made; only where there is a library.
struct CurlFree {
  void operator()(CURL* curl) const;
  void operator()(curl_slist* list) const;
};

// This machine itself is never reached through a proxy.
void set_url(CURL* curl, const std::string& url);

// A line of a reply's head, as CURLOPT_HEADERFUNCTION gives it: into `headers`,
// the name in lower case, which is returned; "" where the line has none. A
// status line empties them: another hop's follow.
std::string add_header_line(
    std::string_view line, std::map<std::string, std::string>& headers);

}  // namespace rapid
