// Writes members into a Json object in constant time each; Json's own
// operator[] looks through all members it has. Of equal keys the last value
// stands in the place of the first.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>

#include "base/json.h"

namespace rapid {

class Members {
 public:
  // `object` is emptied and must outlive this.
  explicit Members(Json& object) {
    object = Json::object();
    members_ = &object.get_ref<Json::object_t&>();
  }

  bool empty() const { return members_->empty(); }

  void set(std::string key, Json value) {
    const size_t at = find(key);
    if (at < members_->size()) {
      (members_->begin() + static_cast<long>(at))->second = std::move(value);
      return;
    }
    if (!index_.empty()) {
      index_.emplace(key, at);
    }
    static_cast<Json::object_t::Container&>(*members_).emplace_back(
        std::move(key), std::move(value));
  }

 private:
  static constexpr size_t few = 16;

  // The place of `key`; the number of members when it is not there.
  size_t find(const std::string& key) {
    const size_t size = members_->size();
    if (size < few) {
      size_t at = 0;
      while (at < size &&
             (members_->begin() + static_cast<long>(at))->first != key) {
        ++at;
      }
      return at;
    }
    if (index_.empty()) {
      for (const auto& [name, value] : *members_) {
        index_.emplace(name, index_.size());
      }
    }
    const auto found = index_.find(key);
    return found == index_.end() ? size : found->second;
  }

  Json::object_t* members_ = nullptr;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace rapid
