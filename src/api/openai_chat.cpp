// POST /v1/chat/completions
#include <fmt/format.h>

#include <utility>

#include "api/cache_report.h"
#include "api/lane.h"
#include "api/openai_common.h"
#include "api/openai_logprobs.h"
#include "api/openai_messages.h"
#include "api/openapi.h"

namespace rapid {

namespace {

void append_text(Json& object, const char* key, const Json& more) {
  Json& text = object[key];
  if (!text.is_string()) {
    text = "";
  }
  text.get_ref<std::string&>() += more.get_ref<const std::string&>();
}

class ChatWriter : public OpenAiWriter {
 public:
  using OpenAiWriter::OpenAiWriter;

 private:
  Json empty_choice(int index) const override {
    return choice_of(
        index,
        "message",
        {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}});
  }

  Json opening(int index, const chat::Event& first) const override {
    const bool call = std::holds_alternative<chat::ToolCallEvent>(first);
    const Json content = call ? Json(nullptr) : Json("");
    return choice_of(
        index, "delta", {{"role", "assistant"}, {"content", content}});
  }

  Json piece(int index, const chat::Event& event) override {
    if (const auto* delta = std::get_if<chat::Delta>(&event)) {
      if (delta->text.empty() && delta->logprobs.empty()) {
        return nullptr;
      }
      const bool thought = delta->kind == chat::Delta::Kind::reasoning;
      Json choice = choice_of(
          index,
          "delta",
          {{thought ? "reasoning_content" : "content",
            thought ? delta->text : paragraph(delta->text)}});
      if (!delta->logprobs.empty()) {
        choice["logprobs"] = Json{
            {"content", openai_logprob_entries(delta->logprobs)},
            {"refusal", nullptr}};
      }
      return choice;
    }
    if (const auto* made = std::get_if<chat::ToolCallEvent>(&event)) {
      Json function = {
          {"name", made->call.name}, {"arguments", made->call.arguments}};
      if (options().functions) {
        return choice_of(
            index, "delta", {{"function_call", std::move(function)}});
      }
      const Json call = {
          {"index", made->index},
          {"id", made->call.id},
          {"type", "function"},
          {"function", std::move(function)}};
      return choice_of(index, "delta", {{"tool_calls", Json::array({call})}});
    }
    if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
      return choice_of(index, "delta", {{"content", rejected->raw}});
    }
    if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      Json choice = choice_of(index, "delta", Json::object());
      const bool called =
          finished->reason == chat::Finished::Reason::tool_calls;
      choice["finish_reason"] = called && options().functions
                                    ? "function_call"
                                    : openai_finish_reason(finished->reason);
      return choice;
    }
    return nullptr;
  }

  void ran() override { apart_ = said_; }

  // Text of different rounds is of one message, but not of one sentence.
  std::string paragraph(const std::string& text) {
    said_ = said_ || !text.empty();
    const bool apart = !text.empty() && std::exchange(apart_, false);
    return apart && text[0] != '\n' ? "\n\n" + text : text;
  }

  void merge(Json& whole, Json piece) const override {
    Json& message = whole["message"];
    Json& delta = piece["delta"];
    for (const char* key : {"content", "reasoning_content"}) {
      if (delta.contains(key)) {
        append_text(message, key, delta[key]);
      }
    }
    if (delta.contains("tool_calls")) {
      Json& call = delta["tool_calls"][0];
      call.erase("index");
      message["tool_calls"].push_back(std::move(call));
    }
    if (delta.contains("function_call")) {
      message["function_call"] = std::move(delta["function_call"]);
    }
    if (Json& more = piece["logprobs"]; more.is_object()) {
      if (whole["logprobs"].is_null()) {
        whole["logprobs"] = std::move(more);
      } else {
        for (Json& entry : more["content"]) {
          whole["logprobs"]["content"].push_back(std::move(entry));
        }
      }
    }
    if (!piece["finish_reason"].is_null()) {
      whole["finish_reason"] = piece["finish_reason"];
    }
  }

  void finish_choice(Json& choice) const override {
    Json& message = choice["message"];
    const bool called =
        message.contains("tool_calls") || message.contains("function_call");
    if (called && message["content"] == "") {
      message["content"] = nullptr;
    }
  }

  bool said_ = false;   // some text
  bool apart_ = false;  // calls were run since
};

constexpr int kMostTokens = 1 << 30;

Status read_template_kwargs(const Fields& fields, chat::Request& request) {
  Json& kwargs = request.template_kwargs;
  RAPID_TRY(const auto effort, fields.string("reasoning_effort"));
  if (effort) {
    set_reasoning_effort(request, *effort);
  }
  for (const char* name : {"reasoning_max_tokens", "thinking_budget"}) {
    RAPID_TRY(const auto budget, fields.integer(name, 0, kMostTokens));
    if (budget) {
      request.reasoning_max_tokens = static_cast<int>(*budget);
    }
  }
  RAPID_TRY(const auto thinking, fields.boolean("enable_thinking"));
  if (thinking) {
    kwargs["enable_thinking"] = *thinking;
  }
  RAPID_TRY(const Json* given, fields.object("chat_template_kwargs"));
  if (given != nullptr) {
    kwargs.update(*given);
  }
  return {};
}

