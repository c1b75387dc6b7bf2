// The C border of the Rust library: tokenizers and chat templates.
//
// Bytes are borrowed, buffers are owned and go back to rapid_*_free. Strings
// need no terminator. A call that fails fills *error (kind != 0, message to be
// freed) and returns null or an empty buffer; *error is untouched otherwise.
// No panic crosses. Handles are immutable: any thread may use them.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const uint8_t* data;
  size_t size;
} rapid_bytes;

typedef struct {
  uint8_t* data;
  size_t size;
} rapid_buffer;

typedef struct {
  uint32_t* data;
  size_t size;
} rapid_ids;

typedef struct {
  size_t begin;
  size_t end;
} rapid_span;

typedef struct {
  rapid_span* data;
  size_t size;
} rapid_spans;

enum {
  RAPID_TEXT_CORRUPT = 1,
  RAPID_TEXT_UNSUPPORTED = 2,
  RAPID_TEXT_INVALID = 3,
  RAPID_TEXT_INTERNAL = 4,
};

typedef struct {
  int32_t kind;
  rapid_buffer message;
} rapid_error;

void rapid_bytes_free(rapid_buffer bytes);
void rapid_ids_free(rapid_ids ids);
void rapid_spans_free(rapid_spans spans);

// Tokenizer.
typedef struct rapid_tokenizer rapid_tokenizer;

typedef struct {
  rapid_bytes model;
  rapid_bytes pre;
  const rapid_bytes* tokens;
  size_t token_count;
  const float* scores;
  size_t score_count;
  const uint8_t* kinds;
  size_t kind_count;
  const rapid_bytes* merges;
  size_t merge_count;
  int32_t bos;  // -1 = none, as all ids here
  int32_t eos;
  int32_t eot;
  int32_t eom;
  int32_t unknown;
  bool add_bos;
  bool add_eos;
  bool add_space_prefix;
} rapid_vocabulary;

enum { RAPID_TOKEN_SPECIAL = 1, RAPID_TOKEN_PRESENT = 2 };

typedef struct {
  rapid_bytes name;  // borrowed from the tokenizer
  rapid_bytes bytes;
  uint8_t flags;
} rapid_token;

typedef struct {
  size_t size;
  int32_t bos;
  int32_t eos;
  bool strip_leading_space;
  const uint32_t* end_tokens;  // borrowed from the tokenizer
  size_t end_token_count;
} rapid_tokenizer_info_t;

rapid_tokenizer* rapid_tokenizer_from_json(
    rapid_bytes json, rapid_bytes config, rapid_error* error);
rapid_tokenizer* rapid_tokenizer_from_vocabulary(
    const rapid_vocabulary* vocabulary, rapid_error* error);
void rapid_tokenizer_free(rapid_tokenizer* tokenizer);
rapid_ids rapid_tokenizer_encode(
    const rapid_tokenizer* tokenizer,
    rapid_bytes text,
    bool add_special,
    const rapid_span* untrusted,
    size_t untrusted_count,
    rapid_error* error);
rapid_token rapid_tokenizer_token(
    const rapid_tokenizer* tokenizer, uint32_t id);
int32_t rapid_tokenizer_token_id(
    const rapid_tokenizer* tokenizer, rapid_bytes name);
rapid_tokenizer_info_t rapid_tokenizer_info(const rapid_tokenizer* tokenizer);

// Chat template.
typedef struct rapid_template rapid_template;

// Writes the local time in strftime's `format` to `out`; returns its length,
// at most `capacity`.
typedef size_t (*rapid_clock)(
    rapid_bytes format, uint8_t* out, size_t capacity);

rapid_template* rapid_template_compile(
    rapid_bytes source, rapid_clock clock, rapid_error* error);
void rapid_template_free(rapid_template* chat);
// `context`: one JSON object, the template's variables. What stems from its
// messages, tools and documents comes back in *user_spans (to be freed).
rapid_buffer rapid_template_render(
    const rapid_template* chat,
    rapid_bytes context,
    rapid_spans* user_spans,
    rapid_error* error);

#ifdef __cplusplus
}
#endif
