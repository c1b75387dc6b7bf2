// TextCodec: what the front needs of a tokenizer and a chat template, as an
// interface, so that everything above it builds and tests without the Rust
// library. open_text_model() makes the real one; tests have a fake.
//
// Immutable; any thread may call any method. A TextStream belongs to one
// choice and one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/model_files.h"
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace rapid {

// Streaming decode of one choice; pieces are whole characters.
class TextStream {
 public:
  virtual ~TextStream() = default;
  virtual std::string push(int32_t id) = 0;
  virtual std::string flush() = 0;
};

class TextCodec {
 public:
  virtual ~TextCodec() = default;

  virtual std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions& options) const = 0;
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual std::string token_bytes(int32_t id) const = 0;
  virtual int32_t size() const = 0;  // ids are [0, size)

  // The token of this name, if it is one that plain text never leads to.
  virtual std::optional<int32_t> marker(std::string_view) const {
    return std::nullopt;
  }

  // The schema as the grammar compiler takes it (text/grammar.h).
  virtual Result<RelaxedSchema> relax(const Json& schema) const {
    return RelaxedSchema{schema, {}};
  }

  // Special tokens give no text, except those whose name is in `kept`.
  virtual std::unique_ptr<TextStream> stream(
      std::span<const std::string> kept) const = 0;

  // The chat template's text; "" when the model has none.
  virtual std::string_view template_source() const = 0;
  virtual Result<RenderedPrompt> render(const TemplateInput& input) const = 0;
};

// From a model's files, for the engine side; in engine/text_model.cpp.
Result<std::shared_ptr<const Tokenizer>> open_tokenizer(
    const ModelFiles& files);
// What the files say ends a turn, sorted; the template may know more.
std::vector<int32_t> file_end_tokens(
    const ModelFiles& files, const Tokenizer& tokenizer);

}  // namespace rapid
