#include "hub/curl_library.h"

#include <dlfcn.h>

#include <optional>

namespace rapid {

namespace {

template <typename Function>
bool find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  return out != nullptr;
}

std::optional<CurlLibrary> load() {
  void* library = nullptr;
  for (const char* name :
       {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"}) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library) {
      break;
    }
  }
  if (!library) {
    return std::nullopt;
  }
  CurlLibrary out;
  const bool complete =
      find(library, "curl_global_init", out.global_init) &&
      find(library, "curl_easy_init", out.easy_init) &&
      find(library, "curl_easy_cleanup", out.easy_cleanup) &&
      find(library, "curl_easy_setopt", out.easy_setopt) &&
      find(library, "curl_easy_perform", out.easy_perform) &&
      find(library, "curl_easy_getinfo", out.easy_getinfo) &&
      find(library, "curl_easy_strerror", out.easy_strerror) &&
      find(library, "curl_slist_append", out.slist_append) &&
      find(library, "curl_slist_free_all", out.slist_free_all);
  if (!complete || out.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

const CurlLibrary* CurlLibrary::get() {
  static const std::optional<CurlLibrary> library = load();
  return library ? &*library : nullptr;
}

}  // namespace rapid
