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
#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"
#include "chat/request.h"

namespace rapid {

struct OpenAiReplyOptions {
  bool stream = false;
  bool include_usage = false;
  std::string id;      // "chatcmpl-..."
  std::string object;  // of the whole reply
  std::string chunk_object;
  std::string model;  // as the reply names it
  std::string fingerprint;
  int64_t created = 0;
  int choices = 1;
};

// The options that every reply of one model begins with.
OpenAiReplyOptions openai_reply_options(
    std::string id, const ModelCard& card, const std::string& version);

Error unknown_model(std::string_view model, const ModelCard& card);

// model: default, alias, name or path; absent is default.
Status check_openai_model(const Fields& fields, const ModelCard& card);

// temperature ... seed, n, max_tokens, stop, ignore_eos and what is refused.
Status read_openai_sampling(const Fields& fields, chat::Request& request);

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

 protected:
  // The whole reply's choice as it is before any event.
  virtual Json empty_choice(int index) const = 0;
  // The chunk's choice that comes before the first event's, or null for none.
  virtual Json opening(int index, const chat::Event& first) const = 0;
  // A chunk's choice for the event, or null when it adds nothing.
  virtual Json piece(int index, const chat::Event& event) = 0;
  // Adds what piece() made to the whole choice.
  virtual void merge(Json& whole, Json piece) const = 0;
  // Last changes before the whole choice goes out.
  virtual void finish_choice(Json&) const {}

  // {"index", key: value, "logprobs": null, "finish_reason": null}
  static Json choice_of(int index, std::string_view key, Json value);

 private:
  void on_choice(int index, const chat::Event& event);
  void emit(int index, Json piece);
  void send_chunk(Json choices, const chat::Usage* usage, bool last);
  void send_whole(const chat::Usage& usage);
  Json envelope(bool chunk) const;
  Json extras(const chat::Usage* usage) const;

  std::shared_ptr<ResponseStream> stream_;
  OpenAiReplyOptions options_;
  std::vector<bool> opened_;
  std::vector<Json> whole_;
  Json rejected_ = Json::array();
  Json loop_;                         // the first one found
  std::vector<std::string> relaxed_;  // of the request's schemas
  int finished_ = 0;
  int redecoded_ = 0;  // malformed calls
};

}  // namespace rapid