Status read_logprobs(const Fields& fields, chat::Request& request) {
  RAPID_TRY(const auto wanted, fields.boolean("logprobs"));
  RAPID_TRY(const auto top, fields.integer("top_logprobs", 0, 20));
  if (top && *top > 0 && !wanted.value_or(false)) {
    return wrong_field(
        "top_logprobs",
        "logprobs: true beside it",
        *fields.find("top_logprobs"));
  }
  if (wanted.value_or(false)) {
    request.logprobs = static_cast<int>(top.value_or(0));
  }
  return {};
}

Status read_chat(
    const Json& body,
    chat::Request& request,
    HostedOffer& hosted,
    OpenAiReplyOptions& options) {
  const Fields fields(body);
  RAPID_CHECK(read_openai_messages(fields, request));
  RAPID_CHECK(read_openai_tools(fields, request, &hosted));
  RAPID_CHECK(read_openai_sampling(fields, request));
  RAPID_CHECK(read_logprobs(fields, request));
  RAPID_CHECK(read_template_kwargs(fields, request));
  RAPID_CHECK(read_openai_stream(fields, options));
  RAPID_CHECK(read_openai_prediction(fields, request));
  RAPID_CHECK(check_openai_fields(fields));
  options.functions =
      fields.find("tools") == nullptr && fields.find("functions") != nullptr;
  options.choices = request.choices;
  return {};
}

Json chat_body() {
  return body_schema(
      {{"messages", "array", "the conversation so far", true},
       {"model", "string", "default, or a loaded model's name"},
       {"stream", "boolean", "answer as server-sent events"},
       {"stream_options", "object", "include_usage"},
       {"max_tokens", "integer", "else the rest of the context"},
       {"max_completion_tokens", "integer", "the same"},
       {"temperature", "number", "0 to 2"},
       {"top_p", "number", "above 0, up to 1"},
       {"top_k", "integer", "-1 or 0: off"},
       {"min_p", "number", "0 to 1"},
       {"presence_penalty", "number", "-2 to 2"},
       {"frequency_penalty", "number", "-2 to 2"},
       {"repetition_penalty", "number", "above 0, up to 2"},
       {"logit_bias", "object", "token ids to -100 ... 100"},
       {"logprobs", "boolean", "of the answer's tokens"},
       {"top_logprobs", "integer", "alternatives, up to 20"},
       {"n", "integer", "choices"},
       {"seed", "integer", "the same seed, the same answer"},
       {"stop", "string|array", "texts that end the answer"},
       {"tools", "array", "functions, and mcp: tools that are run here"},
       {"tool_choice", "string|object", "auto, none, required or a function"},
       {"parallel_tool_calls", "boolean", "more than one call a turn"},
       {"functions", "array", "tools, as they were"},
       {"function_call", "string|object", "tool_choice, as it was"},
       {"response_format", "object", "text, json_object, json_schema, ..."},
       {"reasoning_effort", "string", "none, minimal, low, medium, high"},
       {"reasoning_max_tokens", "integer", "bounds the reasoning"},
       {"enable_thinking", "boolean", "if the template knows it"},
       {"chat_template_kwargs", "object", "more for the template"},
       {"prediction", "object", "what the answer may repeat, for speed"},
       {"user", "string", "who is served"},
       {"prompt_cache_key", "string", "which conversation this is"}});
}

Status chat_completions(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const auto backend, openai_backend(context, Fields(body)));
  chat::Request request;
  OpenAiReplyOptions options = openai_reply_options(
      "chatcmpl-" + http.id, backend->card(), context.version);
  options.object = "chat.completion";
  options.chunk_object = "chat.completion.chunk";
  HostedOffer hosted = hosted_offer(context);
  RAPID_CHECK(read_chat(body, request, hosted, options));
  request.lane = request_lane(http, body);
  RAPID_TRY(
      options.explain_cache, read_cache_fields(http, Fields(body), request));
  auto writer = std::make_shared<ChatWriter>(stream, std::move(options));
  run_request(
      request,
      std::move(writer),
      stream,
      hosted.backend(backend, context),
      standard_error_body);
  return {};
}

}  // namespace

void register_route_openai_chat(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/chat/completions",
       .handler = answering(chat_completions),
       .body = chat_body,
       .reply =
           [] {
             return json_shape(R"({"id": "string", "object": "=chat.completion",
           "created": "integer", "model": "string",
           "system_fingerprint": "string", "choices": [{"index": "integer",
           "message": {"role": "=assistant", "content": "string|null",
           "refusal": "null", "reasoning_content?": "string",
           "tool_calls?": [{"id": "string", "type": "=function",
           "function": {"name": "string", "arguments": "string"}}],
           "function_call?": {"name": "string", "arguments": "string"}},
           "logprobs": "object|null", "finish_reason": "string"}],
           "usage": {"prompt_tokens": "integer",
           "completion_tokens": "integer", "total_tokens": "integer",
           "prompt_tokens_details": {"cached_tokens": "integer"},
           "completion_tokens_details": {"reasoning_tokens": "integer",
             "accepted_prediction_tokens?": "integer",
             "rejected_prediction_tokens?": "integer"}},
           "rapid_mlx": "object"})");
           },
       .stream = "text/event-stream",
       .summary = "chat: messages and tools in, an assistant message out"});
}

}  // namespace rapid
