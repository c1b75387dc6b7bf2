// Writes each request that goes through a Front as one file (recording.h), for
// `serve --record`. Files appear whole, when a request is over: answered,
// failed or left by its client. What cannot be written is logged and lost; a
// request never fails or waits for it.
//
//   RAPID_TRY(auto recorder, RequestRecorder::start(folder, text_model,
//   about)); Front front(recorder->wrap(engine), text_model, {.recorder =
//   recorder});
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "chat/request.h"
#include "engine/front.h"
#include "engine/recording.h"
#include "engine/task_thread.h"

namespace rapid {

class RequestRecorder : public std::enable_shared_from_this<RequestRecorder> {
 public:
  // Makes the folder, for its owner only. Files are numbered on from those
  // that are there. Errors: io.
  static Result<std::shared_ptr<RequestRecorder>> start(
      const std::filesystem::path& folder,
      std::shared_ptr<const TextModel> model,
      bool exact,
      std::string build);
  ~RequestRecorder();  // waits until all is written

  // The engine that the front must use: it sees runs and their events.
  std::shared_ptr<Engine> wrap(std::shared_ptr<Engine> engine);

  // The front, of a request: before its first run, and after its last event.
  void open(Ticket ticket, const chat::Request& request);
  void close(Ticket ticket);

  // Waits until all closed requests are written.
  void flush();

 private:
  class Tap;
  struct Entry {
    Recording recording;
    int running = 0;
    bool closed = false;
  };

  RequestRecorder(
      std::filesystem::path folder,
      std::shared_ptr<const TextModel> model,
      RecordedModel about,
      std::string build);

  // Of the engine: the run's number in its recording; -1 = not recorded.
  int begin(const GenerateRequest& request);
  void note(Ticket ticket, int run, const EngineEvent& event);
  void settle(std::map<Ticket, Entry>::iterator found);
  void write(const Recording& recording, int number) const;

  const std::filesystem::path folder_;
  const std::shared_ptr<const TextModel> model_;
  RecordedModel about_;
  const std::string build_;
  std::mutex mutex_;
  std::map<Ticket, Entry> open_;
  int last_number_ = 0;
  TaskThread writer_;
};

}  // namespace rapid
