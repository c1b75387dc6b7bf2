// POST /tokenize and /detokenize
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "api/openai_common.h"
#include "api/openai_messages.h"
#include "api/openapi.h"
#include "api/route.h"

namespace rapid {

namespace {

Result<std::shared_ptr<const TextCodec>> codec_of(const Backend& backend) {
  if (auto codec = backend.codec()) {
    return codec;
  }
  return Error{
      ErrorCode::busy,
      "the model's tokenizer is not loaded now",
      "ask for an answer first"};
}

// A text without roles: `prompt`, or `content`.
Result<std::string> read_text(const Fields& fields) {
  for (const char* name : {"prompt", "content"}) {
    RAPID_TRY(auto text, fields.string(name));
    if (text) {
      return *std::move(text);
    }
  }
  return missing_field("prompt", "a string, or messages");
}

Result<std::vector<int32_t>> ids_of(
    const Fields& fields, const Backend& backend) {
  chat::Request request;
  if (fields.find("messages") != nullptr) {
    RAPID_CHECK(read_openai_messages(fields, request));
    RAPID_CHECK(read_openai_tools(fields, request));
    RAPID_TRY(const Json* kwargs, fields.object("chat_template_kwargs"));
    if (kwargs != nullptr) {
      request.template_kwargs.update(*kwargs);
    }
  } else {
    RAPID_TRY(std::string text, read_text(fields));
    RAPID_TRY(const auto special, fields.boolean("add_special_tokens"));
    RAPID_TRY(const auto older, fields.boolean("add_special"));
    if (!special.value_or(older.value_or(true))) {
      RAPID_TRY(const auto codec, codec_of(backend));
      return codec->encode(text, {.parse_special = true});
    }
    request.prompts.emplace_back(std::move(text));
  }
  RAPID_TRY(auto prompts, backend.tokenise(request));
  return std::move(prompts.at(0));
}

Status tokenize(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RAPID_TRY(const auto backend, openai_backend(context, fields));
  RAPID_TRY(const auto ids, ids_of(fields, *backend));
  RAPID_TRY(const auto texts, fields.boolean("return_token_strs"));
  Json reply = {
      {"count", ids.size()},
      {"max_model_len", backend->card().context_length},
      {"tokens", ids}};
  if (texts.value_or(false)) {
    RAPID_TRY(const auto codec, codec_of(*backend));
    for (const int32_t id : ids) {  // bytes that are not UTF-8 are replaced
      reply["token_strs"].push_back(codec->token_bytes(id));
    }
  }
  stream.reply(200, dump_json(reply), "application/json");
  return {};
}

Status detokenize(
    const HttpRequest& http, ResponseStream& stream, ApiContext& context) {
  RAPID_TRY(const Json body, parse_body(http.body));
  const Fields fields(body);
  RAPID_TRY(const auto backend, openai_backend(context, fields));
  RAPID_TRY(const Json* list, fields.array("tokens"));
  if (list == nullptr) {
    return missing_field("tokens", "a list of token ids");
  }
  RAPID_TRY(const auto codec, codec_of(*backend));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& id = (*list)[i];
    if (!id.is_number_unsigned() || id >= codec->size()) {
      return wrong_field(
          fmt::format("tokens[{}]", i),
          fmt::format("a token id below {}", codec->size()),
          id);
    }
    ids.push_back(id.get<int32_t>());
  }
  const std::string text = codec->decode(ids);
  stream.reply(
      200,
      dump_json({{"prompt", text}, {"content", text}}),
      "application/json");
  return {};
}

}  // namespace

void register_route_tokenize(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/tokenize",
       .handler = answering(tokenize),
       .body =
           [] {
             return body_schema(
                 {{"prompt", "string", "a text without roles"},
                  {"content", "string", "the same"},
                  {"messages", "array", "a chat instead"},
                  {"tools", "array", "... with tools"},
                  {"model", "string", "default, or a loaded model's name"},
                  {"add_special_tokens", "boolean", "else true"},
                  {"return_token_strs", "boolean", "the texts, too"}});
           },
       .reply =
           [] {
             return json_shape(
                 R"({"count": "integer", "max_model_len": "integer",
           "tokens": ["integer"], "token_strs?": ["string"]})");
           },
       .summary = "token ids of a text or a chat"});
  table.add(
      {.method = "POST",
       .path = "/detokenize",
       .handler = answering(detokenize),
       .body =
           [] {
             return body_schema(
                 {{"tokens", "array", "token ids", true},
                  {"model", "string", "default, or a loaded model's name"}});
           },
       .reply =
           [] {
             return json_shape(R"({"prompt": "string", "content": "string"})");
           },
       .summary = "the text of token ids"});
}

}  // namespace rapid
