#include "api/responses_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "api/cache_report.h"
#include "api/json_fields.h"
#include "api/lane.h"
#include "api/openai_common.h"
#include "api/responses_input.h"

namespace rapid {

namespace {

// What would change the answer and is not served.
Status refuse_unserved(const Fields& fields) {
  if (fields.find("prompt") != nullptr) {
    return unsupported_field("prompt", "send its text as instructions");
  }
  if (fields.find("conversation") != nullptr) {
    return unsupported_field("conversation", "use previous_response_id");
  }
  return {};
}

// A member as it was sent, or the default.
Json stated(const Fields& fields, const char* name, Json otherwise = nullptr) {
  const Json* given = fields.find(name);
  return given != nullptr ? *given : std::move(otherwise);
}

Status read_sampling(const Fields& fields, chat::Request& request) {
  RAPID_CHECK(read_openai_sampling(fields, request));
  if (request.choices != 1) {
    return wrong_field("n", "1", *fields.find("n"));
  }
  RAPID_TRY(
      const auto limit, fields.integer("max_output_tokens", 1, INT32_MAX));
  if (limit) {
    request.max_tokens = static_cast<int>(*limit);
  }
  RAPID_TRY(const Json* text, fields.object("text"));
  if (text != nullptr) {
    RAPID_CHECK(read_openai_format(Fields(*text, "text"), "format", request));
  }
  return {};
}

Status read_reasoning(const Fields& fields, ResponsesRequest& out) {
  RAPID_TRY(const Json* reasoning, fields.object("reasoning"));
  if (reasoning != nullptr) {
    const Fields inner(*reasoning, "reasoning");
    RAPID_TRY(const auto effort, inner.string("effort"));
    if (effort) {
      set_reasoning_effort(out.chat, *effort);
    }
    for (const char* name : {"generate_summary", "summary"}) {
      RAPID_TRY(const auto summary, inner.string(name));
      out.reply.summary |= summary && *summary != "none";
    }
  }
  RAPID_TRY(const Json* kwargs, fields.object("chat_template_kwargs"));
  if (kwargs != nullptr) {
    out.chat.template_kwargs.update(*kwargs);
  }
  return {};
}

Status read_include(const Fields& fields, ResponsesRequest& out) {
  RAPID_TRY(const auto include, fields.strings("include"));
  const auto has = [&](std::string_view name) {
    return std::ranges::find(include, name) != include.end();
  };
  out.reply.sealed = has("reasoning.encrypted_content");
  RAPID_TRY(const auto top, fields.integer("top_logprobs", 0, 20));
  if (has("message.output_text.logprobs") || top.value_or(0) > 0) {
    out.chat.logprobs = static_cast<int>(top.value_or(0));
  }
  return {};
}

Status read_manners(const Fields& fields, ResponsesRequest& out) {
  ResponsesReply& reply = out.reply;
  RAPID_TRY(const auto stream, fields.boolean("stream"));
  reply.stream = stream.value_or(false);
  RAPID_TRY(const auto store, fields.boolean("store"));
  reply.store = store.value_or(true);
  RAPID_TRY(const auto background, fields.boolean("background"));
  reply.background = background.value_or(false);
  if (reply.background && !reply.store) {
    return wrong_field("background", "store: true beside it", Json(true));
  }
  RAPID_TRY(const auto truncation, fields.string("truncation"));
  if (truncation && *truncation != "auto" && *truncation != "disabled") {
    return wrong_field("truncation", "auto or disabled", Json(*truncation));
  }
  out.truncate = truncation == "auto";
  RAPID_TRY(const Json* metadata, fields.object("metadata"));
  if (metadata != nullptr) {
    for (const auto& [key, value] : metadata->items()) {
      if (!value.is_string()) {
        return wrong_field("metadata." + key, "a string", value);
      }
    }
  }
  return {};
}

// Instructions, then the stored turns, then this input.
Status read_conversation(
    const Fields& fields,
    const std::string& owner,
    ResponseStore& store,
    ResponsesRequest& out) {
  ResponsesReply& reply = out.reply;
  Json items = Json::array();
  RAPID_TRY(const auto previous, fields.string("previous_response_id"));
  if (previous) {
    RAPID_TRY(const auto turns, store.conversation(*previous, owner));
    for (const StoredResponse& turn : turns) {
      for (const Json* list : {&turn.input, &turn.response.at("output")}) {
        items.insert(items.end(), list->begin(), list->end());
      }
    }
    reply.stored.previous = *previous;
  }
  if (const Json* input = fields.find("input")) {
    RAPID_TRY(
        reply.stored.input,
        read_responses_input(
            *input,
            {.response_id = reply.stored.id,
             .find =
                 [&](const std::string& id) { return store.item(id, owner); }},
            reply.notes));
    items.insert(
        items.end(), reply.stored.input.begin(), reply.stored.input.end());
  } else {
    reply.stored.input = Json::array();
  }
  RAPID_TRY(const auto instructions, fields.string("instructions"));
  if (instructions && !instructions->empty()) {
    out.chat.messages.push_back({.role = "system", .content = *instructions});
  }
  if (items.empty()) {
    return fields.find("input") == nullptr
               ? missing_field("input", "a string or a list of items")
               : wrong_field(
                     "input", "at least one item", *fields.find("input"));
  }
  for (chat::Message& message : messages_of_items(items)) {
    out.chat.messages.push_back(std::move(message));
  }
  return {};
}

// The response before anything has happened; every field that clients know.
Json response_json(
    const Fields& fields, const ModelCard& card, const ResponsesRequest& out) {
  const ResponsesReply& reply = out.reply;
  Json text = stated(fields, "text", Json::object());
  if (!text.contains("format") || text["format"].is_null()) {
    text["format"] = {{"type", "text"}};
  }
  Json reasoning = stated(fields, "reasoning", Json::object());
  for (const char* name : {"effort", "summary"}) {
    reasoning.emplace(name, nullptr);
  }
  return {
      {"id", reply.stored.id},
      {"object", "response"},
      {"created_at", static_cast<int64_t>(std::time(nullptr))},
      {"status", "in_progress"},
      {"background", reply.background},
      {"completed_at", nullptr},
      {"error", nullptr},
      {"incomplete_details", nullptr},
      {"instructions", stated(fields, "instructions")},
      {"max_output_tokens", stated(fields, "max_output_tokens")},
      {"max_tool_calls", stated(fields, "max_tool_calls")},
      {"model", card.id()},
      {"output", Json::array()},
      {"parallel_tool_calls", out.chat.parallel_calls},
      {"previous_response_id", stated(fields, "previous_response_id")},
      {"prompt_cache_key", stated(fields, "prompt_cache_key")},
      {"reasoning", std::move(reasoning)},
      {"safety_identifier", stated(fields, "safety_identifier")},
      {"service_tier", "default"},
      {"store", reply.store},
      {"temperature", stated(fields, "temperature")},
      {"text", std::move(text)},
      {"tool_choice", reply.tools.choice},
      {"tools", reply.tools.list},
      {"top_logprobs", stated(fields, "top_logprobs", 0)},
      {"top_p", stated(fields, "top_p")},
      {"truncation", out.truncate ? "auto" : "disabled"},
      {"usage", nullptr},
      {"user", stated(fields, "user")},
      {"metadata", stated(fields, "metadata", Json::object())}};
}

}  // namespace

Result<ResponsesRequest> read_responses_request(
    const HttpRequest& http,
    const Json& body,
    const ModelCard& card,
    const ApiContext& context) {
  const Fields fields(body);
  ResponseStore& store = *context.responses;
  ResponsesRequest out;
  out.hosted = hosted_offer(context);
  ResponsesReply& reply = out.reply;
  reply.stored.id = ResponseStore::new_id();
  reply.stored.owner = http.owner;
  RAPID_CHECK(refuse_unserved(fields));
  RAPID_CHECK(read_manners(fields, out));
  RAPID_TRY(
      reply.tools,
      read_responses_tools(fields, out.chat, out.hosted, reply.notes));
  RAPID_CHECK(read_conversation(fields, http.owner, store, out));
  RAPID_CHECK(read_sampling(fields, out.chat));
  RAPID_CHECK(read_reasoning(fields, out));
  RAPID_CHECK(read_include(fields, out));
  out.chat.lane = request_lane(http, body);
  RAPID_TRY(reply.explain_cache, read_cache_fields(http, fields, out.chat));
  for (const char* name :
       {"user", "safety_identifier", "prompt_cache_key", "service_tier"}) {
    RAPID_CHECK(fields.string(name));
  }
  RAPID_TRY(const auto most, fields.integer("max_tool_calls", 1, INT32_MAX));
  out.hosted.most_calls = static_cast<int>(most.value_or(0));
  reply.stored.response = response_json(fields, card, out);
  return out;
}

Status fit_to_context(const Backend& backend, ResponsesRequest& request) {
  const int context = backend.card().context_length;
  if (context <= 0) {
    return {};  // the model was never loaded: its limits are not known yet
  }
  const int room = std::min(
      request.chat.max_tokens.value_or(context / 8), std::max(context / 4, 1));
  const std::vector<chat::Message> all = request.chat.messages;
  const auto is_system = [](const chat::Message& message) {
    return message.role == "system" || message.role == "developer";
  };
  const size_t head = static_cast<size_t>(
      std::ranges::find_if_not(all, is_system) - all.begin());
  std::vector<size_t> starts = {head};  // where the rest may begin
  for (size_t i = head + 1; i < all.size(); ++i) {
    if (all[i].role == "user") {
      starts.push_back(i);
    }
  }
  const auto cut = [&](size_t turns) {
    auto& left = request.chat.messages;
    left.assign(all.begin(), all.begin() + static_cast<long>(head));
    left.insert(
        left.end(), all.begin() + static_cast<long>(starts[turns]), all.end());
  };
  const auto fits = [&](size_t turns) -> Result<bool> {
    cut(turns);
    RAPID_TRY(const auto prompts, backend.tokenise(request.chat));
    return static_cast<int>(prompts.at(0).size()) + room <= context;
  };
  size_t low = 0;  // the fewest turns to leave out
  size_t high = starts.size() - 1;
  RAPID_TRY(const bool whole, fits(0));
  if (whole) {
    return {};
  }
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    RAPID_TRY(const bool enough, fits(middle));
    (enough ? high : low) = enough ? middle : middle + 1;
  }
  cut(low);
  if (low > 0) {
    request.reply.notes.push_back(fmt::format(
        "truncation: the first {} messages of the conversation are left out",
        starts[low] - head));
  }
  return {};
}

}  // namespace rapid
