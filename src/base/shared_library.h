// A library that is used where it is found, and not linked. It stays loaded
// until the process ends. Thread-safe.
//   const SharedLibrary curl({"libcurl.so.4", "libcurl.4.dylib"});
//   bool ok = curl.find("curl_easy_init", functions.easy_init) && ...
#pragma once

#include <dlfcn.h>

#include <initializer_list>

namespace rapid {

class SharedLibrary {
 public:
  // The first of `names` that the system's loader finds, if any.
  explicit SharedLibrary(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      library_ = library_ ? library_ : dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
  }

  // Sets `to`; null, and false, without the library or the function.
  template <typename Function>
  bool find(const char* name, Function& to) const {
    to = reinterpret_cast<Function>(library_ ? dlsym(library_, name) : nullptr);
    return to != nullptr;
  }

 private:
  void* library_ = nullptr;
};

}  // namespace rapid
