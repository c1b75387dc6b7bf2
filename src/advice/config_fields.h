// The fields of one configuration, by whichever of their names is there.
// Nothing throws: what is absent or of another type is zero, or as said.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>

#include "base/json.h"

namespace rapid {

class ConfigFields {
 public:
  explicit ConfigFields(const Json& json) : json_(json) {}

  int64_t number(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const auto found = json_.find(name);
      if (found != json_.end() && found->is_number()) {
        return found->get<int64_t>();
      }
    }
    return 0;
  }
  uint64_t size(std::initializer_list<const char*> names) const {
    return static_cast<uint64_t>(std::max<int64_t>(0, number(names)));
  }
  double real(const char* name, double otherwise) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_number() ? found->get<double>()
                                                      : otherwise;
  }
  bool flag(const char* name, bool otherwise = false) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_boolean() ? found->get<bool>()
                                                       : otherwise;
  }
  std::string text(const char* name) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_string()
               ? found->get<std::string>()
               : "";
  }
  // A list or an object that is not empty.
  bool holds(const char* name) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_structured() && !found->empty();
  }
  Json object(const char* name) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_object() ? *found : Json::object();
  }
  const Json* list(const char* name) const {
    const auto found = json_.find(name);
    return found != json_.end() && found->is_array() ? &*found : nullptr;
  }

 private:
  const Json& json_;
};

}  // namespace rapid
