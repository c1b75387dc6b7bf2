#include "api/anthropic_writer.h"

#include <utility>

#include "api/anthropic_common.h"
#include "cache/turn_hash.h"

namespace rapid {
namespace {

// Opaque to clients, which only send it back; some drop thoughts without one.
std::string signature_of(const std::string& thought) {
  return "rapid-mlx-" + hash_of({thought}).substr(0, 32);
}

}  // namespace

AnthropicWriter::AnthropicWriter(
    std::shared_ptr<ResponseStream> stream, AnthropicReplyOptions options)
    : stream_(std::move(stream)),
      options_(std::move(options)),
      notes_(1, options_.explain_cache) {
  notes_.ignored(options_.ignored);
}

void AnthropicWriter::on(const chat::Event& event) {
  if (!std::holds_alternative<chat::ToolRun>(event)) {  // blocks tell of it
    notes_.on(event);
  }
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    prompt_tokens_ = started->prompt_tokens;
    notes_.send_headers(*stream_);
    if (options_.stream) {
      stream_->header("x-accel-buffering", "no");
      stream_->start_events();
      stream_->note("waiting");
    }
  } else if (const auto* progress = std::get_if<chat::Progress>(&event)) {
    cached_tokens_ = progress->cached;
    if (progress->done < progress->total) {
      begin();  // it will take a while: pings need a message
    }
  } else if (const auto* delta = std::get_if<chat::Delta>(&event)) {
    const bool thought = delta->kind == chat::Delta::Kind::reasoning;
    text(thought ? Block::thinking : Block::text, delta->text);
  } else if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
    text(Block::text, rejected->raw);
  } else if (const auto* made = std::get_if<chat::ToolCallEvent>(&event)) {
    call(made->call);
  } else if (const auto* run_here = std::get_if<chat::ToolRun>(&event)) {
    run(*run_here);
  } else if (const auto* end = std::get_if<chat::Finished>(&event)) {
    finished(*end);
  } else if (const auto* last = std::get_if<chat::Done>(&event)) {
    done(last->usage);
  } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
    fail(failed->error);
  }
}

void AnthropicWriter::waiting(const std::string& why) {
  if (options_.stream) {
    stream_->start_events();
    stream_->note(why);
  }
}

// What was read from the cache and what was not add up to the prompt.
Json AnthropicWriter::usage(int prompt, int cached) const {
  return {
      {"input_tokens", prompt - cached},
      {"cache_creation_input_tokens", 0},
      {"cache_read_input_tokens", cached},
      {"output_tokens", 0}};
}

void AnthropicWriter::begin() {
  if (std::exchange(begun_, true)) {
    return;
  }
  emit(
      {{"type", "message_start"},
       {"message",
        {{"id", options_.id},
         {"type", "message"},
         {"role", "assistant"},
         {"model", options_.model},
         {"content", Json::array()},
         {"stop_reason", nullptr},
         {"stop_sequence", nullptr},
         {"usage", usage(prompt_tokens_, cached_tokens_)}}}});
  if (options_.stream) {
    const std::string ping = R"({"type":"ping"})";
    stream_->named_event("ping", ping);
    stream_->keepalive_event("ping", [ping] { return ping; });
  }
}

void AnthropicWriter::open(Block kind, Json content_block) {
  begin();
  close();
  block_ = kind;
  emit(
      {{"type", "content_block_start"},
       {"index", ++index_},
       {"content_block", std::move(content_block)}});
}

void AnthropicWriter::delta(Json delta) {
  emit(
      {{"type", "content_block_delta"},
       {"index", index_},
       {"delta", std::move(delta)}});
}

void AnthropicWriter::close() {
  if (block_ == Block::none) {
    return;
  }
  if (block_ == Block::thinking) {
    delta({{"type", "signature_delta"}, {"signature", signature_of(thought_)}});
    thought_.clear();
  }
  block_ = Block::none;
  emit({{"type", "content_block_stop"}, {"index", index_}});
}

