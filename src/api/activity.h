// ActivityLog: requests under way and those of late, with the times and the
// cache's reasons, for who watches the server. No text of any request.
//
//   auto watched = watched_backend(backend, log);  // what it submits is noted
//   log->json();
//
// Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/backend.h"
#include "base/json.h"

namespace rapid {

class ActivityLog {
 public:
  struct Entry {
    uint64_t number = 0;
    std::string id;
    std::string model;
    std::string lane;
    std::string_view state = "waiting";
    std::string trouble;  // why it failed
    double began = 0;     // base/clock.h
    double first = 0;     // when its first output came; 0 = not yet
    double ended = 0;
    chat::Progress prompt;
    chat::Usage usage;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  EntryPtr begin(const chat::Request& request, std::string model);
  void on(Entry& entry, const chat::Event& event);
  void failed(Entry& entry, const Error& error);
  void stopped(Entry& entry);  // the client left, or took it back

  Json json() const;

 private:
  // What became of a prompt in the cache, summed by reason.
  struct Reason {
    uint64_t requests = 0;
    uint64_t cost_tokens = 0;
  };

  void end(Entry& entry, std::string_view state);

  mutable std::mutex mutex_;
  std::deque<EntryPtr> entries_;  // oldest first
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
  uint64_t failed_ = 0;
  uint64_t stopped_ = 0;
  std::map<std::string, Reason, std::less<>> reasons_;
};

// Notes what goes through it. One for each request.
std::shared_ptr<Backend> watched_backend(
    std::shared_ptr<Backend> backend, std::shared_ptr<ActivityLog> log);

}  // namespace rapid
