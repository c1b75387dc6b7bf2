#include "api/responses_writer.h"

#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "api/openai_logprobs.h"
#include "api/responses_input.h"

namespace rapid {

namespace {

Json usage_json(const chat::Usage& usage) {
  return {
      {"input_tokens", usage.prompt_tokens},
      {"input_tokens_details",
       {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
      {"output_tokens", usage.completion_tokens},
      {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json text_part(const std::string& text, const Json& logprobs) {
  return {
      {"type", "output_text"},
      {"text", text},
      {"annotations", Json::array()},
      {"logprobs", logprobs}};
}

Json reasoning_part(const std::string& text) {
  return {{"type", "reasoning_text"}, {"text", text}};
}

Json summary_part(const std::string& text) {
  return {{"type", "summary_text"}, {"text", text}};
}

// One of the codes that the dialect has.
const char* error_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::busy:
      return "rate_limit_exceeded";
    case ErrorCode::invalid_argument:
    case ErrorCode::context_length:
    case ErrorCode::too_large:
    case ErrorCode::unsupported:
      return "invalid_prompt";
    default:
      return "server_error";
  }
}

}  // namespace

std::string ResponseDraft::event(std::string_view type, Json fields) {
  Json event = {{"type", type}, {"sequence_number", next++}};
  event.update(fields);
  return dump_json(event);
}

ResponsesWriter::ResponsesWriter(
    std::shared_ptr<ResponseRun> stream,
    ResponsesReply reply,
    std::shared_ptr<ResponseStore> store)
    : stream_(std::move(stream)),
      reply_(std::move(reply)),
      store_(std::move(store)),
      notes_(1, reply_.explain_cache) {
  notes_.ignored(reply_.notes);
  draft_->response = std::move(reply_.stored.response);
  if (!reply_.stream) {
    return;
  }
  stream_->keepalive_event("response.in_progress", [draft = draft_] {
    // Whoever holds it is about to send something.
    std::unique_lock lock(draft->mutex, std::try_to_lock);
    return lock && draft->begun
               ? draft->event(
                     "response.in_progress", {{"response", draft->response}})
               : std::string();
  });
}

void ResponsesWriter::on(const chat::Event& event) {
  std::lock_guard lock(draft_->mutex);
  if (!ended_) {
    if (!std::holds_alternative<chat::ToolRun>(event)) {  // items tell of it
      notes_.on(event);
    }
    take(event);
  }
}

void ResponsesWriter::waiting(const std::string& why) {
  if (reply_.stream) {
    stream_->start_events();
    stream_->note(why);
  }
}

void ResponsesWriter::take(const chat::Event& event) {
  using chat::Delta;
  if (std::holds_alternative<chat::Started>(event)) {
    start();
  } else if (const auto* progress = std::get_if<chat::Progress>(&event)) {
    begin();
    stream_->note(
        progress->done < progress->total
            ? fmt::format(
                  "{} of {} prompt tokens", progress->done, progress->total)
            : "");
  } else if (const auto* delta = std::get_if<Delta>(&event)) {
    const bool thought = delta->kind == Delta::Kind::reasoning;
    text(thought ? Kind::reasoning : Kind::message, *delta);
  } else if (const auto* made = std::get_if<chat::ToolCallEvent>(&event)) {
    call(made->call);
  } else if (const auto* run_here = std::get_if<chat::ToolRun>(&event)) {
    run(*run_here);
  } else if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
    text(Kind::message, {.text = rejected->raw});
  } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    cut_ = finished->reason == chat::Finished::Reason::length;
  } else if (const auto* done = std::get_if<chat::Done>(&event)) {
    finish(done->usage);
  } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
    fail(failed->error);
  }
}

void ResponsesWriter::start() {
  notes_.send_headers(*stream_);
  if (!reply_.stream) {
    return;
  }
  stream_->header("x-accel-buffering", "no");
  stream_->start_events();
  stream_->note("waiting");
}

// ---- events

void ResponsesWriter::begin() {
  if (!draft_->begun) {
    draft_->begun = true;
    for (const char* type : {"response.created", "response.in_progress"}) {
      emit(type, {{"response", draft_->response}});
    }
  }
}

void ResponsesWriter::emit(std::string_view type, Json fields) {
  begin();
  if (reply_.stream) {
    stream_->named_event(type, draft_->event(type, std::move(fields)));
  }
}

void ResponsesWriter::emit_item(std::string_view type, Json more) {
  Json fields = {{"item_id", item_}, {"output_index", place()}};
  fields.update(more);
  emit(type, std::move(fields));
}

int ResponsesWriter::place() const {
  return static_cast<int>(draft_->response["output"].size());
}

std::string ResponsesWriter::item_id(const char* kind) const {
  return ResponseStore::item_id(
      kind, reply_.stored.id, std::to_string(place()));
}

// ---- text and reasoning

void ResponsesWriter::text(Kind kind, const chat::Delta& delta) {
  if (delta.text.empty() && delta.logprobs.empty()) {
    return;
  }
  open(kind);
  text_ += delta.text;
  if (kind == Kind::message) {
    Json entries = openai_logprob_entries(delta.logprobs);
    logprobs_.insert(logprobs_.end(), entries.begin(), entries.end());
    emit_item(
        "response.output_text.delta",
        {{"content_index", 0},
         {"delta", delta.text},
         {"logprobs", std::move(entries)}});
  } else {
    emit_item(
        reply_.summary ? "response.reasoning_summary_text.delta"
                       : "response.reasoning_text.delta",
        {{reply_.summary ? "summary_index" : "content_index", 0},
         {"delta", delta.text}});
  }
}

void ResponsesWriter::open(Kind kind) {
  if (kind_ == kind) {
    return;
  }
  close("completed");
  kind_ = kind;
  text_.clear();
  logprobs_ = Json::array();
  const bool message = kind == Kind::message;
  item_ = item_id(message ? "msg" : "rs");
  Json item = {{"id", item_}, {"type", message ? "message" : "reasoning"}};
  item["status"] = "in_progress";
  if (message) {
    item["role"] = "assistant";
    item["content"] = Json::array();
  } else {
    item["summary"] = Json::array();
  }
  emit(
      "response.output_item.added",
      {{"output_index", place()}, {"item", std::move(item)}});
  if (!message && reply_.summary) {
    emit_item(
        "response.reasoning_summary_part.added",
        {{"summary_index", 0}, {"part", summary_part("")}});
  } else {
    emit_item(
        "response.content_part.added",
        {{"content_index", 0},
         {"part",
          message ? text_part("", Json::array()) : reasoning_part("")}});
  }
}

void ResponsesWriter::close(const char* status) {
  if (kind_ == Kind::message) {
    close_message(status);
  } else if (kind_ == Kind::reasoning) {
    close_reasoning(status);
  }
  kind_ = Kind::none;
}

void ResponsesWriter::close_message(const char* status) {
  const Json part = text_part(text_, logprobs_);
  emit_item(
      "response.output_text.done",
      {{"content_index", 0}, {"text", text_}, {"logprobs", logprobs_}});
  emit_item(
      "response.content_part.done", {{"content_index", 0}, {"part", part}});
  Json item = {
      {"id", item_},
      {"type", "message"},
      {"status", status},
      {"role", "assistant"},
      {"content", Json::array({part})}};
  finish_item(std::move(item));
}

void ResponsesWriter::close_reasoning(const char* status) {
  Json item = {
      {"id", item_},
      {"type", "reasoning"},
      {"status", status},
      {"summary", Json::array()}};
  if (reply_.summary) {
    const Json part = summary_part(text_);
    emit_item(
        "response.reasoning_summary_text.done",
        {{"summary_index", 0}, {"text", text_}});
    emit_item(
        "response.reasoning_summary_part.done",
        {{"summary_index", 0}, {"part", part}});
    item["summary"].push_back(part);
  } else {
    const Json part = reasoning_part(text_);
    emit_item(
        "response.reasoning_text.done",
        {{"content_index", 0}, {"text", text_}});
    emit_item(
        "response.content_part.done", {{"content_index", 0}, {"part", part}});
    item["content"] = Json::array({part});
  }
  if (reply_.sealed) {
    item["encrypted_content"] = sealed_reasoning(text_);
  }
  finish_item(std::move(item));
}

// ---- calls

void ResponsesWriter::call(const chat::ToolCall& call) {
  close("completed");
  const auto found = reply_.tools.by_name.find(call.name);
  const ResponsesTool tool = found != reply_.tools.by_name.end()
                                 ? found->second
                                 : ResponsesTool{.name = call.name};
  const char* key = tool.custom ? "input" : "arguments";
  const std::string value =
      tool.custom ? custom_tool_input(call.arguments) : call.arguments;
  item_ = item_id(tool.custom ? "ctc" : "fc");
  Json item = {
      {"id", item_},
      {"type", tool.custom ? "custom_tool_call" : "function_call"},
      {"status", "in_progress"},
      {"call_id", call.id},
      {"name", tool.name}};
  if (!tool.name_space.empty()) {
    item["namespace"] = tool.name_space;
  }
  item[key] = "";
  emit(
      "response.output_item.added",
      {{"output_index", place()}, {"item", item}});
  const std::string base = tool.custom ? "response.custom_tool_call_input"
                                       : "response.function_call_arguments";
  emit_item(base + ".delta", {{"delta", value}});
  Json done = {{key, value}};
  if (!tool.custom) {
    done["name"] = tool.name;
  }
  emit_item(base + ".done", std::move(done));
  item["status"] = "completed";
  item[key] = value;
  finish_item(std::move(item));
}

// An item of its own: open while the call runs.
void ResponsesWriter::run(const chat::ToolRun& run) {
  const std::string& arguments = run.call.arguments;
  Json item = {
      {"id", item_id("mcp")},
      {"type", "mcp_call"},
      {"status", "in_progress"},
      {"server_label", run.server},
      {"name", run.tool},
      {"arguments", run.result ? arguments : ""},
      {"output", nullptr},
      {"error", nullptr},
      {"approval_request_id", nullptr}};
  if (!run.result) {
    close("completed");
    item["id"] = item_ = item_id("mcp");
    emit(
        "response.output_item.added",
        {{"output_index", place()}, {"item", std::move(item)}});
    emit_item("response.mcp_call.in_progress", Json::object());
    emit_item("response.mcp_call_arguments.delta", {{"delta", arguments}});
    emit_item("response.mcp_call_arguments.done", {{"arguments", arguments}});
    return;
  }
  emit_item(
      run.is_error ? "response.mcp_call.failed" : "response.mcp_call.completed",
      Json::object());
  item["status"] = run.is_error ? "failed" : "completed";
  item["output"] = *run.result;
  if (run.is_error) {
    item["error"] = {
        {"type", "mcp_tool_execution_error"}, {"content", *run.result}};
  }
  finish_item(std::move(item));
}

void ResponsesWriter::finish_item(Json item) {
  emit(
      "response.output_item.done", {{"output_index", place()}, {"item", item}});
  draft_->response["output"].push_back(std::move(item));
}

// ---- the end

void ResponsesWriter::end(const char* status, const chat::Usage* usage) {
  ended_ = true;
  Json& response = draft_->response;
  response["status"] = status;
  response["completed_at"] = static_cast<int64_t>(std::time(nullptr));
  if (usage != nullptr) {
    response["usage"] = usage_json(*usage);
  }
  if (Json ours = notes_.json(usage); !ours.empty()) {
    response["rapid_mlx"] = std::move(ours);
  }
  if (reply_.store) {  // before the client knows that it may go on
    reply_.stored.response = response;
    store_->put(reply_.stored);
  }
}

void ResponsesWriter::send_end(const char* type) {
  if (reply_.stream) {
    emit(type, {{"response", draft_->response}});
    stream_->end_events();
  } else {
    stream_->reply(200, dump_json(draft_->response), "application/json");
  }
}

void ResponsesWriter::finish(const chat::Usage& usage) {
  close(cut_ ? "incomplete" : "completed");
  if (cut_) {
    draft_->response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  }
  end(cut_ ? "incomplete" : "completed", &usage);
  send_end(cut_ ? "response.incomplete" : "response.completed");
}

void ResponsesWriter::fail(const Error& error) {
  const bool told = reply_.stream && stream_->events_begun();
  if (told) {
    close("incomplete");
  }
  draft_->response["error"] = {
      {"code", error_code(error.code)}, {"message", error.what}};
  if (told || reply_.background) {
    end("failed", nullptr);
  }
  ended_ = true;
  if (told) {
    send_end("response.failed");
  } else {
    reply_error(*stream_, error, standard_error_body);
  }
}

Json ResponsesWriter::snapshot() {
  std::lock_guard lock(draft_->mutex);
  return draft_->response;
}

void ResponsesWriter::cancel() {
  stream_->stop();  // not under the mutex: it waits for the sink
  std::lock_guard lock(draft_->mutex);
  if (!ended_) {
    close("incomplete");
    end("cancelled", nullptr);
    send_end("response.incomplete");
  }
}

}  // namespace rapid
