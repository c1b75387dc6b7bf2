#include "api/model_json.h"

#include <string>
#include <utility>

#include "api/openapi.h"

namespace rapid {
namespace {

Json named(const std::string& name) {
  return name.empty() ? Json() : Json(name);
}

Json capabilities(const ModelCard& card) {
  Json out = Json::array({"completion"});
  if (card.chat_style != "none") {
    out.push_back("chat");
    if (card.format != "plain") {
      out.push_back("tools");
    }
    if (!card.reasoning.empty()) {
      out.push_back("reasoning");
    }
  }
  return out;
}

}  // namespace

Json model_json(const ModelStatus& model) {
  const ModelCard& card = model.card;
  Json out = {
      {"id", card.id()},
      {"object", "model"},
      {"created", card.created},
      {"owned_by", "rapid-mlx"},
      {"state", state_name(model.state)},
      {"pinned", model.pinned},
      {"ttl_seconds", model.ttl_seconds},
      {"open_requests", model.open_requests},
      {"idle_seconds", model.idle_seconds},
      {"loads", model.loads},
      {"memory_bytes", model.memory_bytes},
      {"resident_bytes", model.resident_bytes}};
  if (!card.parent.empty()) {
    out["parent"] = card.parent;
  }
  if (!model.doing.empty()) {
    out["progress"] = model.doing;
  }
  if (!model.reason.empty()) {
    out["reason"] = model.reason;
  }
  if (!model.known) {
    return out;
  }
  out.update(
      {{"context_window", card.context_length},
       {"max_model_len", card.context_length},
       {"context_length", card.context_length},
       {"model_context_length", card.model_context_length},
       {"architecture", card.architecture},
       {"vocab_size", card.vocabulary},
       {"tool_call_parser", named(card.format == "plain" ? "" : card.format)},
       {"tool_call_parser_reason", named(card.format_why)},
       {"reasoning_parser", named(card.reasoning)},
       {"chat_template", card.chat_style},
       {"capabilities", capabilities(card)},
       {"parameters", card.parameters},
       {"weight_bytes", card.weight_bytes},
       {"device", card.device}});
  return out;
}

Json model_shape() {
  return json_shape(
      R"({"id": "string", "object": "=model", "created": "integer",
        "owned_by": "string", "state": "string", "pinned": "boolean",
        "ttl_seconds": "number", "open_requests": "integer",
        "idle_seconds": "number", "loads": "integer",
        "memory_bytes": "integer", "resident_bytes": "integer",
        "context_window?": "integer", "parent?": "string",
        "capabilities?": ["string"]})");
}

}  // namespace rapid
