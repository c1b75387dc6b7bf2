// POST /v1/completions: text or token ids in, text out; scores a prompt too.
#include <fmt/format.h>

#include "api/cache_report.h"
#include "api/lane.h"
#include "api/openai_common.h"
#include "api/openapi.h"
#include "api/prompt_list.h"

namespace rapid {

namespace {

constexpr size_t kMostPrompts = 2048;

// Characters, as clients of this API count them.
size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) {
    count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
  }
  return count;
}

// Columns, one entry a token. `start` is where `text` begins in the choice.
Json logprobs_json(
    const std::vector<chat::TokenLogprob>& tokens,
    std::string_view text,
    size_t start) {
  Json out = {
      {"tokens", Json::array()},
      {"token_logprobs", Json::array()},
      {"top_logprobs", Json::array()},
      {"text_offset", Json::array()},
      {"token_ids", Json::array()},
      {"top_token_ids", Json::array()}};
  size_t at = 0;
  for (const auto& token : tokens) {
    out["tokens"].push_back(token.text);
    out["token_ids"].push_back(token.id);
    out["text_offset"].push_back(start + count_characters(text.substr(0, at)));
    // A special token has a name but no text, so it takes no room.
    if (text.substr(at).starts_with(token.bytes)) {
      at += token.bytes.size();
    }
    if (!token.logprob) {
      out["token_logprobs"].push_back(nullptr);
      out["top_logprobs"].push_back(nullptr);
      out["top_token_ids"].push_back(nullptr);
      continue;
    }
    out["token_logprobs"].push_back(openai_logprob(*token.logprob));
    Json top = Json::object();
    Json ids = Json::array();
    for (const auto& other : token.top) {
      // Two ids can print alike: the likelier one keeps the name.
      if (!top.contains(other.text)) {
        top[other.text] = openai_logprob(other.logprob);
      }
      ids.push_back(other.id);
    }
    out["top_logprobs"].push_back(std::move(top));
    out["top_token_ids"].push_back(std::move(ids));
  }
  return out;
}

class CompletionWriter : public OpenAiWriter {
 public:
  CompletionWriter(
      std::shared_ptr<ResponseStream> stream, OpenAiReplyOptions options)
      : OpenAiWriter(std::move(stream), options), offsets_(options.choices) {}

 private:
  Json empty_choice(int index) const override {
    return choice_of(index, "text", "");
  }
  Json opening(int, const chat::Event&) const override { return nullptr; }

  Json piece(int index, const chat::Event& event) override {
    if (const auto* prompt = std::get_if<chat::Prompt>(&event)) {
      return text_piece(index, prompt->text, prompt->logprobs);
    }
    if (const auto* delta = std::get_if<chat::Delta>(&event)) {
      return text_piece(index, delta->text, delta->logprobs);
    }
    if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
      return text_piece(index, rejected->raw, {});
    }
    if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      Json choice = choice_of(index, "text", "");
      choice["finish_reason"] = openai_finish_reason(finished->reason);
      return choice;
    }
    return nullptr;  // no tools here, so no calls
  }

  Json text_piece(
      int index,
      const std::string& text,
      const std::vector<chat::TokenLogprob>& logprobs) {
    if (text.empty() && logprobs.empty()) {
      return nullptr;
    }
    Json choice = choice_of(index, "text", text);
    if (!logprobs.empty()) {
      choice["logprobs"] = logprobs_json(logprobs, text, offsets_[index]);
    }
    offsets_[index] += count_characters(text);
    return choice;
  }

  void merge(Json& whole, Json piece) const override {
    whole["text"].get_ref<std::string&>() +=
        piece["text"].get_ref<const std::string&>();
    if (Json& more = piece["logprobs"]; more.is_object()) {
      if (whole["logprobs"].is_null()) {
        whole["logprobs"] = std::move(more);
      } else {
        for (auto& [key, column] : more.items()) {
          for (Json& entry : column) {
            whole["logprobs"][key].push_back(std::move(entry));
          }
        }
      }
    }
    if (!piece["finish_reason"].is_null()) {
      whole["finish_reason"] = piece["finish_reason"];
    }
  }

  std::vector<size_t> offsets_;  // characters sent, per choice
};

