// POST /v1/completions: text or token ids in, text out; scores a prompt too.
#include <fmt/format.h>

#include "api/openai_common.h"

namespace rapid {

namespace {

constexpr size_t kMostPrompts = 2048;

// Characters, as clients of this API count them.
size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) {
    count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
  }
  return count;
}

// Columns, one entry a token. `start` is where `text` begins in the choice.
Json logprobs_json(
    const std::vector<chat::TokenLogprob>& tokens,
    std::string_view text,
    size_t start) {
  Json out = {
      {"tokens", Json::array()},
      {"token_logprobs", Json::array()},
      {"top_logprobs", Json::array()},
      {"text_offset", Json::array()},
      {"token_ids", Json::array()},
      {"top_token_ids", Json::array()}};
  size_t at = 0;
  for (const auto& token : tokens) {
    out["tokens"].push_back(token.text);
    out["token_ids"].push_back(token.id);
    out["text_offset"].push_back(start + count_characters(text.substr(0, at)));
    // A special token has a name but no text, so it takes no room.
    if (text.substr(at).starts_with(token.bytes)) {
      at += token.bytes.size();
    }
    if (!token.logprob) {
      out["token_logprobs"].push_back(nullptr);
      out["top_logprobs"].push_back(nullptr);
      out["top_token_ids"].push_back(nullptr);
      continue;
    }
    out["token_logprobs"].push_back(openai_logprob(*token.logprob));
    Json top = Json::object();
    Json ids = Json::array();
    for (const auto& other : token.top) {
      // Two ids can print alike: the likelier one keeps the name.
      if (!top.contains(other.text)) {
        top[other.text] = openai_logprob(other.logprob);
      }
      ids.push_back(other.id);
    }
    out["top_logprobs"].push_back(std::move(top));
    out["top_token_ids"].push_back(std::move(ids));
  }
  return out;
}

class CompletionWriter : public OpenAiWriter {
 public:
  CompletionWriter(
      std::shared_ptr<ResponseStream> stream, OpenAiReplyOptions options)
      : OpenAiWriter(std::move(stream), options), offsets_(options.choices) {}

 private:
  Json empty_choice(int index) const override {
    return choice_of(index, "text", "");
  }
  Json opening(int, const chat::Event&) const override { return nullptr; }

  Json piece(int index, const chat::Event& event) override {
    if (const auto* prompt = std::get_if<chat::Prompt>(&event)) {
      return text_piece(index, prompt->text, prompt->logprobs);
    }
    if (const auto* delta = std::get_if<chat::Delta>(&event)) {
      return text_piece(index, delta->text, delta->logprobs);
    }
    if (const auto* rejected = std::get_if<chat::Rejected>(&event)) {
      return text_piece(index, rejected->raw, {});
    }
    if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      Json choice = choice_of(index, "text", "");
      choice["finish_reason"] = openai_finish_reason(finished->reason);
      return choice;
    }
    return nullptr;  // no tools here, so no calls
  }

  Json text_piece(
      int index,
      const std::string& text,
      const std::vector<chat::TokenLogprob>& logprobs) {
    if (text.empty() && logprobs.empty()) {
      return nullptr;
    }
    Json choice = choice_of(index, "text", text);
    if (!logprobs.empty()) {
      choice["logprobs"] = logprobs_json(logprobs, text, offsets_[index]);
    }
    offsets_[index] += count_characters(text);
    return choice;
  }

  void merge(Json& whole, Json piece) const override {
    whole["text"].get_ref<std::string&>() +=
        piece["text"].get_ref<const std::string&>();
    if (Json& more = piece["logprobs"]; more.is_object()) {
      if (whole["logprobs"].is_null()) {
        whole["logprobs"] = std::move(more);
      } else {
        for (auto& [key, column] : more.items()) {
          for (Json& entry : column) {
            whole["logprobs"][key].push_back(std::move(entry));
          }
        }
      }
    }
    if (!piece["finish_reason"].is_null()) {
      whole["finish_reason"] = piece["finish_reason"];
    }
  }

  std::vector<size_t> offsets_;  // characters sent, per choice
};

