#include "text/tokenizer.h"

#include <stdexcept>

#include "base/utf8.h"
#include "text/rust_border.h"

namespace rapid {

struct Tokenizer::Impl {
  explicit Impl(rapid_tokenizer* handle)
      : handle(handle), info(rapid_tokenizer_info(handle)) {
    end_tokens.assign(info.end_tokens, info.end_tokens + info.end_token_count);
  }
  ~Impl() { rapid_tokenizer_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rapid_token token(int32_t id) const {
    return rapid_tokenizer_token(handle, static_cast<uint32_t>(id));
  }

  rapid_tokenizer* handle;
  rapid_tokenizer_info_t info;
  std::vector<int32_t> end_tokens;
};

namespace {

std::vector<rapid_bytes> borrow_all(const std::vector<std::string>& texts) {
  std::vector<rapid_bytes> views;
  views.reserve(texts.size());
  for (const std::string& text : texts) {
    views.push_back(borrow(text));
  }
  return views;
}

std::optional<int32_t> optional_id(int32_t id) {
  return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Tokenizer::~Tokenizer() = default;

const rapid_tokenizer* Tokenizer::handle() const {
  return impl_->handle;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(
    std::string_view tokenizer_json, std::string_view config) {
  rapid_error failure{};
  auto* handle = rapid_tokenizer_from_json(
      borrow(tokenizer_json), borrow(config), &failure);
  if (handle == nullptr) {
    Error error = take(failure);
    error.what = "tokenizer.json cannot be used: " + error.what;
    error.hint = "download the model's tokenizer files again";
    return error;
  }
  return std::shared_ptr<const Tokenizer>(
      new Tokenizer(std::make_unique<Impl>(handle)));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_vocabulary(
    const Vocabulary& vocabulary) {
  static_assert(sizeof(Vocabulary::Kind) == sizeof(uint8_t));
  std::vector<rapid_bytes> tokens = borrow_all(vocabulary.tokens);
  std::vector<rapid_bytes> merges = borrow_all(vocabulary.merges);
  rapid_vocabulary plain{};
  plain.model = borrow(vocabulary.model);
  plain.pre = borrow(vocabulary.pre);
  plain.tokens = tokens.data();
  plain.token_count = tokens.size();
  plain.scores = vocabulary.scores.data();
  plain.score_count = vocabulary.scores.size();
  plain.kinds = reinterpret_cast<const uint8_t*>(vocabulary.kinds.data());
  plain.kind_count = vocabulary.kinds.size();
  plain.merges = merges.data();
  plain.merge_count = merges.size();
  plain.bos = vocabulary.bos;
  plain.eos = vocabulary.eos;
  plain.eot = vocabulary.eot;
  plain.eom = vocabulary.eom;
  plain.unknown = vocabulary.unknown;
  plain.add_bos = vocabulary.add_bos;
  plain.add_eos = vocabulary.add_eos;
  plain.add_space_prefix = vocabulary.add_space_prefix;
  rapid_error failure{};
  auto* handle = rapid_tokenizer_from_vocabulary(&plain, &failure);
  if (handle == nullptr) {
    Error error = take(failure);
    error.what = "the file's vocabulary cannot be used: " + error.what;
    return error;
  }
  return std::shared_ptr<const Tokenizer>(
      new Tokenizer(std::make_unique<Impl>(handle)));
}

std::vector<int32_t> Tokenizer::encode(
    std::string_view text, const EncodeOptions& options) const {
  std::string repaired;
  if (!utf8_valid(text)) {
    repaired = utf8_replace_invalid(text);
    text = repaired;
  }
  std::vector<rapid_span> spans;
  if (!options.parse_special) {
    spans.push_back({0, text.size()});
  } else if (!repaired.empty() && !options.untrusted.empty()) {
    // The repair moved the bytes, so no span can be trusted to fit.
    spans.push_back({0, text.size()});
  } else {
    for (const TextSpan& span : options.untrusted) {
      spans.push_back({span.begin, span.end});
    }
  }
  rapid_error failure{};
  rapid_ids ids = rapid_tokenizer_encode(
      impl_->handle,
      borrow(text),
      options.add_special,
      spans.data(),
      spans.size(),
      &failure);
  if (failure.kind != 0) {
    // Only a broken tokenizer fails on valid text: caught per request.
    throw std::runtime_error("encode: " + take(failure).what);
  }
  std::vector<int32_t> out(ids.data, ids.data + ids.size);
  rapid_ids_free(ids);
  return out;
}

std::string Tokenizer::decode(
    std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  bool first = true;
  for (int32_t id : ids) {
    rapid_token token = impl_->token(id);
    if (skip_special && (token.flags & RAPID_TOKEN_SPECIAL) != 0) {
      continue;
    }
    std::string_view piece = view(token.bytes);
    if (first && !piece.empty()) {
      first = false;
      if (impl_->info.strip_leading_space && piece[0] == ' ') {
        piece.remove_prefix(1);
      }
    }
    bytes += piece;
  }
  return utf8_replace_invalid(bytes);
}

std::string Tokenizer::token_bytes(int32_t id) const {
  return std::string(view(impl_->token(id).bytes));
}

std::optional<int32_t> Tokenizer::token_id(std::string_view name) const {
  return optional_id(rapid_tokenizer_token_id(impl_->handle, borrow(name)));
}

bool Tokenizer::is_special(int32_t id) const {
  return (impl_->token(id).flags & RAPID_TOKEN_SPECIAL) != 0;
}

bool Tokenizer::strips_leading_space() const {
  return impl_->info.strip_leading_space;
}

int32_t Tokenizer::size() const {
  return static_cast<int32_t>(impl_->info.size);
}

std::optional<int32_t> Tokenizer::bos() const {
  return optional_id(impl_->info.bos);
}

std::optional<int32_t> Tokenizer::eos() const {
  return optional_id(impl_->info.eos);
}

const std::vector<int32_t>& Tokenizer::end_tokens() const {
  return impl_->end_tokens;
}

}  // namespace rapid
