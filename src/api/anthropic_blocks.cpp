// The messages of the Anthropic dialect: content blocks to chat::Messages.
//
// Marks for a cache (cache_control) mean nothing here, and the header that one
// client puts in front of its system prompt to be billed by is left out: it
// changes from one conversation to the next.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "api/anthropic_common.h"
#include "api/billing_header.h"

namespace rapid {
namespace {

std::string item(std::string_view path, size_t index) {
  return fmt::format("{}[{}]", path, index);
}

void add_line(std::string& text, std::string_view more) {
  text += text.empty() ? "" : "\n";
  text += more;
}

Result<std::string> required_string(
    const Fields& fields, std::string_view name) {
  RAPID_TRY(const auto value, fields.string(name));
  if (!value) {
    return missing_field(fields.path(name), "a string");
  }
  return *value;
}

bool says_error(const std::string& text) {
  constexpr std::string_view kWord = "error";
  const auto same = [](char left, char right) {
    return std::tolower(static_cast<unsigned char>(left)) == right;
  };
  return std::search(
             text.begin(), text.end(), kWord.begin(), kWord.end(), same) !=
         text.end();
}

// Reads one request's messages.
class Reader {
 public:
  explicit Reader(AnthropicAsk& ask) : ask_(ask) {}

  Status system(const Json& content);
  Status message(const Json& json, const std::string& path, bool last);

 private:
  using Text = Result<std::string>;
  enum class Where { question, earlier, result };

  Status user(const Json& blocks, const std::string& path);
  Status assistant(const Json& blocks, const std::string& path);
  Status result(const Fields& block);
  Status call(const Fields& block, bool ran_here, chat::Message& turn);
  // Of a string or a list of blocks, line by line.
  Text text_of(const Json& content, const std::string& path, Where where);
  Text block_text(const Fields& block, Where where);
  Text document(const Fields& block, Where where);
  Text unseen(const Fields& block, const std::string& type, Where where);
  std::string tool(const std::string& name) const;
  void push(std::string role, std::string content);

  AnthropicAsk& ask_;
  Where where_ = Where::earlier;  // of the message being read
};

void Reader::push(std::string role, std::string content) {
  ask_.request.messages.push_back(
      {.role = std::move(role), .content = std::move(content)});
}

Status Reader::system(const Json& content) {
  std::string text;
  if (content.is_string()) {
    text = without_billing_header(content.get<std::string>());
  } else if (content.is_array()) {
    for (size_t i = 0; i < content.size(); ++i) {
      RAPID_TRY(
          std::string part,
          text_of(
              Json::array({content[i]}), item("system", i), Where::question));
      part = without_billing_header(std::move(part));
      if (!part.empty()) {
        add_line(text, part);
      }
    }
  } else {
    return wrong_field("system", "a string or a list of blocks", content);
  }
  if (!text.empty()) {
    push("system", std::move(text));
  }
  return {};
}

Status Reader::message(const Json& json, const std::string& path, bool last) {
  if (!json.is_object()) {
    return wrong_field(path, "an object", json);
  }
  const Fields fields(json, path);
  RAPID_TRY(const std::string role, required_string(fields, "role"));
  if (role != "user" && role != "assistant" && role != "system") {
    return wrong_field(
        fields.path("role"), "user, assistant or system", Json(role));
  }
  const Json* content = fields.find("content");
  const std::string inner = fields.path("content");
  if (content == nullptr) {
    return missing_field(inner, "a string or a list of blocks");
  }
  where_ = last ? Where::question : Where::earlier;
  if (content->is_string()) {
    push(role, content->get<std::string>());
    return {};
  }
  if (!content->is_array()) {
    return wrong_field(inner, "a string or a list of blocks", *content);
  }
  if (role == "user") {
    return user(*content, inner);
  }
  if (role == "assistant") {
    return assistant(*content, inner);
  }
  RAPID_TRY(std::string text, text_of(*content, inner, where_));
  push(role, std::move(text));
  return {};
}

// Results become messages of their own, in place.
Status Reader::user(const Json& blocks, const std::string& path) {
  std::string text;
  bool any = false;
  const auto flush = [&] {
    if (std::exchange(any, false)) {
      push("user", std::exchange(text, ""));
    }
  };
  any = blocks.empty();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Json& block = blocks[i];
    if (block.is_object() && block.value("type", Json()) == "tool_result") {
      flush();
      RAPID_CHECK(result(Fields(block, item(path, i))));
      continue;
    }
    RAPID_TRY(
        const std::string part,
        text_of(Json::array({block}), item(path, i), where_));
    if (std::exchange(any, true)) {
      text += '\n';
    }
    text += part;
  }
  flush();
  return {};
}

Status Reader::result(const Fields& block) {
  chat::Message out{.role = "tool"};
  RAPID_TRY(out.tool_call_id, required_string(block, "tool_use_id"));
  if (const Json* content = block.find("content")) {
    RAPID_TRY(
        out.content, text_of(*content, block.path("content"), Where::result));
  }
  RAPID_TRY(const auto failed, block.boolean("is_error"));
  if (failed.value_or(false) && !says_error(out.content)) {
    out.content = "Error: " + out.content;
  }
  ask_.request.messages.push_back(std::move(out));
  return {};
}

Status Reader::call(const Fields& block, bool ran_here, chat::Message& turn) {
  chat::ToolCall call;
  RAPID_TRY(call.id, required_string(block, "id"));
  RAPID_TRY(call.name, required_string(block, "name"));
  if (ran_here) {
    RAPID_TRY(const std::string server, required_string(block, "server_name"));
    call.name = server + "__" + call.name;
  }
  const Json* input = block.find("input");
  call.arguments = input != nullptr ? dump_json(*input) : "{}";
  turn.tool_calls.push_back(std::move(call));
  return {};
}

// Results of calls that ran here stand in the turn; what follows them is the
// model's next one.
Status Reader::assistant(const Json& blocks, const std::string& path) {
  const auto fresh = [] { return chat::Message{.role = "assistant"}; };
  chat::Message out = fresh();
  bool any = true;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string here = item(path, i);
    if (!blocks[i].is_object()) {
      return wrong_field(here, "a block with a type", blocks[i]);
    }
    const Fields block(blocks[i], here);
    RAPID_TRY(const std::string type, required_string(block, "type"));
    if (type == "mcp_tool_result") {
      if (std::exchange(any, false)) {
        ask_.request.messages.push_back(std::exchange(out, fresh()));
      }
      RAPID_CHECK(result(block));
      continue;
    }
    any = true;
    if (type == "text") {
      RAPID_TRY(const std::string text, required_string(block, "text"));
      out.content += text;  // as it was sent out, in pieces
    } else if (type == "thinking") {
      RAPID_TRY(const auto thought, block.string("thinking"));
      out.reasoning += thought.value_or("");
    } else if (type == "tool_use" || type == "mcp_tool_use") {
      RAPID_CHECK(call(block, type == "mcp_tool_use", out));
    } else {
      // Of another server: what its own tools did, or thoughts it encrypted.
      ask_.ignored.push_back(here + " of type " + type);
    }
  }
  if (any) {
    ask_.request.messages.push_back(std::move(out));
  }
  return {};
}