Result<std::vector<int32_t>> read_ids(const Json& list, std::string path) {
  std::vector<int32_t> ids;
  if (list.empty()) {
    return wrong_field(path, "at least one token id", list);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i] > INT32_MAX) {
      return wrong_field(fmt::format("{}[{}]", path, i), "a token id", list[i]);
    }
    ids.push_back(list[i].get<int32_t>());
  }
  return ids;
}

Status read_prompt(const Fields& fields, chat::Request& request) {
  const Json* prompt = fields.find("prompt");
  if (prompt == nullptr) {
    return missing_field("prompt", "text or token ids");
  }
  if (prompt->is_string()) {
    request.prompts.emplace_back(prompt->get<std::string>());
    return {};
  }
  if (!prompt->is_array() || prompt->empty()) {
    return wrong_field(
        "prompt", "text, a list of texts, or token ids", *prompt);
  }
  if (prompt->front().is_number()) {
    RAPID_TRY(auto ids, read_ids(*prompt, "prompt"));
    request.prompts.emplace_back(std::move(ids));
    return {};
  }
  if (prompt->size() > kMostPrompts) {
    return wrong_field(
        "prompt", fmt::format("at most {} prompts", kMostPrompts), *prompt);
  }
  const bool texts = prompt->front().is_string();
  for (size_t i = 0; i < prompt->size(); ++i) {
    const Json& one = (*prompt)[i];
    const std::string path = fmt::format("prompt[{}]", i);
    if (texts && one.is_string()) {
      request.prompts.emplace_back(one.get<std::string>());
    } else if (!texts && one.is_array()) {
      RAPID_TRY(auto ids, read_ids(one, path));
      request.prompts.emplace_back(std::move(ids));
    } else {
      return wrong_field(
          path, texts ? "a text like the first" : "a list of token ids", one);
    }
  }
  return {};
}

Status read_completion(
    const Json& body,
    const ModelCard& card,
    chat::Request& request,
    OpenAiReplyOptions& options) {
  const Fields fields(body);
  RAPID_CHECK(check_openai_model(fields, card));
  RAPID_CHECK(read_prompt(fields, request));
  RAPID_CHECK(read_openai_sampling(fields, request));
  RAPID_TRY(const auto logprobs, fields.integer("logprobs", 0, 20));
  if (logprobs) {
    request.logprobs = static_cast<int>(*logprobs);
  }
  RAPID_TRY(const auto echo, fields.boolean("echo"));
  request.echo = echo.value_or(false);
  RAPID_TRY(const auto best_of, fields.integer("best_of", 1, 128));
  if (best_of && *best_of != request.choices) {
    return unsupported_field("best_of", "ask for n choices and pick one");
  }
  RAPID_TRY(const auto suffix, fields.string("suffix"));
  if (suffix && !suffix->empty()) {
    return unsupported_field("suffix", "write the gap into the prompt");
  }
  RAPID_CHECK(read_openai_stream(fields, options));
  options.choices = request.choices * static_cast<int>(request.prompts.size());
  return {};
}

Status completions(
    const HttpRequest& http,
    const std::shared_ptr<ResponseStream>& stream,
    ApiContext& context) {
  RAPID_TRY(const auto backend, ready_backend(context));
  RAPID_TRY(const Json body, parse_body(http.body));
  chat::Request request;
  OpenAiReplyOptions options =
      openai_reply_options("cmpl-" + http.id, backend->card(), context.version);
  options.object = "text_completion";
  options.chunk_object = "text_completion";
  RAPID_CHECK(read_completion(body, backend->card(), request, options));
  auto writer = std::make_shared<CompletionWriter>(stream, std::move(options));
  run_request(request, std::move(writer), stream, context, standard_error_body);
  return {};
}

}  // namespace

void register_route_openai_completions(RouteTable& table) {
  table.add(
      {.method = "POST",
       .path = "/v1/completions",
       .handler =
           [](const HttpRequest& http,
              const std::shared_ptr<ResponseStream>& stream,
              ApiContext& context) {
             if (auto done = completions(http, stream, context); !done) {
               reply_error(*stream, done.error(), standard_error_body);
             }
           },
       .summary = "raw text or token ids in, text and logprobs out"});
}

}  // namespace rapid
