// Front: from a chat::Request to chat::Events. Owns what is text: tokenizer,
// chat template, detokeniser, stop strings, output format. One front thread
// turns engine events of all requests into chat events, so a sink is called
// in order and never twice at once; it must return fast.
//
//   Front front(engine, text_model);
//   auto ticket = front.submit(request, [](const chat::Event& e) { ... });
//   front.cancel(ticket);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "cache/turn_ledger.h"
#include "chat/event.h"
#include "chat/request.h"
#include "engine/engine.h"
#include "engine/format_choice.h"
#include "engine/history.h"
#include "engine/loop_guard.h"
#include "engine/text_codec.h"
#include "engine/turn_splice.h"
#include "formats/registry.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace rapid {

class RequestRecorder;

// All that is text about a model, built from its files without the engine.
struct TextModel {
  std::string name;  // what the user called it: alias, path or hub name
  std::string path;
  std::string alias;    // "" if none
  int64_t created = 0;  // seconds since the epoch, for /v1/models
  // Never null: the tokenizer and template below behind one interface. The
  // front uses only this, so a test can do without the other two.
  std::shared_ptr<const TextCodec> codec;
  std::shared_ptr<const Tokenizer> tokenizer;
  // Null when the file has no template and there is no fallback.
  std::shared_ptr<const ChatTemplate> chat_template;
  bool fallback_template = false;  // from data/, by architecture
  HistoryOptions history;          // what the template does with messages
  TurnMarks turn_marks;            // what it writes around a turn
  const OutputFormat* format = nullptr;
  FormatChoice format_choice;                 // why that one
  const ReasoningStyle* reasoning = nullptr;  // null: none
  std::vector<int32_t> end_tokens;  // GGUF, generation_config and template
  chat::Sampling defaults;          // generation_config
};

struct TextModelOptions {
  std::string name;    // as the user wrote it
  std::string alias;   // catalogue alias it resolved from, or ""
  std::string format;  // forced format name; "" = by template
};

// Opens the text side of the model at `path`.
Result<std::shared_ptr<const TextModel>> open_text_model(
    const std::string& path, const TextModelOptions& options);

using ChatSink = std::function<void(const chat::Event&)>;
using Ticket = uint64_t;

struct FrontOptions {
  LoopGuard loop_guard = LoopGuard::report;
  // Malformed calls are decoded again under their grammar, at most twice at
  // one place; else they are rejected.
  bool redecode = true;
  // Where turns are looked up and recorded; null: always tokenised anew.
  std::shared_ptr<TurnLedger> ledger;
  bool template_history = false;  // PromptOptions, unless the request says
  // Keeps what goes through; null: nothing does. Its engine is the front's.
  std::shared_ptr<RequestRecorder> recorder;
};

// Since the front began.
struct FrontStats {
  uint64_t redecoded = 0;        // malformed calls
  uint64_t not_redecoded = 0;    // ... whose grammar was refused
  uint64_t strict = 0;           // calls of strict tools, put under a grammar
  uint64_t loops_broken = 0;     // calls that were not let be repeated
  uint64_t thoughts_closed = 0;  // by their budget
};

class Front {
 public:
  Front(
      std::shared_ptr<Engine> engine,
      std::shared_ptr<const TextModel> model,
      FrontOptions options = {});
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // Validates, renders and tokenises on the calling thread, then submits.
  // An Error here means nothing was sent to the sink.
  Result<Ticket> submit(const chat::Request& request, ChatSink sink);

  // The client left. The sink is not called again once this has returned
  // (do not call it from inside a sink).
  void cancel(Ticket ticket);

  // The exact prompt ids of a request, for token counting and tests.
  Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const;

  FrontStats stats() const;
  // What explains the cache's part in a request of late.
  std::optional<chat::CacheReport> explain(const std::string& id) const;
  LedgerStats ledger_stats() const;
  // Prompts in memory and on disk, and turns.
  void clear_cache();
  const TextModel& model() const;
  Engine& engine() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rapid