Reader::Text Reader::text_of(
    const Json& content, const std::string& path, Where where) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  if (!content.is_array()) {
    return wrong_field(path, "a string or a list of blocks", content);
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    // Callers that pass one block have named it.
    const std::string here =
        content.size() == 1 && path.ends_with(']') ? path : item(path, i);
    if (!content[i].is_object()) {
      return wrong_field(here, "a block with a type", content[i]);
    }
    RAPID_TRY(
        const std::string part, block_text(Fields(content[i], here), where));
    text += (i > 0 ? "\n" : "") + part;
  }
  return text;
}

Reader::Text Reader::block_text(const Fields& block, Where where) {
  RAPID_TRY(const std::string type, required_string(block, "type"));
  if (type == "text") {
    return required_string(block, "text");
  }
  if (type == "document") {
    return document(block, where);
  }
  if (type == "search_result") {
    RAPID_TRY(std::string text, required_string(block, "title"));
    RAPID_TRY(const auto source, block.string("source"));
    add_line(text, source.value_or(""));
    if (const Json* content = block.find("content")) {
      RAPID_TRY(
          const std::string body,
          text_of(*content, block.path("content"), where));
      add_line(text, body);
    }
    return text;
  }
  if (type == "tool_reference") {
    RAPID_TRY(const std::string name, required_string(block, "tool_name"));
    return tool(name);
  }
  return unseen(block, type, where);
}

Reader::Text Reader::document(const Fields& block, Where where) {
  RAPID_TRY(const Json* source, block.object("source"));
  if (source == nullptr) {
    return missing_field(block.path("source"), "an object");
  }
  const Fields inner(*source, block.path("source"));
  RAPID_TRY(const std::string kind, required_string(inner, "type"));
  std::string text;
  for (const char* name : {"title", "context"}) {
    RAPID_TRY(const auto line, block.string(name));
    if (line) {
      add_line(text, *line);
    }
  }
  if (kind == "text") {
    RAPID_TRY(const std::string data, required_string(inner, "data"));
    add_line(text, data);
    return text;
  }
  const Json* content = inner.find("content");
  if (kind == "content" && content != nullptr) {
    RAPID_TRY(
        const std::string data,
        text_of(*content, inner.path("content"), where));
    add_line(text, data);
    return text;
  }
  return unseen(block, "document", where);
}

// What the model cannot see. In the question that is an error; later turns
// still carry it, and tools give it back: there the model is told.
Reader::Text Reader::unseen(
    const Fields& block, const std::string& type, Where where) {
  const std::string place = block.path("type");
  const std::string path = place.substr(0, place.size() - 5);
  if (where == Where::question) {
    Error error = unsupported_field(
        fmt::format("{} of type \"{}\"", path, type),
        "this model reads text only");
    error.param = path;
    return error;
  }
  ask_.ignored.push_back(path + " of type " + type);
  return fmt::format("[{}: not shown, this model reads text only]", type);
}

std::string Reader::tool(const std::string& name) const {
  for (const chat::Tool& tool : ask_.request.tools) {
    if (tool.name == name) {
      return dump_json(tool.declaration);
    }
  }
  return name;
}

}  // namespace

Status read_anthropic_messages(const Fields& fields, AnthropicAsk& ask) {
  Reader reader(ask);
  if (const Json* system = fields.find("system")) {
    RAPID_CHECK(reader.system(*system));
  }
  RAPID_TRY(const Json* list, fields.array("messages"));
  if (list == nullptr) {
    return missing_field("messages", "a list of messages");
  }
  if (list->empty()) {
    return wrong_field("messages", "at least one message", *list);
  }
  for (size_t i = 0; i < list->size(); ++i) {
    RAPID_CHECK(
        reader.message((*list)[i], item("messages", i), i + 1 == list->size()));
  }
  return {};
}

}  // namespace rapid
