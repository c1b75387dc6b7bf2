// A TextModel without tokenizer library: a token is a byte, plus three
// special tokens. For tests above the front, with FakeEngine.
//
//   Front front(engine, fake_text_model());
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "engine/front.h"

namespace rapid {

class FakeStream : public TextStream {
 public:
  explicit FakeStream(std::vector<std::pair<int32_t, std::string>> kept)
      : kept_(std::move(kept)) {}

  std::string push(int32_t id) override {
    for (const auto& [special, name] : kept_) {
      held_ += special == id ? name : "";
    }
    if (id >= 0 && id < 256) {
      held_ += static_cast<char>(id);
    }
    const size_t whole = utf8_complete_prefix(held_);
    std::string out = utf8_replace_invalid(held_.substr(0, whole));
    held_.erase(0, whole);
    return out;
  }
  std::string flush() override {
    return utf8_replace_invalid(std::exchange(held_, ""));
  }

 private:
  std::vector<std::pair<int32_t, std::string>> kept_;
  std::string held_;
};

class FakeCodec : public TextCodec {
 public:
  static constexpr int32_t kTurn = 256;  // <|turn|>
  static constexpr int32_t kEnd = 257;   // <|end|>
  static constexpr int32_t kCall = 258;  // <|call|>

  bool with_template = true;

  static const std::vector<std::pair<int32_t, std::string>>& specials() {
    static const std::vector<std::pair<int32_t, std::string>> all = {
        {kTurn, "<|turn|>"}, {kEnd, "<|end|>"}, {kCall, "<|call|>"}};
    return all;
  }

  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions& options) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size();) {
      size_t length = 0;
      for (const auto& [id, name] : specials()) {
        if (options.parse_special && text.substr(i).starts_with(name) &&
            !overlaps(options.untrusted, i, i + name.size())) {
          ids.push_back(id);
          length = name.size();
        }
      }
      if (length == 0) {
        ids.push_back(static_cast<unsigned char>(text[i]));
        length = 1;
      }
      i += length;
    }
    return ids;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (const int32_t id : ids) {
      out += token_bytes(id);
    }
    return utf8_replace_invalid(out);
  }

  std::string token_bytes(int32_t id) const override {
    for (const auto& [special, name] : specials()) {
      if (special == id) {
        return name;
      }
    }
    return id >= 0 && id < 256 ? std::string(1, static_cast<char>(id)) : "";
  }

  int32_t size() const override { return 259; }

  std::unique_ptr<TextStream> stream(
      std::span<const std::string> kept) const override {
    std::vector<std::pair<int32_t, std::string>> names;
    for (const auto& [id, name] : specials()) {
      if (std::find(kept.begin(), kept.end(), name) != kept.end()) {
        names.push_back({id, name});
      }
    }
    return std::make_unique<FakeStream>(std::move(names));
  }

  std::string_view template_source() const override {
    return with_template ? "<|turn|>role\ncontent<|end|> <tool_call>" : "";
  }

  // <|turn|>role\ncontent<|end|> for each message; tools as JSON in front.
  Result<RenderedPrompt> render(const TemplateInput& input) const override {
    RenderedPrompt out;
    if (!input.tools.is_null()) {
      out.text += "<|turn|>tools\n" + dump_json(input.tools) + "<|end|>";
    }
    for (size_t i = 0; i < input.messages.size(); ++i) {
      const Json& message = input.messages[i];
      out.text += "<|turn|>" + message.at("role").get<std::string>() + "\n";
      const size_t begin = out.text.size();
      out.text += message.at("content").get<std::string>();
      if (out.text.size() > begin) {
        out.user_spans.push_back({begin, out.text.size()});
      }
      if (message.contains("tool_calls")) {
        out.text += dump_json(message.at("tool_calls"));
      }
      if (input.find_messages && out.text.size() > begin) {
        out.messages.push_back({begin, out.text.size(), i});
      }
      out.text += "<|end|>";
    }
    if (input.add_generation_prompt) {
      out.text += "<|turn|>assistant\n";
    }
    return out;
  }

 private:
  static bool overlaps(
      std::span<const TextSpan> spans, size_t begin, size_t end) {
    return std::any_of(spans.begin(), spans.end(), [&](const TextSpan& span) {
      return begin < span.end && span.begin < end;
    });
  }
};

// `format` as in the registry; "plain" or "hermes".
inline std::shared_ptr<TextModel> fake_text_model(
    std::string_view format = "hermes") {
  auto model = std::make_shared<TextModel>();
  model->name = "fake";
  model->path = "/fake";
  model->codec = std::make_shared<FakeCodec>();
  model->format = FormatRegistry::global().find(format);
  model->end_tokens = {FakeCodec::kEnd};
  model->turn_marks = {{"<|end|>"}, "<|end|><|turn|>assistant\n"};
  return model;
}

}  // namespace rapid
