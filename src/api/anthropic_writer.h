// AnthropicWriter: chat events to content blocks. It makes the stream's events
// in any case; a whole reply is what they add up to.
#pragma once

#include <memory>
#include <string>

#include "api/event_writer.h"
#include "api/reply_notes.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"

namespace rapid {

struct AnthropicReplyOptions {
  std::string id;     // "msg_..."
  std::string model;  // as the reply names it
  bool stream = false;
  bool omit_thinking = false;
  bool explain_cache = false;
  std::vector<std::string> ignored;
};

class AnthropicWriter : public EventWriter {
 public:
  AnthropicWriter(
      std::shared_ptr<ResponseStream> stream, AnthropicReplyOptions options);
  void on(const chat::Event& event) override;
  void waiting(const std::string& why) override;

 private:
  enum class Block { none, text, thinking, whole };

  void begin();
  void open(Block kind, Json content_block);
  void delta(Json delta);
  void close();
  void text(Block kind, const std::string& text);
  void call(const chat::ToolCall& call);
  void run(const chat::ToolRun& run);
  void finished(const chat::Finished& finished);
  void done(const chat::Usage& usage);
  void fail(const Error& error);
  Json usage(int prompt, int cached) const;
  void emit(Json event);
  void fold(const Json& event);  // into the whole reply

  std::shared_ptr<ResponseStream> stream_;
  AnthropicReplyOptions options_;
  ReplyNotes notes_;
  int prompt_tokens_ = 0;
  int cached_tokens_ = 0;
  bool begun_ = false;
  Block block_ = Block::none;  // that is open
  int index_ = -1;             // of the latest block
  std::string thought_;        // of the open block
  Json end_;                   // the last delta
  Json whole_;
};

}  // namespace rapid
