#include "text/grammar.h"

#include <algorithm>
#include <new>
#include <string_view>

#include "text/rust_border.h"

namespace rapid {

struct GrammarVocabulary::Impl {
  explicit Impl(rapid_grammar_vocabulary_t* handle) : handle(handle) {}
  ~Impl() { rapid_grammar_vocabulary_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rapid_grammar_vocabulary_t* handle;
};

struct Grammar::Impl {
  explicit Impl(rapid_grammar* handle) : handle(handle) {}
  ~Impl() { rapid_grammar_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rapid_grammar* handle;
};

struct GrammarState::Impl {
  explicit Impl(rapid_grammar_state* handle) : handle(handle) {
    if (handle == nullptr) {
      throw std::bad_alloc();
    }
  }
  ~Impl() { rapid_grammar_state_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  rapid_grammar_state* handle;
};

namespace {

std::vector<std::string> take_names(rapid_buffer buffer) {
  std::vector<std::string> out;
  for (const Json& name : Json::parse(take(buffer))) {
    out.push_back(name.get<std::string>());
  }
  return out;
}

Error not_compiled(const rapid_error& failure, std::string_view what) {
  Error error = take(failure);
  error.what = std::string(what) + " cannot be compiled: " + error.what;
  return error;
}

std::string_view name_of(GrammarSource::Kind kind) {
  switch (kind) {
    case GrammarSource::Kind::json_schema:
      return "the JSON Schema";
    case GrammarSource::Kind::regex:
      return "the regular expression";
    default:
      return "the grammar";
  }
}

int32_t code_of(GrammarSource::Kind kind) {
  switch (kind) {
    case GrammarSource::Kind::json_schema:
      return RAPID_GRAMMAR_JSON_SCHEMA;
    case GrammarSource::Kind::json_object:
      return RAPID_GRAMMAR_JSON_OBJECT;
    case GrammarSource::Kind::regex:
      return RAPID_GRAMMAR_REGEX;
    case GrammarSource::Kind::lark:
      return RAPID_GRAMMAR_LARK;
  }
  return -1;
}

}  // namespace

GrammarVocabulary::GrammarVocabulary(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

GrammarVocabulary::~GrammarVocabulary() = default;

Result<std::shared_ptr<const GrammarVocabulary>> GrammarVocabulary::build(
    std::shared_ptr<const Tokenizer> tokenizer,
    std::span<const int32_t> end_tokens,
    int32_t rows) {
  const std::vector<uint32_t> ends(end_tokens.begin(), end_tokens.end());
  rapid_error failure{};
  auto* handle = rapid_grammar_vocabulary(
      tokenizer->handle(),
      ends.data(),
      ends.size(),
      static_cast<size_t>(std::max(rows, 0)),
      &failure);
  if (handle == nullptr) {
    Error error = take(failure);
    error.what = "no grammar can use this vocabulary: " + error.what;
    return error;
  }
  std::shared_ptr<GrammarVocabulary> made(
      new GrammarVocabulary(std::make_unique<Impl>(handle)));
  made->tokenizer_ = std::move(tokenizer);
  made->end_tokens_.assign(end_tokens.begin(), end_tokens.end());
  made->rows_ = rows;
  return std::shared_ptr<const GrammarVocabulary>(std::move(made));
}

bool GrammarVocabulary::is_marker(int32_t id) const {
  return rapid_grammar_is_marker(impl_->handle, static_cast<uint32_t>(id));
}

std::string GrammarVocabulary::token_bytes(int32_t id) const {
  return std::string(view(
      rapid_grammar_token_bytes(impl_->handle, static_cast<uint32_t>(id))));
}

Grammar::Grammar(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Grammar::~Grammar() = default;

Result<std::shared_ptr<const Grammar>> Grammar::compile(
    std::shared_ptr<const GrammarVocabulary> vocabulary,
    const GrammarSource& source,
    GrammarReport* report) {
  rapid_error failure{};
  rapid_buffer relaxed{};
  auto* handle = rapid_grammar_compile(
      vocabulary->impl_->handle,
      code_of(source.kind),
      borrow(source.text),
      &relaxed,
      &failure);
  if (handle == nullptr) {
    return not_compiled(failure, name_of(source.kind));
  }
  std::shared_ptr<Grammar> made(new Grammar(std::make_unique<Impl>(handle)));
  made->vocabulary_ = std::move(vocabulary);
  std::vector<std::string> names = take_names(relaxed);
  if (report != nullptr) {
    report->relaxed = std::move(names);
  }
  return std::shared_ptr<const Grammar>(std::move(made));
}

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar, Impl* impl)
    : grammar_(std::move(grammar)), impl_(impl) {}

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)),
      impl_(std::make_unique<Impl>(
          rapid_grammar_start(grammar_->impl_->handle))) {}

GrammarState::~GrammarState() = default;
GrammarState::GrammarState(GrammarState&&) noexcept = default;
GrammarState& GrammarState::operator=(GrammarState&&) noexcept = default;

GrammarState GrammarState::clone() const {
  auto copy = std::make_unique<Impl>(rapid_grammar_clone(impl_->handle));
  return GrammarState(grammar_, copy.release());
}

Status GrammarState::fill_mask(std::span<uint32_t> bits) {
  rapid_error failure{};
  if (!rapid_grammar_mask(impl_->handle, bits.data(), bits.size(), &failure)) {
    Error error = take(failure);
    error.what = "the grammar cannot say what may follow: " + error.what;
    error.hint = "a simpler schema or pattern needs fewer states";
    return error;
  }
  return {};
}

Status GrammarState::accept(int32_t token) {
  rapid_error failure{};
  if (!rapid_grammar_accept(
          impl_->handle, static_cast<uint32_t>(token), &failure)) {
    return take(failure);
  }
  return {};
}

bool GrammarState::accepting() {
  return rapid_grammar_accepting(impl_->handle);
}

bool GrammarState::stopped() const {
  return rapid_grammar_stopped(impl_->handle);
}

Status GrammarState::rollback(int tokens) {
  rapid_error failure{};
  const auto count = static_cast<size_t>(std::max(tokens, 0));
  if (!rapid_grammar_rollback(impl_->handle, count, &failure)) {
    return take(failure);
  }
  return {};
}

std::vector<int32_t> GrammarState::forced() const {
  const std::string bytes = take(rapid_grammar_forced(impl_->handle));
  const Tokenizer& tokenizer = grammar_->vocabulary().tokenizer();
  if (tokenizer.strips_leading_space()) {
    return {};  // it would put a space before the text
  }
  // Markers start with a byte of their own; only plain text is cut here.
  const std::string text = bytes.substr(0, bytes.find('\xFF'));
  std::vector<int32_t> ids = tokenizer.encode(text, {.parse_special = false});
  if (!ids.empty()) {
    ids.pop_back();
  }
  return ids;
}

Result<RelaxedSchema> relax_schema(const Json& schema) {
  rapid_error failure{};
  rapid_buffer relaxed{};
  rapid_buffer text =
      rapid_grammar_relax(borrow(dump_json(schema)), &relaxed, &failure);
  if (text.data == nullptr) {
    return not_compiled(failure, "the JSON Schema");
  }
  RelaxedSchema out;
  out.schema = Json::parse(take(text));
  out.relaxed = take_names(relaxed);
  return out;
}

}  // namespace rapid
