// Backend: what routes see of the model behind them. Front satisfies it
// through api/front_backend.h; tests have a scripted one.
//
// Threads: any thread may call any method. The sink contract is Front's: in
// order, never twice at once, not after cancel() has returned.
#pragma once

#include <cstdint>
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
  std::string format;      // tool and reasoning format
  std::string format_why;  // one sentence
  std::string reasoning;   // style, "" if none
  std::string chat_style;  // "model", "fallback" or "none": its template
  int64_t created = 0;     // seconds since the epoch
  int context_length = 0;
  int vocabulary = 0;  // rows of logits
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;

  // What clients call it.
  const std::string& id() const { return alias.empty() ? name : alias; }
  // default, the alias, the name or the path.
  bool answers_to(std::string_view model) const;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const ModelCard& card() const = 0;

  // An Error means that nothing was or will be sent to the sink.
  virtual Result<Ticket> submit(
      const chat::Request& request, ChatSink sink) = 0;
  // Not from inside a sink.
  virtual void cancel(Ticket ticket) = 0;

  virtual Result<std::vector<std::vector<int32_t>>> tokenise(
      const chat::Request& request) const = 0;

  virtual EngineStats stats() const = 0;
  virtual FrontStats front_stats() const = 0;
};

}  // namespace rapid
