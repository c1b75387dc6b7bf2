// open_text_model: everything that is text about a model, from its files.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/platform.h"
#include "engine/front.h"
#include "engine/text_codec.h"
#include "formats/reasoning.h"
#include "hub/model_files.h"
#include "text/detokenizer.h"
#include "text/fallback_templates.h"

namespace rapid {
namespace {

// Drops special tokens itself, so that some may be kept.
class TokenizerStream final : public TextStream {
 public:
  TokenizerStream(
      std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> kept)
      : tokenizer_(tokenizer),
        text_(std::move(tokenizer), /*skip_special=*/false),
        kept_(std::move(kept)) {}

  std::string push(int32_t id) override {
    const bool dropped =
        tokenizer_->is_special(id) &&
        std::find(kept_.begin(), kept_.end(), id) == kept_.end();
    return dropped ? "" : text_.push(id);
  }
  std::string flush() override { return text_.flush(); }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Detokenizer text_;
  std::vector<int32_t> kept_;
};

class ModelCodec final : public TextCodec {
 public:
  ModelCodec(
      std::shared_ptr<const Tokenizer> tokenizer,
      std::shared_ptr<const ChatTemplate> chat)
      : tokenizer_(std::move(tokenizer)), chat_(std::move(chat)) {}

  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions& options) const override {
    return tokenizer_->encode(text, options);
  }
  std::string decode(std::span<const int32_t> ids) const override {
    return tokenizer_->decode(ids);
  }
  std::string token_bytes(int32_t id) const override {
    return tokenizer_->token_bytes(id);
  }
  int32_t size() const override { return tokenizer_->size(); }

  std::unique_ptr<TextStream> stream(
      std::span<const std::string> kept) const override {
    std::vector<int32_t> ids;
    for (const std::string& name : kept) {
      if (const auto id = tokenizer_->token_id(name)) {
        ids.push_back(*id);
      }
    }
    return std::make_unique<TokenizerStream>(tokenizer_, std::move(ids));
  }

  std::optional<int32_t> marker(std::string_view name) const override {
    const auto id = tokenizer_->token_id(name);
    const bool tag = (name.starts_with('<') && name.ends_with('>')) ||
                     (name.starts_with('[') && name.ends_with(']'));
    return id && (tag || tokenizer_->is_special(*id)) ? id : std::nullopt;
  }

  Result<RelaxedSchema> relax(const Json& schema) const override {
    return relax_schema(schema);
  }

