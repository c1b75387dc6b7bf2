// ResponsesWriter: chat events as a response: its typed events in order, or
// the response alone. Both are one path: every event is made and numbered, and
// the response that the last one carries is the whole reply.
//
// response.created and .in_progress, then for each output item .output_item
// .added, its parts and deltas, .output_item.done, then .completed,
// .incomplete or .failed. Keep-alives are .in_progress events: clients' own
// clocks do not hear comments.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/event_writer.h"
#include "api/reply_notes.h"
#include "api/response_run.h"
#include "api/response_store.h"
#include "api/responses_tools.h"
#include "base/json.h"
#include "chat/event.h"

namespace rapid {

struct ResponsesReply {
  StoredResponse stored;  // .response: as it begins, its output empty
  ResponsesTools tools;
  bool stream = false;
  bool store = true;
  bool background = false;
  bool explain_cache = false;
  bool summary = false;  // reasoning goes out as a summary, not as content
  bool sealed = false;   // ... and once more as encrypted_content
  std::vector<std::string> notes;  // what the request lost
};

// What the events are numbered and built from; shared with keep-alives, which
// come from another thread and may not own the stream.
struct ResponseDraft {
  std::mutex mutex;
  Json response;
  int64_t next = 0;    // sequence number
  bool begun = false;  // response.created is out

  // {"type", "sequence_number", ...fields}; under the mutex.
  std::string event(std::string_view type, Json fields);
};

class ResponsesWriter : public EventWriter, public RunningResponse {
 public:
  ResponsesWriter(
      std::shared_ptr<ResponseRun> stream,
      ResponsesReply reply,
      std::shared_ptr<ResponseStore> store);

  void on(const chat::Event& event) override;
  void waiting(const std::string& why) override;

  Json snapshot() override;
  Json input_items() override { return reply_.stored.input; }
  void cancel() override;

 private:
  enum class Kind { none, message, reasoning };

  // All under the draft's mutex.
  void take(const chat::Event& event);
  void start();
  void begin();
  void emit(std::string_view type, Json fields);
  void emit_item(std::string_view type, Json more);  // with the item's place
  void text(Kind kind, const chat::Delta& delta);
  void open(Kind kind);
  void close(const char* status);
  void close_message(const char* status);
  void close_reasoning(const char* status);
  void call(const chat::ToolCall& call);
  void run(const chat::ToolRun& run);
  void finish_item(Json item);
  void finish(const chat::Usage& usage);
  void fail(const Error& error);
  void end(const char* status, const chat::Usage* usage);
  void send_end(const char* type);
  std::string item_id(const char* kind) const;
  int place() const;  // of the item in the output

  std::shared_ptr<ResponseRun> stream_;
  ResponsesReply reply_;
  std::shared_ptr<ResponseStore> store_;
  std::shared_ptr<ResponseDraft> draft_ = std::make_shared<ResponseDraft>();
  ReplyNotes notes_;

  Kind kind_ = Kind::none;  // of the open item
  std::string item_;        // its id
  std::string text_;
  Json logprobs_ = Json::array();
  bool cut_ = false;  // by the token limit
  bool ended_ = false;
};

}  // namespace rapid
