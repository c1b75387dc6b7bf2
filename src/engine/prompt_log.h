// PromptLog: the last prompts, to say of a new one why the cache did not hold
// more of it. Bounded; any thread.
//
//   auto entry = log.open(request, prompt);       // when it is submitted
//   auto report = log.explain(*entry, cached);    // when the prompt is in
//   log.close(entry, answer);                     // when the answer is done
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "chat/event.h"
#include "chat/request.h"
#include "engine/chat_prompt.h"

namespace rapid {

struct LoggedPrompt {
  std::string id;
  std::vector<chat::Message> messages;
  std::string tools;  // as JSON text, as is the next
  std::string template_kwargs;
  std::vector<int> retokenised;
  std::vector<int32_t> ids;  // with the answer, once there is one
  bool cached = true;        // it may use the cache
  std::string adapter;       // others' states are of no use to it

  size_t bytes() const;
};

class PromptLog {
 public:
  static std::shared_ptr<LoggedPrompt> open(
      const chat::Request& request, const EnginePrompt& prompt);
  // Kept for find(), too.
  chat::CacheReport explain(const LoggedPrompt& prompt, int cached_tokens);
  void close(
      std::shared_ptr<LoggedPrompt> prompt, const std::vector<int32_t>& answer);

  // By the request's id, or the reply's that ends in it.
  std::optional<chat::CacheReport> find(const std::string& id) const;
  void clear();

 private:
  using Logged = std::shared_ptr<const LoggedPrompt>;
  struct Earlier {
    Logged prompt;
    size_t common = 0;
  };
  Earlier nearest(const LoggedPrompt& prompt) const;

  mutable std::mutex mutex_;
  std::deque<Logged> prompts_;  // the latest last
  size_t bytes_ = 0;
  std::deque<chat::CacheReport> reports_;
};

// One line for people.
std::string line_of(const chat::CacheReport& report);

}  // namespace rapid