void AnthropicWriter::text(Block kind, const std::string& text) {
  if (text.empty()) {
    return;
  }
  const bool thought = kind == Block::thinking;
  if (block_ != kind) {
    open(
        kind,
        thought
            ? Json{{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}
            : Json{{"type", "text"}, {"text", ""}});
  }
  if (thought) {
    thought_ += text;
  }
  if (!thought) {
    delta({{"type", "text_delta"}, {"text", text}});
  } else if (!options_.omit_thinking) {
    delta({{"type", "thinking_delta"}, {"thinking", text}});
  }
}

void AnthropicWriter::call(const chat::ToolCall& call) {
  open(
      Block::whole,
      {{"type", "tool_use"},
       {"id", call.id},
       {"name", call.name},
       {"input", Json::object()}});
  delta({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
  close();
}

// A call that ran here: a block when it begins, one with its result.
void AnthropicWriter::run(const chat::ToolRun& run) {
  if (!run.result) {
    open(
        Block::whole,
        {{"type", "mcp_tool_use"},
         {"id", run.call.id},
         {"name", run.tool},
         {"server_name", run.server},
         {"input", Json::object()}});
    delta({{"type", "input_json_delta"}, {"partial_json", run.call.arguments}});
  } else {
    open(
        Block::whole,
        {{"type", "mcp_tool_result"},
         {"tool_use_id", run.call.id},
         {"is_error", run.is_error},
         {"content",
          Json::array({{{"type", "text"}, {"text", *run.result}}})}});
  }
  close();
}

void AnthropicWriter::finished(const chat::Finished& finished) {
  using Reason = chat::Finished::Reason;
  close();
  std::string reason = "end_turn";
  if (finished.reason == Reason::length) {
    reason = "max_tokens";
  } else if (finished.reason == Reason::tool_calls) {
    reason = "tool_use";
  } else if (!finished.stop.empty()) {
    reason = "stop_sequence";
  }
  end_ = {
      {"stop_reason", reason},
      {"stop_sequence",
       reason == "stop_sequence" ? Json(finished.stop) : Json(nullptr)}};
}

void AnthropicWriter::done(const chat::Usage& total) {
  prompt_tokens_ = total.prompt_tokens;
  cached_tokens_ = total.cached_tokens;
  begin();
  Json sum = usage(total.prompt_tokens, total.cached_tokens);
  sum["output_tokens"] = total.completion_tokens;
  sum["output_tokens_details"] = {{"thinking_tokens", total.reasoning_tokens}};
  Json last = {
      {"type", "message_delta"},
      {"delta", std::move(end_)},
      {"usage", std::move(sum)}};
  if (Json ours = notes_.json(&total); !ours.empty()) {
    last["rapid_mlx"] = std::move(ours);
  }
  emit(std::move(last));
  emit({{"type", "message_stop"}});
  if (options_.stream) {
    return stream_->end_events();
  }
  stream_->reply(200, dump_json(whole_), "application/json");
}

void AnthropicWriter::fail(const Error& error) {
  if (!stream_->events_begun()) {
    return reply_error(*stream_, error, anthropic_error_body);
  }
  stream_->named_event(
      "error", anthropic_error_body(http_status(error.code), error));
  stream_->end_events();
}

void AnthropicWriter::emit(Json event) {
  if (!options_.stream) {
    return fold(event);
  }
  stream_->named_event(
      event["type"].get_ref<const std::string&>(), dump_json(event));
}

void AnthropicWriter::fold(const Json& event) {
  const std::string& type = event["type"].get_ref<const std::string&>();
  const auto append = [](Json& text, const Json& more) {
    text.get_ref<std::string&>() += more.get_ref<const std::string&>();
  };
  if (type == "message_start") {
    whole_ = event["message"];
  } else if (type == "content_block_start") {
    whole_["content"].push_back(event["content_block"]);
  } else if (type == "content_block_delta") {
    const Json& delta = event["delta"];
    Json& block = whole_["content"].back();
    for (const char* key : {"text", "thinking", "signature"}) {
      if (delta.contains(key)) {
        append(block[key], delta[key]);
      }
    }
    if (delta.contains("partial_json")) {
      const auto input = parse_json(delta["partial_json"].get<std::string>());
      block["input"] = input && input->is_object() ? *input : Json::object();
    }
  } else if (type == "message_delta") {
    whole_.update(event["delta"]);
    whole_["usage"] = event["usage"];
    if (event.contains("rapid_mlx")) {
      whole_["rapid_mlx"] = event["rapid_mlx"];
    }
  }
}

}  // namespace rapid
