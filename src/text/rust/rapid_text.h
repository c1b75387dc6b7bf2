// The C border of the Rust library: tokenizers, chat templates, grammars.
//
// Bytes are borrowed, buffers are owned and go back to rapid_*_free. Strings
// need no terminator. A call that fails fills *error (kind != 0, message to be
// freed) and returns null or an empty buffer; *error is untouched otherwise.
// No panic crosses. Handles are immutable, so any thread may use them; only a
// rapid_grammar_state changes and wants one thread at a time.
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

typedef struct {
  size_t begin;
  size_t end;
  size_t message;  // its index
  bool by_name;
} rapid_owned_span;

typedef struct {
  rapid_owned_span* data;
  size_t size;
} rapid_owned_spans;

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
void rapid_owned_spans_free(rapid_owned_spans spans);

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

enum {
  RAPID_TOKEN_SPECIAL = 1,
  RAPID_TOKEN_PRESENT = 2,
  RAPID_TOKEN_MARKUP = 4,  // added to the vocabulary, no plain text
};

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
// messages, tools and documents comes back in *user_spans (to be freed); of
// which message a text is in *owners, unless it is null (one render more).
rapid_buffer rapid_template_render(
    const rapid_template* chat,
    rapid_bytes context,
    rapid_spans* user_spans,
    rapid_owned_spans* owners,
    rapid_error* error);

// Grammars. A vocabulary may be freed before the grammars made of it.
typedef struct rapid_grammar_vocabulary_t rapid_grammar_vocabulary_t;
typedef struct rapid_grammar rapid_grammar;
typedef struct rapid_grammar_state rapid_grammar_state;

enum {
  RAPID_GRAMMAR_JSON_SCHEMA = 0,
  RAPID_GRAMMAR_JSON_OBJECT = 1,
  RAPID_GRAMMAR_REGEX = 2,
  RAPID_GRAMMAR_LARK = 3,
};

rapid_grammar_vocabulary_t* rapid_grammar_vocabulary(
    const rapid_tokenizer* tokenizer,
    const uint32_t* ends,
    size_t end_count,
    size_t rows,
    rapid_error* error);
void rapid_grammar_vocabulary_free(rapid_grammar_vocabulary_t* vocabulary);
// Borrowed from the vocabulary; empty where no text leads to the token.
rapid_bytes rapid_grammar_token_bytes(
    const rapid_grammar_vocabulary_t* vocabulary, uint32_t id);
bool rapid_grammar_is_marker(
    const rapid_grammar_vocabulary_t* vocabulary, uint32_t id);
// `relaxed`: a JSON list of strings, to be freed.
rapid_buffer rapid_grammar_relax(
    rapid_bytes schema, rapid_buffer* relaxed, rapid_error* error);
rapid_grammar* rapid_grammar_compile(
    const rapid_grammar_vocabulary_t* vocabulary,
    int32_t kind,
    rapid_bytes source,
    rapid_buffer* relaxed,
    rapid_error* error);
void rapid_grammar_free(rapid_grammar* grammar);
// Null: not enough memory.
rapid_grammar_state* rapid_grammar_start(const rapid_grammar* grammar);
rapid_grammar_state* rapid_grammar_clone(const rapid_grammar_state* state);
void rapid_grammar_state_free(rapid_grammar_state* state);
// Bit i % 32 of word i / 32: token i.
bool rapid_grammar_mask(
    rapid_grammar_state* state,
    uint32_t* bits,
    size_t words,
    rapid_error* error);
bool rapid_grammar_accept(
    rapid_grammar_state* state, uint32_t token, rapid_error* error);
bool rapid_grammar_rollback(
    rapid_grammar_state* state, size_t tokens, rapid_error* error);
bool rapid_grammar_accepting(rapid_grammar_state* state);
bool rapid_grammar_stopped(const rapid_grammar_state* state);
rapid_buffer rapid_grammar_forced(const rapid_grammar_state* state);

#ifdef __cplusplus
}
#endif
