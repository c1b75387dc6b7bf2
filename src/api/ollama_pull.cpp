// POST /api/pull and DELETE /api/delete: models of this machine's store.
#include <fmt/format.h>

#include <atomic>
#include <memory>

#include "api/model_check.h"
#include "api/ollama_common.h"
#include "api/openapi.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/turn_hash.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

namespace {

constexpr double kBetweenLines = 0.1;  // seconds

struct Pull {
  std::string model;
  bool stream = true;
  std::shared_ptr<ResponseStream> reply;
  std::shared_ptr<std::atomic<bool>> left =
      std::make_shared<std::atomic<bool>>(false);
};

void tell(const Pull& pull, const Json& line) {
  if (pull.stream) {
    pull.reply->line(dump_json(line));
  }
}

PullHooks hooks_of(const Pull& pull, const std::atomic<bool>& stop) {
  PullHooks hooks;
  hooks.accepts = [&pull](const std::string& architecture) {
    return check_model(pull.model, architecture);
  };
  hooks.cancelled = [&pull, &stop] { return stop || *pull.left; };
  hooks.note = [&pull](const std::string& text) {
    tell(pull, {{"status", text}});
  };
  struct Last {
    std::string what;
    double time = 0;
  };
  hooks.progress = [&pull, last = Last()](const PullProgress& p) mutable {
    const bool whole = p.total > 0 && p.done == p.total;
    if (p.what == last.what && !whole &&
        now_seconds() - last.time < kBetweenLines) {
      return;
    }
    last = {p.what, now_seconds()};
    Json line = {
        {"status", "pulling " + p.what},
        {"digest", "sha256:" + hash_of({p.source, p.what})},
        {"completed", p.done}};
    if (p.total > 0) {
      line["total"] = p.total;
    }
    tell(pull, line);
  };
  return hooks;
}

void fetch(const Pull& pull, const std::atomic<bool>& stop) {
  tell(pull, {{"status", "pulling manifest"}});
  const auto path =
      Store::open_default().pull(pull.model, hooks_of(pull, stop));
  if (!path) {
    spdlog::info("pull of {}: {}", pull.model, path.error().what);
    if (!pull.reply->events_begun()) {
      return reply_error(*pull.reply, path.error(), ollama_error_body);
    }
    pull.reply->line(ollama_error_body(0, path.error()));
    return pull.reply->end_events();
  }
  const Json success = {{"status", "success"}};
  if (!pull.stream) {
    return pull.reply->reply(200, dump_json(success), "application/json");
  }
  tell(pull, success);
  pull.reply->end_events();
}

Result<std::string> named(const Json& body) {
  RAPID_TRY(const std::string model, ollama_model(Fields(body)));
  const std::string plain(without_latest(model));
  if (plain.empty()) {
    return missing_field("model", "a name");
  }
  return plain;
}

Status pull_model(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  Pull pull{.reply = stream};
  RAPID_TRY(pull.model, named(body));
  RAPID_TRY(const auto streams, Fields(body).boolean("stream"));
  pull.stream = streams.value_or(true);
  // Known without asking anybody: an answer, not a line of a stream.
  if (const auto* entry = find_in_catalogue(pull.model)) {
    RAPID_CHECK(check_model(pull.model, entry->architecture));
  }
  if (pull.stream) {
    stream->start_lines();
  }
  stream->on_disconnect([left = pull.left] { *left = true; });
  context.background.run(
      [pull = std::move(pull)](const std::atomic<bool>& stop) {
        fetch(pull, stop);
      });
  return {};
}

Status remove_model(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    const ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  RAPID_TRY(const std::string model, named(body));
  if (backend_for(context, model)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("the model \"{}\" is being served", model),
        "remove it when the server has ended",
        "model"};
  }
  RAPID_CHECK(Store::open_default().remove(model));
  stream->reply(200, "", "application/json");
  return {};
}

template <typename Handle>
RouteHandler handler(Handle handle) {
  return [handle](
             const HttpRequest& http,
             const std::shared_ptr<ResponseStream>& stream,
             ApiContext& context) {
    if (const Status done = handle(http, stream, context); !done) {
      reply_error(*stream, done.error(), ollama_error_body);
    }
  };
}

}  // namespace

void register_route_ollama_pull(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/api/pull",
       .handler = handler(pull_model),
       .error_body = ollama_error_body,
       .body =
           [] {
             return body_schema(
                 {{"model", "string", "as the command pull has it", true},
                  {"stream", "boolean", "else true: progress as JSON lines"}});
           },
       .reply = [] { return json_shape(R"({"status": "string"})"); },
       .stream = "application/x-ndjson",
       .summary = "fetches a model, with its progress"});
  table.add(
      {.method = "DELETE",
       .path = "/api/delete",
       .handler = handler(remove_model),
       .error_body = ollama_error_body,
       .body =
           [] {
             return body_schema({{"model", "string", "a model's name", true}});
           },
       .summary = "removes a model that is not being served"});
}

}  // namespace rapid
