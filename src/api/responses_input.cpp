#include "api/responses_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "api/json_fields.h"
#include "api/response_store.h"
#include "api/responses_tools.h"
#include "base/base64.h"
#include "base/utf8.h"

namespace rapid {

namespace {

constexpr std::string_view kSeal = "rapid-mlx.1.";
constexpr std::array<std::string_view, 4> kRoles = {
    "user", "assistant", "system", "developer"};

// Of tools that run elsewhere: nothing that this model said or was told.
bool is_foreign(std::string_view type) {
  static const std::set<std::string_view> kTypes = {
      "web_search_call",
      "file_search_call",
      "code_interpreter_call",
      "image_generation_call",
      "computer_call",
      "computer_call_output",
      "local_shell_call",
      "local_shell_call_output",
      "shell_call",
      "shell_call_output",
      "apply_patch_call",
      "apply_patch_call_output",
      "mcp_list_tools",
      "mcp_approval_request",
      "mcp_approval_response",
      "tool_search_call",
      "tool_search_output",
      "additional_tools",
      "configuration_update",
      "program",
      "program_output",
      "compaction",
      "ghost_snapshot"};
  return kTypes.contains(type);
}

Result<std::string> text_member(const Fields& fields, std::string_view name) {
  RAPID_TRY(const auto text, fields.string(name));
  if (!text) {
    return missing_field(fields.path(name), "a string");
  }
  return *text;
}

// One part of a content list, in the form that its role has.
Result<Json> read_part(
    const Json& json, const std::string& path, std::string_view text_type) {
  if (json.is_string()) {
    return Json{{"type", text_type}, {"text", json}};
  }
  if (!json.is_object()) {
    return wrong_field(path, "a part with a type", json);
  }
  const Fields fields(json, path);
  RAPID_TRY(const std::string type, text_member(fields, "type"));
  if (type == "refusal") {
    RAPID_TRY(std::string text, text_member(fields, "refusal"));
    return Json{{"type", "refusal"}, {"refusal", std::move(text)}};
  }
  static const std::set<std::string_view> kTexts = {
      "input_text", "output_text", "text", "summary_text", "reasoning_text"};
  if (!kTexts.contains(type)) {
    Error error = unsupported_field(
        fmt::format("{} of type \"{}\"", path, type),
        "this model reads text parts only");
    error.param = path;
    return error;
  }
  RAPID_TRY(std::string text, text_member(fields, "text"));
  Json part = {{"type", text_type}, {"text", std::move(text)}};
  if (text_type == "output_text") {
    part["annotations"] = Json::array();
  }
  return part;
}

Result<Json> read_parts(
    const Json& json, const std::string& path, std::string_view text_type) {
  Json parts = Json::array();
  if (json.is_string()) {
    RAPID_TRY(Json part, read_part(json, path, text_type));
    if (text_type == "output_text") {
      part["annotations"] = Json::array();
    }
    parts.push_back(std::move(part));
    return parts;
  }
  if (!json.is_array()) {
    return wrong_field(path, "a string or a list of parts", json);
  }
  for (size_t i = 0; i < json.size(); ++i) {
    RAPID_TRY(
        Json part,
        read_part(json[i], fmt::format("{}[{}]", path, i), text_type));
    parts.push_back(std::move(part));
  }
  return parts;
}

class Reader {
 public:
  Reader(const ResponsesInputOptions& options, std::vector<std::string>& notes)
      : options_(options), notes_(notes) {}

  Status read(const Json& json, const std::string& path) {
    if (!json.is_object()) {
      return wrong_field(path, "an object", json);
    }
    const Fields fields(json, path);
    RAPID_TRY(const auto given, fields.string("type"));
    std::string type = given.value_or("");
    if (type.empty()) {
      type = json.contains("role") ? "message" : "item_reference";
    }
    if (type == "message") {
      return message(fields);
    }
    if (type == "function_call" || type == "custom_tool_call") {
      return call(fields, type);
    }
    if (type == "function_call_output" || type == "custom_tool_call_output") {
      return result(fields, type);
    }
    if (type == "mcp_call") {
      return mcp_call(fields);
    }
    if (type == "reasoning") {
      return reasoning(fields);
    }
    if (type == "item_reference") {
      return reference(fields);
    }
    if (is_foreign(type)) {
      notes_.push_back(fmt::format(
          "{}: an item of type \"{}\" is not shown to the model", path, type));
      return {};
    }
    return wrong_field(fields.path("type"), "a type of input item", Json(type));
  }

