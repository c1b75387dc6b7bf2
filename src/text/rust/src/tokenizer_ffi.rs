//! The C ABI of the tokenizer.
use crate::build::{self, Vocabulary};
use crate::ffi::{
    fail, guard, guard_as, slice, Bytes, CError, Failure, Owned, CORRUPT, INVALID,
};
use crate::tokenizer::{Span, Tokenizer};

#[repr(C)]
pub struct CVocabulary {
    model: Bytes,
    pre: Bytes,
    tokens: *const Bytes,
    token_count: usize,
    scores: *const f32,
    score_count: usize,
    kinds: *const u8,
    kind_count: usize,
    merges: *const Bytes,
    merge_count: usize,
    bos: i32,
    eos: i32,
    eot: i32,
    eom: i32,
    unknown: i32,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
}

#[repr(C)]
pub struct CToken {
    name: Bytes,
    bytes: Bytes,
    flags: u8,
}

#[repr(C)]
pub struct CTokenizerInfo {
    size: usize,
    bos: i32,
    eos: i32,
    strip_leading_space: bool,
    end_tokens: *const u32,
    end_token_count: usize,
}

fn boxed(tokenizer: Tokenizer) -> *mut Tokenizer {
    Box::into_raw(Box::new(tokenizer))
}

unsafe fn text<'a>(bytes: Bytes, what: &str) -> Result<&'a str, Failure> {
    match std::str::from_utf8(bytes.get()) {
        Ok(text) => Ok(text),
        Err(_) => fail(CORRUPT, format!("{what} is not UTF-8")),
    }
}

unsafe fn texts<'a>(
    data: *const Bytes,
    size: usize,
    what: &str,
) -> Result<Vec<&'a str>, Failure> {
    slice(data, size).iter().map(|&bytes| text(bytes, what)).collect()
}

#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_from_json(
    json: Bytes,
    config: Bytes,
    error: *mut CError,
) -> *mut Tokenizer {
    guard_as(CORRUPT, error, std::ptr::null_mut(), || {
        build::from_json(json.get(), config.get()).map(boxed)
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_from_vocabulary(
    vocabulary: *const CVocabulary,
    error: *mut CError,
) -> *mut Tokenizer {
    guard_as(CORRUPT, error, std::ptr::null_mut(), || {
        let from = &*vocabulary;
        let vocabulary = Vocabulary {
            model: text(from.model, "the tokenizer model")?,
            pre: text(from.pre, "the pre-tokenizer")?,
            tokens: texts(from.tokens, from.token_count, "a token")?,
            scores: slice(from.scores, from.score_count),
            kinds: slice(from.kinds, from.kind_count),
            merges: texts(from.merges, from.merge_count, "a merge")?,
            bos: from.bos,
            eos: from.eos,
            ends: [from.eot, from.eom],
            unknown: from.unknown,
            add_bos: from.add_bos,
            add_eos: from.add_eos,
            add_space_prefix: from.add_space_prefix,
        };
        build::from_vocabulary(&vocabulary).map(boxed)
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_encode(
    tokenizer: *const Tokenizer,
    input: Bytes,
    add_special: bool,
    untrusted: *const Span,
    untrusted_count: usize,
    error: *mut CError,
) -> Owned<u32> {
    guard(error, Owned::empty(), || {
        let input = text(input, "the text")?;
        let spans = slice(untrusted, untrusted_count);
        match (*tokenizer).encode(input, add_special, spans) {
            Ok(ids) => Ok(Owned::new(ids)),
            Err(failed) => fail(INVALID, failed.to_string()),
        }
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_ids_free(ids: Owned<u32>) {
    ids.free();
}

/// Flags 0 and empty bytes: no such token.
#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_token(
    tokenizer: *const Tokenizer,
    id: u32,
) -> CToken {
    let table = &(*tokenizer).table;
    let index = id as usize;
    match table.flags.get(index) {
        Some(&flags) => CToken {
            name: Bytes::of(table.names.get(index)),
            bytes: Bytes::of(table.bytes.get(index)),
            flags,
        },
        None => CToken { name: Bytes::of(&[]), bytes: Bytes::of(&[]), flags: 0 },
    }
}

/// -1: no such token.
#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_token_id(
    tokenizer: *const Tokenizer,
    name: Bytes,
) -> i32 {
    guard(std::ptr::null_mut(), -1, || {
        let id = (*tokenizer).token_id(text(name, "the name")?);
        Ok(id.map_or(-1, |id| id as i32))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_tokenizer_info(
    tokenizer: *const Tokenizer,
) -> CTokenizerInfo {
    let tokenizer = &*tokenizer;
    CTokenizerInfo {
        size: tokenizer.table.flags.len(),
        bos: tokenizer.bos.map_or(-1, |id| id as i32),
        eos: tokenizer.eos.map_or(-1, |id| id as i32),
        strip_leading_space: tokenizer.strip_leading_space,
        end_tokens: tokenizer.end_tokens.as_ptr(),
        end_token_count: tokenizer.end_tokens.len(),
    }
}
