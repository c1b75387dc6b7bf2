// Backend: what routes see of the model behind them. Front satisfies it
// through api/front_backend.h; tests have a scripted one.
//
// Threads: any thread may call any method. The sink contract is Front's: in
// order, never twice at once, not after cancel() has returned.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/event.h"
#include "chat/request.h"
#include "engine/engine.h"
#include "engine/front.h"

namespace rapid {

// Facts about the loaded model for listings. Plain values.
struct ModelCard {
  std::string name;   // as the user wrote it: alias, path or hub name
  std::string alias;  // "" if none
  std::string path;
  std::string architecture;
  std::string device;
  int threads = 0;
  std::string format;            // tool and reasoning format
  std::string format_why;        // one sentence
  std::string reasoning;         // style, "" if none
  std::string chat_style;        // "model", "fallback" or "none": its template
  int64_t created = 0;           // seconds since the epoch
  int context_length = 0;        // that memory holds here, too
  int model_context_length = 0;  // the model's own
  int vocabulary = 0;            // rows of logits
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;
  MemoryFacts memory;
  std::vector<std::string> adapters;  // "<id>:<adapter>" is a model, too
  std::string parent;                 // of such a one: <id>

  // What clients call it.
  const std::string& id() const { return alias.empty() ? name : alias; }
  // default, the alias, the name or the path.
  bool answers_to(std::string_view model) const;
  // Of the model that one of its adapters makes.
  ModelCard adapted(const std::string& adapter) const;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Of the model as it was last loaded.
  virtual ModelCard card() const = 0;

  // An Error means that nothing was or will be sent to the sink. While the
  // model is not there, Progress events with `waiting_for` come before
  // Started, and what is wrong with the request comes as Failed.
  virtual Result<Ticket> submit(
      const chat::Request& request, ChatSink sink) = 0;
  // Not from inside a sink.
  virtual void cancel(Ticket ticket) = 0;

  virtual Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const = 0;

  // What tokenises; null where that is not to be had (now).
  virtual std::shared_ptr<const TextCodec> codec() const { return nullptr; }

  virtual EngineStats stats() const = 0;
  virtual FrontStats front_stats() const = 0;

  // See Front. A backend without a cache has nothing to tell.
  virtual std::optional<chat::CacheReport> explain(const std::string&) const {
    return std::nullopt;
  }
  virtual LedgerStats ledger_stats() const { return {.disabled = true}; }
  virtual void clear_cache() {}
};

}  // namespace rapid
