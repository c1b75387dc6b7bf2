#include "engine/request_json.h"

#include <utility>

#include "cache/turn_hash.h"

namespace rapid {
namespace {

template <typename T>
void put(Json& out, const char* key, const std::optional<T>& value) {
  if (value) {
    out[key] = *value;
  }
}
void put(Json& out, const char* key, const std::string& value) {
  if (!value.empty()) {
    out[key] = value;
  }
}

Json message_json(const chat::Message& message) {
  Json out = {{"role", message.role}, {"content", message.content}};
  put(out, "reasoning", message.reasoning);
  for (const chat::ToolCall& call : message.tool_calls) {
    out["tool_calls"].push_back(
        {{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  }
  put(out, "tool_call_id", message.tool_call_id);
  put(out, "name", message.name);
  return out;
}

Json tool_json(const chat::Tool& tool) {
  if (!tool.declaration.is_null()) {
    return tool.declaration;
  }
  return {
      {"name", tool.name},
      {"description", tool.description},
      {"parameters", tool.parameters}};
}

Json choice_json(const chat::ToolChoice& choice) {
  constexpr const char* kNames[] = {"auto", "none", "required", "named"};
  Json out = {{"kind", kNames[static_cast<int>(choice.kind)]}};
  put(out, "name", choice.name);
  return out;
}

Json sampling_json(const chat::Sampling& sampling) {
  Json out = Json::object();
  put(out, "temperature", sampling.temperature);
  put(out, "top_p", sampling.top_p);
  put(out, "top_k", sampling.top_k);
  put(out, "min_p", sampling.min_p);
  put(out, "repetition_penalty", sampling.repetition_penalty);
  put(out, "presence_penalty", sampling.presence_penalty);
  put(out, "frequency_penalty", sampling.frequency_penalty);
  for (const auto& [id, bias] : sampling.logit_bias) {
    out["logit_bias"][std::to_string(id)] = bias;
  }
  put(out, "seed", sampling.seed);
  return out;
}

// What was said.
Json conversation_json(const chat::Request& request) {
  Json out = Json::object();
  for (const chat::Message& message : request.messages) {
    out["messages"].push_back(message_json(message));
  }
  for (const chat::Request::Prompt& prompt : request.prompts) {
    std::visit(
        [&](const auto& each) { out["prompts"].push_back(each); }, prompt);
  }
  return out;
}

// And what is wanted.
Json question_json(const chat::Request& request) {
  Json out = conversation_json(request);
  for (const chat::Tool& tool : request.tools) {
    out["tools"].push_back(tool_json(tool));
    if (tool.deferred) {
      out["deferred"].push_back(tool.name);
    }
  }
  if (!request.tools.empty()) {
    out["tool_choice"] = choice_json(request.tool_choice);
    out["parallel_calls"] = request.parallel_calls;
  }
  if (!request.template_kwargs.empty()) {
    out["template_kwargs"] = request.template_kwargs;
  }
  put(out, "adapter", request.adapter);
  out["sampling"] = sampling_json(request.sampling);
  out["choices"] = request.choices;
  put(out, "max_tokens", request.max_tokens);
  if (!request.stop.empty()) {
    out["stop"] = request.stop;
  }
  if (request.ignore_end) {
    out["ignore_end"] = true;
  }
  if (request.constraint) {
    out["constraint"] = {
        {"kind", static_cast<int>(request.constraint->kind)},
        {"text", request.constraint->text}};
  }
  put(out, "reasoning_effort", request.reasoning_effort);
  put(out, "reasoning_max_tokens", request.reasoning_max_tokens);
  put(out, "logprobs", request.logprobs);
  if (request.echo) {
    out["echo"] = true;
  }
  return out;
}

}  // namespace

Json request_json(const chat::Request& request) {
  Json out = question_json(request);
  put(out, "id", request.id);
  put(out, "lane", request.lane);
  put(out, "history", request.history);
  if (request.may_shorten) {
    out["may_shorten"] = true;
  }
  if (!request.use_cache) {
    out["use_cache"] = false;
  }
  return out;
}

std::string question_key(const chat::Request& request) {
  return hash_of({dump_json(question_json(request))});
}

std::string conversation_key(const chat::Request& request) {
  return hash_of({dump_json(conversation_json(request))});
}

}  // namespace rapid
