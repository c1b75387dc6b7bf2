#include "hub/gguf.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "hub/gguf_parser.h"

namespace rapid {

namespace {

const GgufValue* find(const GgufFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? nullptr : &found->second;
}

template <typename T>
const T* find_as(const GgufFile& file, const std::string& key) {
  const GgufValue* value = find(file, key);
  return value ? std::get_if<T>(value) : nullptr;
}

Error bad_vocabulary(std::string what) {
  return Error{
      ErrorCode::corrupt,
      std::move(what),
      "the file's tokenizer is damaged: fetch the model again"};
}

// A token id of the vocabulary; -1 when the file names none.
Result<int32_t> token_id(
    const GgufFile& file, const std::string& name, size_t size) {
  const std::string key = "tokenizer.ggml." + name + "_token_id";
  const auto* value = find_as<int64_t>(file, key);
  if (!value || *value == -1 || *value == 0xFFFFFFFF) {
    return -1;
  }
  if (*value < 0 || static_cast<uint64_t>(*value) >= size) {
    return bad_vocabulary(
        fmt::format("{} is {}, but there are {} tokens", key, *value, size));
  }
  return static_cast<int32_t>(*value);
}

Status read_kinds(const GgufFile& file, Vocabulary& out) {
  const auto* kinds =
      find_as<std::vector<int64_t>>(file, "tokenizer.ggml.token_type");
  if (!kinds) {
    return {};
  }
  if (kinds->size() != out.tokens.size()) {
    return bad_vocabulary(fmt::format(
        "tokenizer.ggml.token_type has {} entries for {} tokens",
        kinds->size(),
        out.tokens.size()));
  }
  out.kinds.reserve(kinds->size());
  for (const int64_t kind : *kinds) {
    if (kind < 0 || kind > 6) {
      return bad_vocabulary(
          fmt::format("tokenizer.ggml.token_type holds {}", kind));
    }
    // 0 is "undefined", which old converters wrote for ordinary tokens.
    out.kinds.push_back(static_cast<Vocabulary::Kind>(kind == 0 ? 1 : kind));
  }
  return {};
}

Status read_scores(const GgufFile& file, Vocabulary& out) {
  const auto* scores =
      find_as<std::vector<double>>(file, "tokenizer.ggml.scores");
  if (!scores) {
    return {};
  }
  if (scores->size() != out.tokens.size()) {
    return bad_vocabulary(fmt::format(
        "tokenizer.ggml.scores has {} entries for {} tokens",
        scores->size(),
        out.tokens.size()));
  }
  out.scores.reserve(scores->size());
  for (const double score : *scores) {
    out.scores.push_back(static_cast<float>(score));
  }
  return {};
}

Status read_ids(const GgufFile& file, Vocabulary& out) {
  const size_t size = out.tokens.size();
  RAPID_TRY(out.bos, token_id(file, "bos", size));
  RAPID_TRY(out.eos, token_id(file, "eos", size));
  RAPID_TRY(out.eot, token_id(file, "eot", size));
  RAPID_TRY(out.eom, token_id(file, "eom", size));
  RAPID_TRY(out.unknown, token_id(file, "unknown", size));
  RAPID_TRY(out.padding, token_id(file, "padding", size));
  return {};
}

}  // namespace

std::vector<std::string> GgufStrings::copy() const {
  std::vector<std::string> out;
  out.reserve(count);
  const auto* at = reinterpret_cast<const char*>(bytes.data());
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length;
    std::memcpy(&length, at, sizeof(length));
    out.emplace_back(at + sizeof(length), length);
    at += sizeof(length) + length;
  }
  return out;
}

Result<std::shared_ptr<const GgufFile>> GgufFile::open(
    const std::string& path) {
  RAPID_TRY(auto file, MappedFile::open(path));
  auto parsed = GgufParser(file->bytes()).parse(file);
  if (!parsed) {
    Error error = parsed.error();
    error.what = path + ": " + error.what;
    error.param = path;
    return error;
  }
  return parsed;
}

Result<std::shared_ptr<const GgufFile>> GgufFile::parse(
    std::span<const std::byte> bytes) {
  return GgufParser(bytes).parse(nullptr);
}

std::string GgufFile::architecture() const {
  return string("general.architecture").value_or("");
}

std::optional<double> GgufFile::number(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) {
    return std::nullopt;
  }
  if (const auto* integer = std::get_if<int64_t>(value)) {
    return static_cast<double>(*integer);
  }
  if (const auto* real = std::get_if<double>(value)) {
    return *real;
  }
  if (const auto* flag = std::get_if<bool>(value)) {
    return *flag ? 1.0 : 0.0;
  }
  return std::nullopt;
}

std::optional<std::string> GgufFile::string(const std::string& key) const {
  const auto* value = find_as<std::string>(*this, key);
  return value ? std::optional(*value) : std::nullopt;
}

Result<Vocabulary> GgufFile::vocabulary() const {
  const auto* tokens = find_as<GgufStrings>(*this, "tokenizer.ggml.tokens");
  if (!tokens || tokens->count == 0) {
    return Error{
        ErrorCode::not_found,
        "the GGUF file carries no tokenizer",
        "use a file that has tokenizer.ggml.tokens"};
  }
  if (tokens->count > std::numeric_limits<int32_t>::max()) {
    return bad_vocabulary("tokenizer.ggml.tokens is too long");
  }
  Vocabulary out;
  out.tokens = tokens->copy();
  out.model = string("tokenizer.ggml.model").value_or("");
  out.pre = string("tokenizer.ggml.pre").value_or("");
  if (const auto* merges =
          find_as<GgufStrings>(*this, "tokenizer.ggml.merges")) {
    out.merges = merges->copy();
  }
  RAPID_CHECK(read_scores(*this, out));
  RAPID_CHECK(read_kinds(*this, out));
  RAPID_CHECK(read_ids(*this, out));
  // A scored (SentencePiece) vocabulary starts with BOS and a space unless
  // the file says otherwise; a merged (BPE) one does neither.
  const double scored = out.scores.empty() ? 0 : 1;
  out.add_bos = number("tokenizer.ggml.add_bos_token").value_or(scored) != 0;
  out.add_eos = number("tokenizer.ggml.add_eos_token").value_or(0) != 0;
  out.add_space_prefix =
      number("tokenizer.ggml.add_space_prefix").value_or(scored) != 0;
  return out;
}

}  // namespace rapid
