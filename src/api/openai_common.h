// What the OpenAI dialect's routes share: fields that chat and completions
// both take, the model check, usage, and the writer that turns chat events
// into one JSON or a stream of chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/event_writer.h"
#include "api/json_fields.h"
#include "api/reply_notes.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"
#include "chat/request.h"

namespace rapid {

struct OpenAiReplyOptions {
  bool stream = false;
  bool include_usage = false;
  bool explain_cache = false;
  bool functions = false;  // calls as `function_call`, as before tools
  std::string id;          // "chatcmpl-..."
  std::string object;      // of the whole reply
  std::string chunk_object;
  std::string model;  // as the reply names it
  std::string fingerprint;
  int64_t created = 0;
  int choices = 1;
};

// The options that every reply of one model begins with.
OpenAiReplyOptions openai_reply_options(
    std::string id, const ModelCard& card, const std::string& version);

// model: default, or any name of a served one; absent is default.
Result<std::shared_ptr<Backend>> openai_backend(
    const ApiContext& context, const Fields& fields);

// temperature ... seed, n, max_tokens, stop, ignore_eos, response_format.
Status read_openai_sampling(const Fields& fields, chat::Request& request);

// What the answer must be: {"type": "text" | "json_object" | "json_schema" |
// "regex" | "lark"}; the schema under json_schema.schema or schema.
Status read_openai_format(
    const Fields& fields, std::string_view name, chat::Request& request);

// none, minimal, low, medium, high ...
void set_reasoning_effort(chat::Request& request, const std::string& effort);

// `prediction`: what the answer is likely to be; it changes the speed alone.
Status read_openai_prediction(const Fields& fields, chat::Request& request);
// Known fields without effect here: their types are checked all the same.
Status check_openai_fields(const Fields& fields);

// stream and stream_options.
Status read_openai_stream(const Fields& fields, OpenAiReplyOptions& options);

Json openai_usage(const chat::Usage& usage);

std::string_view openai_finish_reason(chat::Finished::Reason reason);

// A finite number: JSON has no -inf.
double openai_logprob(float logprob);

// The common part of both writers. A subclass says what one event adds to a
// choice; here it goes out as a chunk, or is merged into the whole reply.
class OpenAiWriter : public EventWriter {
 public:
  OpenAiWriter(
      std::shared_ptr<ResponseStream> stream, OpenAiReplyOptions options);
  void on(const chat::Event& event) final;
  void waiting(const std::string& why) final;

 protected:
  // The whole reply's choice as it is before any event.
  virtual Json empty_choice(int index) const = 0;
  // The chunk's choice that comes before the first event's, or null for none.
  virtual Json opening(int index, const chat::Event& first) const = 0;
  // A chunk's choice for the event, or null when it adds nothing.
  virtual Json piece(int index, const chat::Event& event) = 0;
  // Adds what piece() made to the whole choice.
  virtual void merge(Json& whole, Json piece) const = 0;
  // Calls were run since the last text.
  virtual void ran() {}
  // Last changes before the whole choice goes out.
  virtual void finish_choice(Json&) const {}

  const OpenAiReplyOptions& options() const { return options_; }

  // {"index", key: value, "logprobs": null, "finish_reason": null}
  static Json choice_of(int index, std::string_view key, Json value);

 private:
  void on_choice(int index, const chat::Event& event);
  void open_choice(int index, const chat::Event& event);
  void tool_run(const chat::ToolRun& run, const chat::Event& event);
  void emit(int index, Json piece);
  void send_chunk(Json choices, const chat::Usage* usage, bool last);
  void send_whole(const chat::Usage& usage);
  Json envelope(bool chunk) const;

  std::shared_ptr<ResponseStream> stream_;
  OpenAiReplyOptions options_;
  std::vector<bool> opened_;
  std::vector<Json> whole_;
  ReplyNotes notes_;
  int finished_ = 0;
};

}  // namespace rapid
