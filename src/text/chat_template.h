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
  bool find_messages = false;  // fill RenderedPrompt::messages
};

// From the first to the last character of one message, before another's.
// Short of its ends: quotes, space and what the template looks for stay out.
struct MessageSpan {
  size_t begin = 0;
  size_t end = 0;
  size_t message = 0;    // its index
  bool by_name = false;  // it had nothing to be known by but a call's name
  int origin = -1;       // for the caller
};

struct RenderedPrompt {
  std::string text;
  // Where text from messages, tools or documents went; sorted, disjoint.
  std::vector<TextSpan> user_spans;
  // If asked for, sorted; empty when they cannot be told apart.
  std::vector<MessageSpan> messages;
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
