// GGUF v3 reader over a mapped file (v2 has the same layout and is read too).
//
// Every offset, count and string length is checked against the file before it
// is used: a truncated or hostile file gives an Error that names the field or
// tensor, never a crash. Any tensor type outside TensorType is `unsupported`
// with the tensor's name and the type's number.
//
//   RAPID_TRY(auto gguf, GgufFile::open("model.gguf"));
//   gguf->number("llama.block_count");
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "hub/tensor_view.h"
#include "text/vocabulary.h"

namespace rapid {

// An array of strings as it lies in the file, each a uint64 length and its
// bytes; checked when the file was read. Copies of a vocabulary's 262,144 names
// would stay in memory as long as the model.
struct GgufStrings {
  std::span<const std::byte> bytes;
  uint64_t count = 0;

  std::vector<std::string> copy() const;
};

// Integers of every width become int64 (uint64 beyond it is corrupt), floats
// double.
using GgufValue = std::variant<
    int64_t,
    double,
    bool,
    std::string,
    std::vector<int64_t>,
    std::vector<double>,
    GgufStrings>;

class GgufFile {
 public:
  static Result<std::shared_ptr<const GgufFile>> open(const std::string& path);
  // For tests and fuzzers: parses bytes that the caller keeps alive, as long
  // as it uses the metadata.
  static Result<std::shared_ptr<const GgufFile>> parse(
      std::span<const std::byte> bytes);

  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }

  std::string architecture() const;  // general.architecture, "" if absent
  std::optional<double> number(const std::string& key) const;
  std::optional<std::string> string(const std::string& key) const;

  // tokenizer.ggml.*; `not_found` when the file carries none.
  Result<Vocabulary> vocabulary() const;

 private:
  GgufFile() = default;
  std::shared_ptr<const MappedFile> file_;  // what GgufStrings point into
  std::map<std::string, GgufValue> metadata_;
  std::vector<TensorView> tensors_;

  friend class GgufParser;
};

}  // namespace rapid
