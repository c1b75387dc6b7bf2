// A client of /v1/chat/completions that measures: any server that speaks the
// dialect, ours or another. Always streams.
//
//   RAPID_TRY(const auto answer, ask({.url = "http://127.0.0.1:8000"},
//       {{"messages", ...}, {"max_tokens", 32}}));
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct ChatTarget {
  std::string name;  // for tables
  std::string url;   // with or without /v1
  std::string key;
  std::string model = "default";
};

struct ServedAnswer {
  double ttft_seconds = 0;  // to the first text or call
  double seconds = 0;       // to the end
  double last_seconds = 0;  // to the last text or call
  int chunks = 0;           // that carried text or calls
  // 0 where the server does not tell.
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int completion_tokens = 0;
  std::string content;
  std::string reasoning;
  Json tool_calls = Json::array();  // [{id, name, arguments: text}]
  std::string finish_reason;

  // Tokens a second after the first; 0 for one token.
  double decode_tps() const;
};

// Sets model, stream and stream_options. Errors: what the transport says; io
// with the server's text for a status of 400 and above; corrupt for a stream
// that is none.
Result<ServedAnswer> ask(
    const ChatTarget& target,
    Json request,
    const std::function<bool()>& keep_going = {});

// The events of a stream as they come: feed() takes the body so far.
class ChatStream {
 public:
  explicit ChatStream(double start) : start_(start) {}
  void feed(std::string_view body, double now);
  ServedAnswer finish(double now) &&;

 private:
  void take(const Json& event, double now);
  void take_call(const Json& call);

  double start_;
  size_t read_ = 0;
  ServedAnswer answer_;
};

}  // namespace rapid
