// A model's own chat template (Jinja), rendered byte-equal to transformers.
//
// Immutable after compile(), any thread may render. Rendering runs on fuel:
// an endless template is an error, not a hang.
//
//   RAPID_TRY(auto chat, ChatTemplate::compile(source, {.bos = "<s>"}));
//   RAPID_TRY(auto prompt, chat->render({.messages = messages}));
//   tokenizer.encode(prompt.text, {.untrusted = prompt.user_spans});
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/tokenizer.h"

namespace rapid {

struct TemplateTokens {
  std::string bos;  // text of the special tokens templates refer to
  std::string eos;
  std::string unknown;
  std::string padding;
};

struct TemplateInput {
  Json messages = Json::array();
  Json tools;                   // array, or null = none
  Json documents;               // array, or null = none
  Json extra = Json::object();  // chat_template_kwargs: enable_thinking ...
  bool add_generation_prompt = true;
};

struct RenderedPrompt {
  std::string text;
  // Where text from messages, tools or documents went; sorted, disjoint.
  std::vector<TextSpan> user_spans;
};

class ChatTemplate {
 public:
  // Errors: invalid_argument with the template's line.
  static Result<std::shared_ptr<const ChatTemplate>> compile(
      std::string_view source, TemplateTokens tokens = {});
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // Errors: invalid_argument with the template's own raise_exception message.
  Result<RenderedPrompt> render(const TemplateInput& input) const;

  const std::string& source() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rapid
