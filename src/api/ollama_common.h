// What the Ollama dialect's routes share: model names with tags, the fields of
// a request, the facts of a model, dates, and errors: {"error": "words"}.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/json_fields.h"
#include "api/route.h"
#include "base/json.h"
#include "chat/request.h"

namespace rapid {

// Versions of that API are asked for by number; this one has what we answer.
constexpr std::string_view kOllamaApiVersion = "0.13.0";

struct OllamaAsk {
  std::shared_ptr<Backend> backend;
  std::string model;  // as the client said
  chat::Request request;
  bool stream = true;
  // keep_alive: how long the model stays when it is idle, or that it goes.
  std::optional<double> ttl;
  bool unload = false;
  std::vector<std::string> ignored;
};

std::string ollama_error_body(int status, const Error& error);

// "2026-01-31T12:00:00.000000Z"; now, or of seconds since the epoch.
std::string ollama_time();
std::string ollama_time(int64_t seconds);

// Without the tag that every name has there.
std::string_view without_latest(std::string_view model);

// `model`, or `name` as older clients say; "" is the default one.
Result<std::string> ollama_model(const Fields& fields);
// With its tag or without. Errors: as backend_for().
Result<std::shared_ptr<Backend>> ollama_backend(
    const ApiContext& context, std::string_view model);

// model, options, format, think, stream, keep_alive, logprobs.
Result<OllamaAsk> read_ollama(
    const HttpRequest& http, const Json& body, const ApiContext& context);

// Fills request.messages from `messages`; none at all is no error.
Status read_ollama_messages(const Fields& fields, OllamaAsk& ask);

// Loads or unloads the model, and sets how long it stays, as `ask` has it.
// `reply` is called once, on any thread; it may be null.
using ReplyWhenHeld = std::function<void(const Status&)>;
void ollama_hold(
    const OllamaAsk& ask, const ApiContext& context, ReplyWhenHeld reply);

// {"format", "family", "families", "parameter_size", "quantization_level"}
Json ollama_details(const ModelCard& card);
std::string ollama_digest(const ModelCard& card);
Json ollama_capabilities(const ModelCard& card);

}  // namespace rapid
