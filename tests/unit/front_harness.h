// Runs one request through a Front and keeps its events.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "unit/fake_engine.h"
#include "unit/fake_text.h"

namespace rapid {

class Recorder {
 public:
  ChatSink sink() {
    return [this](const chat::Event& event) {
      std::lock_guard lock(mutex_);
      events_.push_back(event);
      ended_ = ended_ || std::holds_alternative<chat::Done>(event) ||
               std::holds_alternative<chat::Failed>(event);
      changed_.notify_all();
    };
  }

  const std::vector<chat::Event>& wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60), [&] { return ended_; });
    return events_;
  }

  size_t size() {
    std::lock_guard lock(mutex_);
    return events_.size();
  }

  // Waits until at least `count` events are there.
  void wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      return events_.size() >= count;
    });
  }

  template <typename T>
  std::vector<T> all(int choice = -1) {
    std::vector<T> out;
    for (const chat::Event& event : wait()) {
      if (const T* found = std::get_if<T>(&event)) {
        if constexpr (requires { found->choice; }) {
          if (choice >= 0 && found->choice != choice) {
            continue;
          }
        }
        out.push_back(*found);
      }
    }
    return out;
  }

  std::string content(int choice = 0) {
    std::string out;
    for (const auto& delta : all<chat::Delta>(choice)) {
      out += delta.text;
    }
    return out;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<chat::Event> events_;
  bool ended_ = false;
};

inline chat::Request chat_request(std::string text) {
  chat::Request request;
  request.messages.push_back({.role = "user", .content = std::move(text)});
  return request;
}

}  // namespace rapid
