#include "engine/replay_shelf.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/request_json.h"

namespace rapid {

ReplayShelf::ReplayShelf(std::vector<Recording> recordings, bool strict)
    : recordings_(std::move(recordings)),
      strict_(strict),
      taken_(recordings_.size()) {}

ReplayShelf::ReplayShelf(Script script)
    : script_(std::move(script)),
      recordings_(script_->recordings()),
      strict_(true),
      taken_(recordings_.size()) {}

ReplayShelf::Place ReplayShelf::place_of(const chat::Request& request) {
  return {
      .chat = !request.messages.empty(),
      .tools = !request.tools.empty(),
      .answers = static_cast<int>(std::ranges::count(
          request.messages, "assistant", &chat::Message::role))};
}

ReplayShelf::Place ReplayShelf::place_of(const Recording& recording) {
  const Json& request = recording.request;
  Place out{
      .chat = request.contains("messages"), .tools = request.contains("tools")};
  for (const Json& message : request.value("messages", Json::array())) {
    out.answers += message.value("role", "") == "assistant";
  }
  return out;
}

const Recording& ReplayShelf::at(int number) const {
  return recordings_.at(static_cast<size_t>(number));
}

ReplayShelf::Choice ReplayShelf::choose(const chat::Request& request) {
  std::lock_guard lock(mutex_);
  const Choice out = find(request);
  if (out.number >= 0) {
    ++taken_[static_cast<size_t>(out.number)];
  }
  return out;
}

ReplayShelf::Choice ReplayShelf::look(const chat::Request& request) const {
  std::lock_guard lock(mutex_);
  return find(request);
}

ReplayShelf::Choice ReplayShelf::find(const chat::Request& request) const {
  if (script_) {
    return {script_->next(request), false};
  }
  // The first that was not taken, else the last of those that fit.
  const auto pick = [&](auto fits) {
    int out = -1;
    for (size_t i = 0; i < recordings_.size(); ++i) {
      if (fits(recordings_[i])) {
        out = static_cast<int>(i);
        if (taken_[i] == 0) {
          break;
        }
      }
    }
    return out;
  };
  const std::string question = question_key(request);
  int number = pick([&](const Recording& r) { return r.question == question; });
  if (number >= 0) {
    return {number, true};
  }
  const std::string said = conversation_key(request);
  number = pick([&](const Recording& r) { return r.conversation == said; });
  if (number >= 0 || strict_) {
    return {number, false};
  }
  const Place place = place_of(request);
  number = pick([&](const Recording& r) { return place_of(r) == place; });
  if (number < 0) {
    number = pick([&](const Recording& r) {
      return r.request.contains("messages") == place.chat;
    });
    if (number >= 0 && taken_[static_cast<size_t>(number)] > 0) {
      number = -1;  // all have been
    }
  }
  return {number, false};
}

}  // namespace rapid