  std::string_view template_source() const override {
    return chat_ ? std::string_view(chat_->source()) : std::string_view();
  }
  Result<RenderedPrompt> render(const TemplateInput& input) const override {
    return chat_->render(input);
  }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> chat_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(
    const ModelFiles& files) {
  if (!files.tokenizer_json.empty()) {
    return Tokenizer::from_json(files.tokenizer_json, files.tokenizer_config);
  }
  if (files.gguf) {
    RAPID_TRY(Vocabulary vocabulary, files.gguf->vocabulary());
    return Tokenizer::from_vocabulary(vocabulary);
  }
  return Error{
      ErrorCode::not_found,
      "the model at " + files.path + " has no tokenizer.json",
      "download the whole repository, with its tokenizer files",
      files.path};
}

namespace {

// "bos_token" of tokenizer_config.json: a string, or an object around it.
std::string named_token(const Json& config, const char* key) {
  if (!config.is_object() || !config.contains(key)) {
    return "";
  }
  const Json& token = config.at(key);
  if (token.is_string()) {
    return token.get<std::string>();
  }
  return token.is_object() ? token.value("content", "") : "";
}

TemplateTokens template_tokens(
    const ModelFiles& files, const Tokenizer& tokenizer) {
  Json config;
  if (auto parsed = parse_json(files.tokenizer_config)) {
    config = *std::move(parsed);
  }
  TemplateTokens out{
      .bos = named_token(config, "bos_token"),
      .eos = named_token(config, "eos_token"),
      .unknown = named_token(config, "unk_token"),
      .padding = named_token(config, "pad_token")};
  if (out.bos.empty() && tokenizer.bos()) {
    out.bos = tokenizer.token_bytes(*tokenizer.bos());
  }
  if (out.eos.empty() && tokenizer.eos()) {
    out.eos = tokenizer.token_bytes(*tokenizer.eos());
  }
  return out;
}

Json probe_message(const char* role, const char* content) {
  Json out = Json::object();
  out["role"] = role;
  out["content"] = content;
  return out;
}

// What the template puts behind the last `marker` of a conversation.
std::string rendered_behind(
    const ChatTemplate& chat, Json messages, std::string_view marker) {
  TemplateInput input;
  input.messages = std::move(messages);
  input.add_generation_prompt = false;
  const auto rendered = chat.render(input);
  const size_t at = rendered ? rendered->text.rfind(marker) : std::string::npos;
  return at == std::string::npos ? ""
                                 : rendered->text.substr(at + marker.size());
}

// The special token that the template puts behind an assistant's message.
std::optional<int32_t> end_of_turn(
    const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const std::string tail = rendered_behind(
      chat,
      Json::array(
          {probe_message("user", "probe-question"),
           probe_message("assistant", "probe-answer")}),
      "probe-answer");
  for (const int32_t id : tokenizer.encode(tail)) {
    if (tokenizer.is_special(id)) {
      return id;
    }
    const std::string text = tokenizer.token_bytes(id);
    if (text.find_first_not_of(" \n\r\t") != std::string::npos) {
      break;
    }
  }
  return std::nullopt;
}

void add_ids(const Json& object, const char* key, std::vector<int32_t>& out) {
  if (!object.is_object() || !object.contains(key)) {
    return;
  }
  const Json& ids = object.at(key);
  for (const Json& id : ids.is_array() ? ids : Json::array({ids})) {
    if (id.is_number_integer()) {
      out.push_back(id.get<int32_t>());
    }
  }
}

}  // namespace

std::vector<int32_t> file_end_tokens(
    const ModelFiles& files, const Tokenizer& tokenizer) {
  std::vector<int32_t> out = tokenizer.end_tokens();
  if (tokenizer.eos()) {
    out.push_back(*tokenizer.eos());
  }
  add_ids(files.generation_config, "eos_token_id", out);
  add_ids(files.config, "eos_token_id", out);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

namespace {

std::vector<int32_t> all_end_tokens(
    const ModelFiles& files, const TextModel& model) {
  std::vector<int32_t> out = file_end_tokens(files, *model.tokenizer);
  if (model.chat_template) {
    if (auto id = end_of_turn(*model.chat_template, *model.tokenizer)) {
      out.push_back(*id);
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

chat::Sampling sampling_defaults(const Json& config) {
  chat::Sampling out;
  const auto take = [&](const char* key, auto& field) {
    if (config.is_object() && config.contains(key) &&
        config.at(key).is_number()) {
      field = config.at(key)
                  .get<typename std::decay_t<decltype(field)>::value_type>();
    }
  };
  take("temperature", out.temperature);
  take("top_p", out.top_p);
  take("top_k", out.top_k);
  take("min_p", out.min_p);
  take("repetition_penalty", out.repetition_penalty);
  return out;
}

TemplateFacts template_facts(const TextModel& model) {
  TemplateFacts facts;
  facts.source = model.codec->template_source();
  if (model.chat_template) {
    facts.rendered_call = rendered_call(
        [&](const TemplateInput& input) {
          return model.chat_template->render(input);
        },
        model.history);
  }
  facts.has_token = [&](std::string_view name) {
    return model.tokenizer->token_id(name).has_value();
  };
  return facts;
}

int64_t modified_seconds(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? info.st_mtime : 0;
}

}  // namespace

Result<std::shared_ptr<const TextModel>> open_text_model(
    const std::string& path, const TextModelOptions& options) {
  RAPID_TRY(auto files, ModelFiles::open(path));
  auto model = std::make_shared<TextModel>();
  model->name = options.name.empty() ? path : options.name;
  model->path = path;
  model->alias = options.alias;
  model->created = modified_seconds(path);
  RAPID_TRY(model->tokenizer, open_tokenizer(*files));
  std::string source = files->chat_template;
  if (source.empty()) {
    const auto fallback = fallback_template(files->architecture);
    model->fallback_template = fallback.has_value();
    source = std::string(fallback.value_or(""));
  }
  if (!source.empty()) {
    RAPID_TRY(
        model->chat_template,
        ChatTemplate::compile(
            source, template_tokens(*files, *model->tokenizer)));
  }
  model->codec =
      std::make_shared<ModelCodec>(model->tokenizer, model->chat_template);
  if (model->chat_template) {
    model->history.support = probe_template([&](const TemplateInput& input) {
      return model->chat_template->render(input);
    });
    model->history.knows_developer =
        source.find("developer") != std::string::npos;
  }
  RAPID_TRY(
      model->format_choice,
      choose_format(template_facts(*model), options.format));
  model->format = model->format_choice.format;
  model->history.render_calls = render_calls_of(*model->format);
  model->reasoning = reasoning_of_template(source);
  model->end_tokens = all_end_tokens(*files, *model);
  if (model->chat_template) {
    std::vector<std::string> ends;
    for (const int32_t id : model->end_tokens) {
      ends.push_back(model->tokenizer->token_bytes(id));
    }
    model->turn_marks = probe_turn_marks(
        [&](const TemplateInput& input) {
          return model->chat_template->render(input);
        },
        std::move(ends));
  }
  model->defaults = sampling_defaults(files->generation_config);
  release_free_memory();  // building a tokenizer takes far more than it keeps
  return std::shared_ptr<const TextModel>(std::move(model));
}

}  // namespace rapid