  Json items = Json::array();

 private:
  Json begin(const Fields& fields, const char* kind, std::string_view type) {
    const Json* id = fields.find("id");
    const bool named = id != nullptr && id->is_string() && *id != "";
    return {
        {"id",
         named ? *id
               : Json(ResponseStore::item_id(
                     kind,
                     options_.response_id,
                     fmt::format("in{}", items.size())))},
        {"type", type},
        {"status", "completed"}};
  }

  Status message(const Fields& fields) {
    RAPID_TRY(const std::string role, text_member(fields, "role"));
    if (std::ranges::find(kRoles, role) == kRoles.end()) {
      return wrong_field(
          fields.path("role"),
          "user, assistant, system or developer",
          Json(role));
    }
    const Json* content = fields.find("content");
    if (content == nullptr) {
      return missing_field(
          fields.path("content"), "a string or a list of parts");
    }
    Json item = begin(fields, "msg", "message");
    item["role"] = role;
    RAPID_TRY(
        item["content"],
        read_parts(
            *content,
            fields.path("content"),
            role == "assistant" ? "output_text" : "input_text"));
    items.push_back(std::move(item));
    return {};
  }

  Status call(const Fields& fields, const std::string& type) {
    const bool custom = type == "custom_tool_call";
    Json item = begin(fields, custom ? "ctc" : "fc", type);
    RAPID_TRY(item["call_id"], text_member(fields, "call_id"));
    RAPID_TRY(item["name"], text_member(fields, "name"));
    RAPID_TRY(const auto name_space, fields.string("namespace"));
    if (name_space) {
      item["namespace"] = *name_space;
    }
    const char* key = custom ? "input" : "arguments";
    // A call that went wrong once must not end the conversation.
    const Json* given = fields.find(key);
    item[key] = given == nullptr     ? Json("")
                : given->is_string() ? *given
                                     : Json(dump_json(*given));
    items.push_back(std::move(item));
    return {};
  }

  Status result(const Fields& fields, const std::string& type) {
    const bool custom = type == "custom_tool_call_output";
    Json item = begin(fields, custom ? "ctco" : "fco", type);
    RAPID_TRY(item["call_id"], text_member(fields, "call_id"));
    const Json* output = fields.find("output");
    if (output == nullptr) {
      item["output"] = "";
    } else if (output->is_array()) {
      RAPID_TRY(
          item["output"],
          read_parts(*output, fields.path("output"), "input_text"));
    } else {
      item["output"] = output->is_string() ? *output : Json(dump_json(*output));
    }
    items.push_back(std::move(item));
    return {};
  }

  // A call that was run here, and its result.
  Status mcp_call(const Fields& fields) {
    Json item = begin(fields, "mcp", "mcp_call");
    for (const char* name : {"server_label", "name", "arguments"}) {
      RAPID_TRY(item[name], text_member(fields, name));
    }
    RAPID_TRY(const auto output, fields.string("output"));
    item["output"] = output.value_or("");
    const Json* error = fields.find("error");
    item["error"] = error != nullptr ? *error : Json();
    if (!output && error != nullptr) {
      item["output"] = error->is_string() ? *error : Json(dump_json(*error));
    }
    items.push_back(std::move(item));
    return {};
  }

  Status reasoning(const Fields& fields) {
    Json item = begin(fields, "rs", "reasoning");
    item["summary"] = Json::array();
    if (const Json* summary = fields.find("summary")) {
      RAPID_TRY(
          item["summary"],
          read_parts(*summary, fields.path("summary"), "summary_text"));
    }
    if (const Json* content = fields.find("content")) {
      RAPID_TRY(
          item["content"],
          read_parts(*content, fields.path("content"), "reasoning_text"));
    }
    RAPID_TRY(const auto sealed, fields.string("encrypted_content"));
    if (sealed) {
      item["encrypted_content"] = *sealed;
    }
    items.push_back(std::move(item));
    return {};
  }

