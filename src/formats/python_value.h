// Python's literals as JSON values: the arguments of python_call. What they
// are is written there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/json.h"

namespace rapid {

enum class PythonGot {
  value,
  cut,     // the text ends before the value does
  broken,  // not an expression, or too deep
};

class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : text_(text) {}

  size_t position() const { return at_; }
  void move_to(size_t at) { at_ = at; }
  bool at_end() const { return at_ >= text_.size(); }
  char here() const { return at(at_); }
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  void skip_space();  // and comments
  // Letters, digits, _ . - and what is not ASCII.
  std::string_view name();
  // An expression up to a comma or closer, which is next then.
  PythonGot value(Json& out);
  // Whether a string starts here; string() reads it and those behind it.
  bool at_string() const { return string_prefix(at_) < 3; }
  PythonGot string(std::string& out);

 private:
  size_t string_prefix(size_t at) const;
  size_t string_end(size_t at, std::string* out) const;
  PythonGot literal(Json& out);
  PythonGot list(Json& out, char closer);
  PythonGot braces(Json& out);
  PythonGot expression(Json& out, size_t begin);

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace rapid
