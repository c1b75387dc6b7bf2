//! Tokenizers, chat templates and grammars behind the C ABI of rapid_text.h.
//! No panic crosses the border: every entry catches it and returns an error.
mod added;
mod align;
mod bpe;
mod build;
mod ffi;
mod filters;
mod grammar;
mod grammar_ffi;
mod grammar_limits;
mod grammar_schema;
mod grammar_strings;
mod owners;
mod python;
mod strings;
mod template;
mod template_ffi;
mod token_bytes;
mod tokenizer;
mod tokenizer_ffi;