  Status reference(const Fields& fields) {
    RAPID_TRY(const std::string id, text_member(fields, "id"));
    for (const Json& item : items) {
      if (item["id"] == id) {
        items.push_back(Json(item));
        return {};
      }
    }
    auto found = options_.find ? options_.find(id) : std::nullopt;
    if (!found) {
      return Error{
          ErrorCode::not_found,
          fmt::format("no item {} is stored here", id),
          "send the item itself",
          fields.path("id")};
    }
    items.push_back(*std::move(found));
    return {};
  }

  const ResponsesInputOptions& options_;
  std::vector<std::string>& notes_;
};

// Parts joined by line breaks, as in a chat.
std::string text_of(const Json& content) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    const char* key = part.contains("refusal") ? "refusal" : "text";
    text += (i > 0 ? "\n" : "") + part.value(key, std::string());
  }
  return text;
}

std::string reasoning_of(const Json& item) {
  if (item.contains("content") && !item["content"].empty()) {
    return text_of(item["content"]);
  }
  const std::string sealed = item.value("encrypted_content", std::string());
  if (sealed.starts_with(kSeal)) {
    auto opened = base64_decode(std::string_view(sealed).substr(kSeal.size()));
    if (opened && utf8_valid(*opened)) {
      return *std::move(opened);
    }
  }
  return text_of(item["summary"]);
}

// Collects what one turn of the model made.
class Turns {
 public:
  void add(const Json& item) {
    const std::string type = item.value("type", std::string());
    if (type == "message") {
      message(item);
    } else if (type == "reasoning") {
      if (!open_ || said_) {
        begin();
      }
      std::string& text = messages.back().reasoning;
      text += (text.empty() ? "" : "\n") + reasoning_of(item);
    } else if (type == "function_call" || type == "custom_tool_call") {
      call(item, type == "custom_tool_call");
    } else if (type == "mcp_call") {
      Json made = item;
      made["call_id"] = item["id"];
      made["namespace"] = item["server_label"];
      call(made, false);
      result(made);
    } else {
      result(item);
    }
  }

  std::vector<chat::Message> messages;

 private:
  void result(const Json& item) {
    open_ = false;
    messages.push_back({.role = "tool", .content = text_of(item["output"])});
    messages.back().tool_call_id = item.value("call_id", std::string());
  }

  void begin() {
    messages.push_back({.role = "assistant", .content = ""});
    open_ = true;
    said_ = false;
  }

  void message(const Json& item) {
    std::string text = text_of(item["content"]);
    if (item["role"] != "assistant") {
      open_ = false;
      messages.push_back(
          {.role = item["role"].get<std::string>(), .content = text});
      return;
    }
    // Text behind a call is of the same turn; text behind text is another's.
    if (!open_ || (said_ && messages.back().tool_calls.empty())) {
      begin();
    }
    messages.back().content += text;
    said_ = true;
  }

  void call(const Json& item, bool custom) {
    if (!open_) {
      begin();
    }
    const std::string given =
        item.value(custom ? "input" : "arguments", std::string());
    messages.back().tool_calls.push_back(
        {.id = item.value("call_id", std::string()),
         .name = flat_tool_name(
             item.value("namespace", std::string()),
             item.value("name", std::string())),
         .arguments = custom ? custom_tool_arguments(given) : given});
    said_ = true;
  }

  bool open_ = false;  // the last message may take more
  bool said_ = false;  // ... and has text or calls
};

}  // namespace

Result<Json> read_responses_input(
    const Json& input,
    const ResponsesInputOptions& options,
    std::vector<std::string>& notes) {
  Reader reader(options, notes);
  if (input.is_string()) {
    RAPID_CHECK(
        reader.read(Json{{"role", "user"}, {"content", input}}, "input"));
    return std::move(reader.items);
  }
  if (!input.is_array()) {
    return wrong_field("input", "a string or a list of items", input);
  }
  for (size_t i = 0; i < input.size(); ++i) {
    RAPID_CHECK(reader.read(input[i], fmt::format("input[{}]", i)));
  }
  return std::move(reader.items);
}

std::vector<chat::Message> messages_of_items(const Json& items) {
  Turns turns;
  for (const Json& item : items) {
    turns.add(item);
  }
  return std::move(turns.messages);
}

std::string sealed_reasoning(const std::string& text) {
  return std::string(kSeal) + base64_encode(text);
}

}  // namespace rapid
