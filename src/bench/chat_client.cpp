#include "bench/chat_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "hub/http_post.h"

namespace rapid {
namespace {

std::string text_of(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_string() ? found->get<std::string>()
                                                   : "";
}

int number_of(const Json& from, const char* key) {
  const auto found = from.find(key);
  return found != from.end() && found->is_number_integer() ? found->get<int>()
                                                           : 0;
}

std::string route(const ChatTarget& target) {
  std::string url = target.url;
  while (url.ends_with('/')) {
    url.pop_back();
  }
  return url + (url.ends_with("/v1") ? "" : "/v1") + "/chat/completions";
}

}  // namespace

double ServedAnswer::decode_tps() const {
  const int tokens = completion_tokens > 0 ? completion_tokens : chunks;
  const double span = last_seconds - ttft_seconds;
  return tokens > 1 && span > 0 ? (tokens - 1) / span : 0;
}

void ChatStream::feed(std::string_view body, double now) {
  constexpr std::string_view kData = "data:";
  for (size_t end; (end = body.find('\n', read_)) != std::string_view::npos;
       read_ = end + 1) {
    std::string_view line = body.substr(read_, end - read_);
    if (!line.starts_with(kData)) {
      continue;  // keep-alives, blank lines
    }
    line.remove_prefix(kData.size());
    if (const auto event = parse_json(line); event && event->is_object()) {
      take(*event, now);
    }
  }
}

void ChatStream::take_call(const Json& call) {
  const auto index =
      static_cast<size_t>(std::clamp(number_of(call, "index"), 0, 1000));
  while (answer_.tool_calls.size() <= index) {
    answer_.tool_calls.push_back({{"id", ""}, {"name", ""}, {"arguments", ""}});
  }
  Json& known = answer_.tool_calls[index];
  const Json function = call.value("function", Json::object());
  const auto append = [&](const char* key, const std::string& text) {
    known[key] = known[key].get<std::string>() + text;
  };
  append("id", text_of(call, "id"));
  append("name", text_of(function, "name"));
  append("arguments", text_of(function, "arguments"));
}

void ChatStream::take(const Json& event, double now) {
  if (const Json usage = event.value("usage", Json()); usage.is_object()) {
    answer_.prompt_tokens = number_of(usage, "prompt_tokens");
    answer_.completion_tokens = number_of(usage, "completion_tokens");
    const Json details = usage.value("prompt_tokens_details", Json());
    answer_.cached_tokens =
        details.is_object() ? number_of(details, "cached_tokens") : 0;
  }
  const Json choices = event.value("choices", Json());
  if (!choices.is_array() || choices.empty() || !choices[0].is_object()) {
    return;
  }
  if (const auto reason = text_of(choices[0], "finish_reason");
      !reason.empty()) {
    answer_.finish_reason = reason;
  }
  const Json delta = choices[0].value("delta", Json());
  if (!delta.is_object()) {
    return;
  }
  const std::string content = text_of(delta, "content");
  const std::string reasoning =
      text_of(delta, "reasoning_content") + text_of(delta, "reasoning");
  const Json calls = delta.value("tool_calls", Json());
  if (content.empty() && reasoning.empty() && !calls.is_array()) {
    return;
  }
  answer_.content += content;
  answer_.reasoning += reasoning;
  for (const Json& call : calls.is_array() ? calls : Json::array()) {
    if (call.is_object()) {
      take_call(call);
    }
  }
  if (answer_.chunks++ == 0) {
    answer_.ttft_seconds = now - start_;
  }
  answer_.last_seconds = now - start_;
}

ServedAnswer ChatStream::finish(double now) && {
  answer_.seconds = now - start_;
  return std::move(answer_);
}

Result<ServedAnswer> ask(
    const ChatTarget& target,
    Json request,
    const std::function<bool()>& keep_going) {
  request["model"] = target.model;
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  HttpPost post{
      .url = route(target),
      .headers = {{"content-type", "application/json"}},
      .body = dump_json(request)};
  if (!target.key.empty()) {
    post.headers["authorization"] = "Bearer " + target.key;
  }
  ChatStream stream(now_seconds());
  const auto reply = http_post(
      post,
      keep_going ? keep_going : [] { return true; },
      [&](const HttpPostReply& so_far) {
        stream.feed(so_far.body, now_seconds());
        return false;
      });
  if (!reply) {
    return reply.error();
  }
  if (reply->status >= 400) {
    return Error{
        ErrorCode::io,
        fmt::format(
            "{} answers {}: {}",
            post.url,
            reply->status,
            reply->body.substr(0, 300))};
  }
  stream.feed(reply->body + "\n", now_seconds());
  ServedAnswer answer = std::move(stream).finish(now_seconds());
  if (answer.finish_reason.empty() && answer.chunks == 0) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("{} sends no chat stream", post.url),
        "it must speak /v1/chat/completions"};
  }
  return answer;
}

}  // namespace rapid
