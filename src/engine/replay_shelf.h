// Recordings to answer from: which one fits a question. Any thread.
//
// The same question gets the recording of it; of several, each once, in
// order, then the last again. Else the same conversation with other options.
// Else, unless `strict`, one of the same place: as many answers before it, with
// tools or without; agents put dates and folders into what they say, and ask
// beside (for a title) at any time. Else the next chat (or completion) that
// nobody has asked for yet.
//
// Made of a script (script.h), that alone says which.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "chat/request.h"
#include "engine/recording.h"
#include "engine/script.h"

namespace rapid {

class ReplayShelf {
 public:
  ReplayShelf(std::vector<Recording> recordings, bool strict);
  explicit ReplayShelf(Script script);

  struct Choice {
    int number = -1;
    bool exact = false;  // the same question
  };
  // Takes it off. None fits: no number.
  Choice choose(const chat::Request& request);
  // The same without taking.
  Choice look(const chat::Request& request) const;

  const Recording& at(int number) const;
  bool is_script() const { return script_.has_value(); }
  int size() const { return static_cast<int>(recordings_.size()); }

 private:
  Choice find(const chat::Request& request) const;  // under the mutex

  // Where in a conversation a question stands.
  struct Place {
    bool chat = false;
    bool tools = false;
    int answers = 0;
    bool operator==(const Place&) const = default;
  };
  static Place place_of(const chat::Request& request);
  static Place place_of(const Recording& recording);

  const std::optional<Script> script_;
  const std::vector<Recording> recordings_;
  const bool strict_;
  mutable std::mutex mutex_;
  std::vector<int> taken_;  // how often
};

}  // namespace rapid
