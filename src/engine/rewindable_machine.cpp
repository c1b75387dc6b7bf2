#include "engine/rewindable_machine.h"

#include <algorithm>
#include <utility>

#include "formats/reasoning.h"

namespace rapid {
namespace {

// The part of `text` that lies behind the first `given` bytes, when `made`
// bytes came before it. Counts both on.
std::string fresh(std::string text, size_t& made, size_t& given) {
  const size_t known = given > made ? given - made : 0;
  made += text.size();
  given = std::max(given, made);
  return text.substr(std::min(known, text.size()));
}

}  // namespace

RewindableMachine::RewindableMachine(
    const OutputFormat& format, FormatInput input)
    : format_(format),
      input_(std::move(input)),
      machine_(start_machine(format_, input_)) {}

void RewindableMachine::feed(
    std::string_view text, std::vector<FormatEvent>& out) {
  before_ = given_;
  text_ += text;
  std::vector<FormatEvent> events;
  machine_->feed(text, events);
  pass(events, out);
}

void RewindableMachine::finish(
    FinishCause cause, std::vector<FormatEvent>& out) {
  before_ = given_;
  std::vector<FormatEvent> events;
  machine_->finish(cause, events);
  pass(events, out);
}

void RewindableMachine::undo(size_t bytes, std::vector<FormatEvent>& out) {
  given_ = before_;
  made_ = {};
  text_.resize(std::min(bytes, text_.size()));
  machine_ = start_machine(format_, input_);
  std::vector<FormatEvent> events;
  machine_->feed(text_, events);
  pass(events, out);
  before_ = given_;
}

void RewindableMachine::pass(
    std::vector<FormatEvent>& events, std::vector<FormatEvent>& out) {
  for (FormatEvent& event : events) {
    if (auto* text = std::get_if<FormatText>(&event)) {
      std::string rest = fresh(std::move(text->text), made_.text, given_.text);
      if (!rest.empty()) {
        out.push_back(FormatText{std::move(rest)});
      }
    } else if (auto* thought = std::get_if<FormatReasoning>(&event)) {
      std::string rest =
          fresh(std::move(thought->text), made_.thought, given_.thought);
      if (!rest.empty()) {
        out.push_back(FormatReasoning{std::move(rest)});
      }
    } else if (++made_.others > given_.others) {
      given_.others = made_.others;
      out.push_back(std::move(event));
    }
  }
}

}  // namespace rapid
