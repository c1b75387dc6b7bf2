// POST /v1/chat/completions
#include <fmt/format.h>

#include <cstdlib>

#include "api/openai_common.h"
#include "api/openai_messages.h"

namespace rapid {

namespace {

// The exact bytes of a token's printed text, undoing "bytes:\xNN...".
std::string bytes_of(std::string_view text) {
  constexpr std::string_view kPrefix = "bytes:";
  std::string_view rest = text;
  if (!rest.starts_with("bytes:\\x")) {
    return std::string(text);
  }
  std::string bytes;
  for (rest.remove_prefix(kPrefix.size()); rest.size() >= 4;
       rest.remove_prefix(4)) {
    const std::string digits(rest.substr(2, 2));
    bytes += static_cast<char>(std::strtoul(digits.c_str(), nullptr, 16));
  }
  return bytes;
}

Json scored(const std::string& text, const std::string& bytes, float logprob) {
  Json numbers = Json::array();
  for (const char byte : bytes) {
    numbers.push_back(static_cast<unsigned char>(byte));
  }
  return {
      {"token", text},
      {"logprob", openai_logprob(logprob)},
      {"bytes", std::move(numbers)}};
}

Json logprobs_json(const std::vector<chat::TokenLogprob>& tokens) {
  Json content = Json::array();
  for (const auto& token : tokens) {
    Json entry = scored(token.text, token.bytes, token.logprob.value_or(0));
    Json top = Json::array();
    for (const auto& other : token.top) {
      top.push_back(scored(other.text, bytes_of(other.text), other.logprob));
    }
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

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
          {{thought ? "reasoning_content" : "content", delta->text}});
      if (!delta->logprobs.empty()) {
        choice["logprobs"] = logprobs_json(delta->logprobs);
      }
      return choice;
    }
    if (const auto* made = std::get_if<chat::ToolCallEvent>(&event)) {
      const Json call = {
          {"index", made->index},
          {"id", made->call.id},
          {"type", "function"},
          {"function",
           {{"name", made->call.name}, {"arguments", made->call.arguments}}}};
      return choice_of(index, "delta", {{"tool_calls", Json::array({call})}});
    }
    if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
      return choice_of(index, "delta", {{"content", rejected->raw}});
    }
    if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      Json choice = choice_of(index, "delta", Json::object());
      choice["finish_reason"] = openai_finish_reason(finished->reason);
      return choice;
    }
    return nullptr;
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
    if (message.contains("tool_calls") && message["content"] == "") {
      message["content"] = nullptr;
    }
  }
};

constexpr int kMostTokens = 1 << 30;

Status read_template_kwargs(const Fields& fields, chat::Request& request) {
  Json& kwargs = request.template_kwargs;
  RAPID_TRY(const auto effort, fields.string("reasoning_effort"));
  if (effort) {
    request.reasoning_effort = *effort;
    kwargs["reasoning_effort"] = *effort;
    if (*effort == "none") {
      kwargs["enable_thinking"] = false;
    }
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
    const ModelCard& card,
    chat::Request& request,
    OpenAiReplyOptions& options) {
  const Fields fields(body);
  RAPID_CHECK(check_openai_model(fields, card));
  RAPID_CHECK(read_openai_messages(fields, request));
  RAPID_CHECK(read_openai_tools(fields, request));
  RAPID_CHECK(read_openai_sampling(fields, request));
  RAPID_CHECK(read_logprobs(fields, request));
  RAPID_CHECK(read_template_kwargs(fields, request));
  RAPID_CHECK(read_openai_stream(fields, options));
  options.choices = request.choices;
  return {};
}

Status chat_completions(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const auto backend, ready_backend(context));
  RAPID_TRY(const Json body, parse_body(http.body));
  chat::Request request;
  OpenAiReplyOptions options = openai_reply_options(
      "chatcmpl-" + http.id, backend->card(), context.version);
  options.object = "chat.completion";
  options.chunk_object = "chat.completion.chunk";
  RAPID_CHECK(read_chat(body, backend->card(), request, options));
  auto writer = std::make_shared<ChatWriter>(stream, std::move(options));
  run_request(request, std::move(writer), stream, context, standard_error_body);
  return {};
}

}  // namespace

void register_route_openai_chat(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/chat/completions",
       .handler =
           [](const HttpRequest& http,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             if (auto done = chat_completions(http, stream, context); !done) {
               reply_error(*stream, done.error(), standard_error_body);
             }
           },
       .summary = "chat: messages and tools in, an assistant message out"});
}

}  // namespace rapid
