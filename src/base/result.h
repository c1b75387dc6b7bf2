// Result<T>: a value or an Error. For failures that a user can cause and a
// caller must look at: bad input, missing files, refused requests. Programmer
// errors and MLX's own failures stay exceptions.
//
//   Result<Gguf> file = Gguf::open(path);
//   if (!file) return file.error();
//   use(*file);
//
// RAPID_TRY(x, expr) and RAPID_CHECK(expr) do the middle line for you.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rapid {

enum class ErrorCode {
  invalid_argument,  // the caller's fault: 400, exit 1
  not_found,         // a name that nothing answers to: 404
  unauthorized,      // 401
  too_large,         // over a stated limit: 413
  context_length,    // prompt longer than the context: 400
  unsupported,       // valid input that this build cannot serve: 400
  corrupt,           // a file that is not what it says it is
  busy,              // try again later: 429
  cancelled,         // the client left or asked to stop
  io,                // disk, network, permission
  internal,          // our bug: 500
};

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string what;   // one sentence: expected ..., got ...
  std::string hint;   // what to do about it; may be empty
  std::string param;  // the request field or file at fault; may be empty
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return held_.index() == 0; }
  T& operator*() & { return std::get<0>(held_); }
  const T& operator*() const& { return std::get<0>(held_); }
  T&& operator*() && { return std::get<0>(std::move(held_)); }
  T* operator->() { return &std::get<0>(held_); }
  const T* operator->() const { return &std::get<0>(held_); }
  const Error& error() const { return std::get<1>(held_); }

 private:
  std::variant<T, Error> held_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const { return !error_; }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace rapid

#define RAPID_CONCAT_(a, b) a##b
#define RAPID_CONCAT(a, b) RAPID_CONCAT_(a, b)
#define RAPID_TRY_(temporary, lhs, expr) \
  auto temporary = (expr);               \
  if (!temporary) {                      \
    return temporary.error();            \
  }                                      \
  lhs = *std::move(temporary)

// RAPID_TRY(auto file, open(path)): returns the Error, or binds the value.
#define RAPID_TRY(lhs, expr) \
  RAPID_TRY_(RAPID_CONCAT(result_, __LINE__), lhs, expr)

#define RAPID_CHECK(expr)                            \
  if (auto RAPID_CONCAT(status_, __LINE__) = (expr); \
      !RAPID_CONCAT(status_, __LINE__)) {            \
    return RAPID_CONCAT(status_, __LINE__).error();  \
  }
