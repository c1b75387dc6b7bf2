// RewindableMachine: a format machine that can go back to an earlier place of
// its text, for answers of which a part is decoded anew.
//
// Invariant: what it gives out, over all rewinds, is each event of the text
// once, in order: events before the place that were given out are not given
// again. One thread.
//
//   machine.feed("Hi <tool_call>{]</tool_call>", events);  // a bad call
//   events.clear();
//   machine.undo(3, events);           // as if only "Hi " had come
//   machine.feed("<tool_call>...", events);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace rapid {

class RewindableMachine {
 public:
  RewindableMachine(const OutputFormat& format, FormatInput input);

  void feed(std::string_view text, std::vector<FormatEvent>& out);
  void finish(FinishCause cause, std::vector<FormatEvent>& out);
  // Takes back the last feed() or finish() with all its events, then goes on
  // as if only the first `bytes` of the text had come. Appends what of them
  // was not given out before.
  void undo(size_t bytes, std::vector<FormatEvent>& out);

  const std::string& text() const { return text_; }
  size_t held() const { return machine_->held(); }
  bool thinking() const { return machine_->thinking(); }
  size_t open_call() const { return machine_->open_call(); }

 private:
  struct Given {
    size_t text = 0;  // bytes
    size_t thought = 0;
    size_t others = 0;  // calls and rejected ones
  };
  void pass(std::vector<FormatEvent>& events, std::vector<FormatEvent>& out);

  const OutputFormat& format_;
  FormatInput input_;
  std::unique_ptr<FormatMachine> machine_;
  std::string text_;
  Given made_;    // by machine_, since it began
  Given given_;   // to the caller
  Given before_;  // the last call
};

}  // namespace rapid