Status read_completion(
    const Json& body, chat::Request& request, OpenAiReplyOptions& options) {
  const Fields fields(body);
  RAPID_CHECK(read_prompts(fields, "prompt", kMostPrompts, request));
  RAPID_CHECK(read_openai_sampling(fields, request));
  RAPID_TRY(const auto logprobs, fields.integer("logprobs", 0, 20));
  if (logprobs) {
    request.logprobs = static_cast<int>(*logprobs);
  }
  RAPID_TRY(const auto echo, fields.boolean("echo"));
  request.echo = echo.value_or(false);
  RAPID_TRY(const auto best_of, fields.integer("best_of", 1, 128));
  if (best_of && *best_of != request.choices) {
    return unsupported_field("best_of", "ask for n choices and pick one");
  }
  RAPID_TRY(const auto suffix, fields.string("suffix"));
  if (suffix && !suffix->empty()) {
    return unsupported_field("suffix", "write the gap into the prompt");
  }
  RAPID_CHECK(read_openai_stream(fields, options));
  RAPID_CHECK(check_openai_fields(fields));
  options.choices = request.choices * static_cast<int>(request.prompts.size());
  return {};
}

Json completion_body() {
  return body_schema(
      {{"prompt", "string|array", "text, texts, token ids or lists", true},
       {"model", "string", "default, or a loaded model's name"},
       {"stream", "boolean", "answer as server-sent events"},
       {"stream_options", "object", "include_usage"},
       {"max_tokens", "integer", "else the rest of the context"},
       {"temperature", "number", "0 to 2"},
       {"top_p", "number", "above 0, up to 1"},
       {"echo", "boolean", "give the prompt back, too"},
       {"logprobs", "integer", "alternatives, up to 20"},
       {"n", "integer", "choices of each prompt"},
       {"seed", "integer", "the same seed, the same answer"},
       {"stop", "string|array", "texts that end the answer"},
       {"response_format", "object", "text, json_object, json_schema, ..."}});
}

Status completions(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const auto backend, openai_backend(context, Fields(body)));
  chat::Request request;
  OpenAiReplyOptions options =
      openai_reply_options("cmpl-" + http.id, backend->card(), context.version);
  options.object = "text_completion";
  options.chunk_object = "text_completion";
  RAPID_CHECK(read_completion(body, request, options));
  request.lane = request_lane(http, body);
  RAPID_TRY(
      options.explain_cache, read_cache_fields(http, Fields(body), request));
  auto writer = std::make_shared<CompletionWriter>(stream, std::move(options));
  run_request(request, std::move(writer), stream, backend, standard_error_body);
  return {};
}

}  // namespace

void register_route_openai_completions(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/completions",
       .handler = answering(completions),
       .body = completion_body,
       .reply =
           [] {
             return json_shape(R"({"id": "string", "object": "=text_completion",
           "created": "integer", "model": "string",
           "system_fingerprint": "string", "choices": [{"index": "integer",
           "text": "string", "logprobs": "object|null",
           "finish_reason": "string"}], "usage": {"prompt_tokens": "integer",
           "completion_tokens": "integer", "total_tokens": "integer",
           "prompt_tokens_details": {"cached_tokens": "integer"},
           "completion_tokens_details": {"reasoning_tokens": "integer",
             "accepted_prediction_tokens?": "integer",
             "rejected_prediction_tokens?": "integer"}},
           "rapid_mlx": "object"})");
           },
       .stream = "text/event-stream",
       .summary = "raw text or token ids in, text and logprobs out"});
}

}  // namespace rapid
