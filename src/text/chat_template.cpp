#include "text/chat_template.h"

#include <ctime>
#include <utility>

#include "text/rust_border.h"

namespace rapid {

namespace {

size_t local_time(rapid_bytes format, uint8_t* out, size_t capacity) {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::string pattern(view(format));
  return std::strftime(
      reinterpret_cast<char*>(out), capacity, pattern.c_str(), &parts);
}

void set_token(Json& context, const char* name, const std::string& token) {
  if (!token.empty()) {
    context[name] = token;
  }
}

}  // namespace

struct ChatTemplate::Impl {
  Impl(rapid_template* handle, std::string source, TemplateTokens tokens)
      : handle(handle), source(std::move(source)), tokens(std::move(tokens)) {}
  ~Impl() { rapid_template_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rapid_template* handle;
  std::string source;
  TemplateTokens tokens;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(
    std::string_view source, TemplateTokens tokens) {
  rapid_error failure{};
  auto* handle = rapid_template_compile(borrow(source), local_time, &failure);
  if (handle == nullptr) {
    Error error = take(failure);
    error.what = "the chat template does not compile: " + error.what;
    return error;
  }
  auto impl =
      std::make_unique<Impl>(handle, std::string(source), std::move(tokens));
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<RenderedPrompt> ChatTemplate::render(const TemplateInput& input) const {
  Json context = Json::object();
  set_token(context, "bos_token", impl_->tokens.bos);
  set_token(context, "eos_token", impl_->tokens.eos);
  set_token(context, "unk_token", impl_->tokens.unknown);
  set_token(context, "pad_token", impl_->tokens.padding);
  if (input.extra.is_object()) {
    for (const auto& [name, value] : input.extra.items()) {
      context[name] = value;
    }
  }
  context["messages"] = input.messages;
  context["tools"] = input.tools;
  context["documents"] = input.documents;
  context["add_generation_prompt"] = input.add_generation_prompt;
  std::string json = dump_json(context);
  rapid_error failure{};
  rapid_spans spans{};
  rapid_owned_spans owned{};
  rapid_buffer text = rapid_template_render(
      impl_->handle,
      borrow(json),
      &spans,
      input.find_messages ? &owned : nullptr,
      &failure);
  if (failure.kind != 0) {
    Error error = take(failure);
    error.what = "the chat template refused: " + error.what;
    error.param = "messages";
    return error;
  }
  RenderedPrompt prompt;
  prompt.text = take(text);
  for (size_t i = 0; i < spans.size; ++i) {
    prompt.user_spans.push_back({spans.data[i].begin, spans.data[i].end});
  }
  rapid_spans_free(spans);
  for (size_t i = 0; i < owned.size; ++i) {
    const rapid_owned_span& one = owned.data[i];
    prompt.messages.push_back({one.begin, one.end, one.message, one.by_name});
  }
  rapid_owned_spans_free(owned);
  return prompt;
}

const std::string& ChatTemplate::source() const {
  return impl_->source;
}

}  // namespace rapid
