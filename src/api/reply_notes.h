// ReplyNotes: what a reply says beside its dialect's own fields, under the key
// "rapid_mlx": calls that were no calls, loops, schema keywords that were left
// out, parts of the request that were ignored, calls that were run here, and
// times.
//
//   notes.on(event);  // every event
//   reply["rapid_mlx"] = notes.json(&usage);
#pragma once

#include <string>
#include <vector>

#include "api/route.h"
#include "base/json.h"
#include "chat/event.h"

namespace rapid {

// Printable ASCII only, and not too long.
std::string header_text(const std::vector<std::string>& parts);

// {"id", "server", "name", "arguments"}, and when it has ended "result" and
// "is_error".
Json tool_run_json(const chat::ToolRun& run);

class ReplyNotes {
 public:
  ReplyNotes(int choices, bool explain_cache)
      : choices_(choices), explain_cache_(explain_cache) {}

  // Known parts of the request that have no effect here.
  void ignored(std::vector<std::string> parts) { ignored_ = std::move(parts); }
  void on(const chat::Event& event);
  // x-rapid-mlx-relaxed and -ignored; once Started has come.
  void send_headers(ResponseStream& stream) const;

  // An object, empty when there is nothing to say. `usage`: with times.
  Json json(const chat::Usage* usage) const;

 private:
  int choices_;
  bool explain_cache_;
  Json rejected_ = Json::array();
  Json tool_runs_ = Json::array();
  Json loop_;  // the first one found
  std::vector<std::string> relaxed_;
  std::vector<std::string> ignored_;
  int redecoded_ = 0;  // malformed calls
};

}  // namespace rapid
