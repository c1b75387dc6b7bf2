// OllamaWriter: chat events to JSON lines, or to one JSON that they add up to.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "api/event_writer.h"
#include "api/ollama_common.h"
#include "api/openapi.h"
#include "api/reply_notes.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"

namespace rapid {

struct OllamaReplyOptions {
  std::string model;  // as the client said
  bool chat = true;   // false: /api/generate, with "response"
  bool stream = true;
  std::vector<std::string> ignored;
};

// Answers a request without a question: it loads or unloads the model.
// Of the fields that chats and prompts share, for docs; `more` are its own.
Json ollama_body(std::initializer_list<BodyField> more);

void reply_ollama_hold(
    const OllamaAsk& ask,
    const OllamaReplyOptions& options,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context);

// Asks the question, and minds keep_alive.
void run_ollama(
    const OllamaAsk& ask,
    OllamaReplyOptions options,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context);

class OllamaWriter : public EventWriter {
 public:
  OllamaWriter(
      std::shared_ptr<ResponseStream> stream, OllamaReplyOptions options);
  void on(const chat::Event& event) override;
  void waiting(const std::string& why) override;

 private:
  void text(
      const char* key,
      const std::string& text,
      const std::vector<chat::TokenLogprob>& logprobs = {});
  void call(const chat::ToolCallEvent& made);
  void emit(Json body, Json logprobs);
  void done(const chat::Usage& usage);
  void fail(const Error& error);

  std::shared_ptr<ResponseStream> stream_;
  OllamaReplyOptions options_;
  ReplyNotes notes_;
  double started_;
  std::string reason_ = "stop";
  Json whole_;     // of the message, or of the reply's own fields
  Json logprobs_;  // null: none
};

}  // namespace rapid
