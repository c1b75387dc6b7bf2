#include "api/ollama_writer.h"

#include <algorithm>
#include <utility>

#include "api/openai_logprobs.h"
#include "api/openapi.h"
#include "base/clock.h"

namespace rapid {
namespace {

int64_t nanoseconds(double seconds) {
  return std::max<int64_t>(1, static_cast<int64_t>(seconds * 1e9));
}

Json envelope(const OllamaReplyOptions& options) {
  return {{"model", options.model}, {"created_at", ollama_time()}};
}

// What a piece of a reply always has.
Json empty_body(const OllamaReplyOptions& options) {
  return options.chat ? Json{{"role", "assistant"}, {"content", ""}}
                      : Json{{"response", ""}};
}

void add_body(
    Json& reply, Json body, const OllamaReplyOptions& options, bool done) {
  if (options.chat) {
    reply["message"] = std::move(body);
  } else {
    reply.update(body);
  }
  reply["done"] = done;
}

}  // namespace

Json ollama_body(std::initializer_list<BodyField> more) {
  Json out = body_schema(
      {{"model", "string", "any name of a loaded model"},
       {"stream", "boolean", "else true: JSON lines"},
       {"options", "object", "temperature, num_predict, seed, stop ..."},
       {"format", "string|object", "json, or a JSON Schema"},
       {"think", "boolean|string", "true, false, low, medium, high"},
       {"keep_alive", "number|string", "how long the model stays"},
       {"logprobs", "boolean", "of the answer's tokens"},
       {"top_logprobs", "integer", "alternatives, up to 20"}});
  const Json own = body_schema(more);
  out["properties"].update(own["properties"]);
  out["required"] = own["required"];
  return out;
}

void reply_ollama_hold(
    const OllamaAsk& ask,
    const OllamaReplyOptions& options,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  const char* reason = ask.unload ? "unload" : "load";
  ollama_hold(ask, context, [options, stream, reason](const Status& done) {
    if (!done) {
      return reply_error(*stream, done.error(), ollama_error_body);
    }
    Json reply = envelope(options);
    add_body(reply, empty_body(options), options, true);
    reply["done_reason"] = reason;
    stream->reply(200, dump_json(reply), "application/json");
  });
}

void run_ollama(
    const OllamaAsk& ask,
    OllamaReplyOptions options,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  run_request(
      ask.request,
      std::make_shared<OllamaWriter>(stream, std::move(options)),
      stream,
      ask.backend,
      ollama_error_body);
  if (ask.ttl) {
    ollama_hold(ask, context, nullptr);  // it waits for the answer
  }
}

OllamaWriter::OllamaWriter(
    std::shared_ptr<ResponseStream> stream, OllamaReplyOptions options)
    : stream_(std::move(stream)),
      options_(std::move(options)),
      notes_(1, false),
      started_(now_seconds()),
      whole_(empty_body(options_)) {
  notes_.ignored(options_.ignored);
}

void OllamaWriter::on(const chat::Event& event) {
  notes_.on(event);
  const char* content = options_.chat ? "content" : "response";
  if (std::holds_alternative<chat::Started>(event)) {
    notes_.send_headers(*stream_);
    if (options_.stream) {
      stream_->header("x-accel-buffering", "no");
      stream_->start_lines();
    }
  } else if (const auto* delta = std::get_if<chat::Delta>(&event)) {
    const bool thought = delta->kind == chat::Delta::Kind::reasoning;
    text(thought ? "thinking" : content, delta->text, delta->logprobs);
  } else if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
    text(content, rejected->raw);
  } else if (const auto* made = std::get_if<chat::ToolCallEvent>(&event)) {
    call(*made);
  } else if (const auto* end = std::get_if<chat::Finished>(&event)) {
    reason_ = end->reason == chat::Finished::Reason::length ? "length" : "stop";
  } else if (const auto* last = std::get_if<chat::Done>(&event)) {
    done(last->usage);
  } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
    fail(failed->error);
  }
}

void OllamaWriter::waiting(const std::string&) {
  if (options_.stream) {
    stream_->start_lines();
  }
}

void OllamaWriter::text(
    const char* key,
    const std::string& text,
    const std::vector<chat::TokenLogprob>& logprobs) {
  if (text.empty() && logprobs.empty()) {
    return;
  }
  Json body = empty_body(options_);
  body[key] = text;
  emit(
      std::move(body),
      logprobs.empty() ? Json() : openai_logprob_entries(logprobs));
}

void OllamaWriter::call(const chat::ToolCallEvent& made) {
  const auto arguments = parse_json(made.call.arguments);
  Json body = empty_body(options_);
  body["tool_calls"] = Json::array(
      {{{"id", made.call.id},
        {"function",
         {{"index", made.index},
          {"name", made.call.name},
          {"arguments",
           arguments && arguments->is_object() ? *arguments
                                               : Json::object()}}}}});
  emit(std::move(body), nullptr);
}

void OllamaWriter::emit(Json body, Json logprobs) {
  if (options_.stream) {
    Json line = envelope(options_);
    add_body(line, std::move(body), options_, false);
    if (!logprobs.is_null()) {
      line["logprobs"] = std::move(logprobs);
    }
    return stream_->line(dump_json(line));
  }
  const auto append = [](Json& list, Json& more) {
    for (Json& entry : more) {
      list.push_back(std::move(entry));
    }
  };
  for (auto& [key, value] : body.items()) {
    if (value.is_array()) {
      append(whole_[key], value);
    } else if (key != "role" && whole_.contains(key)) {
      whole_[key].get_ref<std::string&>() += value.get_ref<std::string&>();
    } else {
      whole_[key] = std::move(value);
    }
  }
  append(logprobs_, logprobs);
}

void OllamaWriter::done(const chat::Usage& usage) {
  Json last = envelope(options_);
  add_body(
      last,
      options_.stream ? empty_body(options_) : std::move(whole_),
      options_,
      true);
  if (!logprobs_.is_null()) {
    last["logprobs"] = std::move(logprobs_);
  }
  last["done_reason"] = reason_;
  last["total_duration"] = nanoseconds(now_seconds() - started_);
  last["load_duration"] = 0;  // it was here
  last["prompt_eval_count"] = usage.prompt_tokens;
  last["prompt_eval_duration"] = nanoseconds(usage.prefill_seconds);
  last["eval_count"] = usage.completion_tokens;
  last["eval_duration"] = nanoseconds(usage.decode_seconds);
  last["rapid_mlx"] = notes_.json(&usage);
  last["rapid_mlx"]["cached_tokens"] = usage.cached_tokens;
  if (!options_.stream) {
    return stream_->reply(200, dump_json(last), "application/json");
  }
  stream_->line(dump_json(last));
  stream_->end_events();
}

void OllamaWriter::fail(const Error& error) {
  if (!stream_->events_begun()) {
    return reply_error(*stream_, error, ollama_error_body);
  }
  stream_->line(ollama_error_body(http_status(error.code), error));
  stream_->end_events();
}

}  // namespace rapid
