//! The C ABI of constrained decoding.
use std::sync::Arc;

use crate::ffi::{fail, guard, slice, Bytes, CError, Failure, Owned, INVALID};
use crate::grammar::{relax_schema, Grammar, State, Vocabulary};
use crate::grammar_limits::Kind;
use crate::tokenizer::Tokenizer;

type Shared = Arc<Vocabulary>;

unsafe fn text<'a>(bytes: Bytes) -> Result<&'a str, Failure> {
    match std::str::from_utf8(bytes.get()) {
        Ok(text) => Ok(text),
        Err(_) => fail(INVALID, "the grammar is not UTF-8"),
    }
}

fn kind_of(kind: i32) -> Result<Kind, Failure> {
    match kind {
        0 => Ok(Kind::JsonSchema),
        1 => Ok(Kind::JsonObject),
        2 => Ok(Kind::Regex),
        3 => Ok(Kind::Lark),
        _ => fail(INVALID, format!("no grammar is of kind {kind}")),
    }
}

unsafe fn write<T>(to: *mut T, value: T) {
    if !to.is_null() {
        to.write(value);
    }
}

fn json(names: &[String]) -> Owned<u8> {
    Owned::new(serde_json::json!(names).to_string().into_bytes())
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_vocabulary(
    tokenizer: *const Tokenizer,
    ends: *const u32,
    end_count: usize,
    rows: usize,
    error: *mut CError,
) -> *mut Shared {
    guard(error, std::ptr::null_mut(), || {
        let ends = slice(ends, end_count);
        let made = Vocabulary::build(&*tokenizer, ends, rows)?;
        Ok(Box::into_raw(Box::new(Arc::new(made))))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_vocabulary_free(vocabulary: *mut Shared) {
    if !vocabulary.is_null() {
        drop(Box::from_raw(vocabulary));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_token_bytes(
    vocabulary: *const Shared,
    id: u32,
) -> Bytes {
    Bytes::of((*vocabulary).bytes(id as usize))
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_is_marker(
    vocabulary: *const Shared,
    id: u32,
) -> bool {
    (*vocabulary).is_marker(id as usize)
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_relax(
    schema: Bytes,
    relaxed: *mut Owned<u8>,
    error: *mut CError,
) -> Owned<u8> {
    guard(error, Owned::empty(), || {
        let (schema, names) = relax_schema(text(schema)?)?;
        write(relaxed, json(&names));
        Ok(Owned::new(schema.into_bytes()))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_compile(
    vocabulary: *const Shared,
    kind: i32,
    source: Bytes,
    relaxed: *mut Owned<u8>,
    error: *mut CError,
) -> *mut Grammar {
    guard(error, std::ptr::null_mut(), || {
        let source = text(source)?;
        let made = Grammar::compile(&*vocabulary, kind_of(kind)?, source)?;
        write(relaxed, json(&made.relaxed));
        Ok(Box::into_raw(Box::new(made)))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_free(grammar: *mut Grammar) {
    if !grammar.is_null() {
        drop(Box::from_raw(grammar));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_start(grammar: *const Grammar) -> *mut State {
    guard(std::ptr::null_mut(), std::ptr::null_mut(), || {
        Ok(Box::into_raw(Box::new((*grammar).start())))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_clone(state: *const State) -> *mut State {
    guard(std::ptr::null_mut(), std::ptr::null_mut(), || {
        Ok(Box::into_raw(Box::new((*state).clone())))
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_state_free(state: *mut State) {
    if !state.is_null() {
        drop(Box::from_raw(state));
    }
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_mask(
    state: *mut State,
    bits: *mut u32,
    words: usize,
    error: *mut CError,
) -> bool {
    guard(error, false, || {
        let bits = match words {
            0 => &mut [][..],
            _ => std::slice::from_raw_parts_mut(bits, words),
        };
        (*state).mask(bits)?;
        Ok(true)
    })
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_accept(
    state: *mut State,
    token: u32,
    error: *mut CError,
) -> bool {
    guard(error, false, || (*state).accept(token).map(|()| true))
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_rollback(
    state: *mut State,
    tokens: usize,
    error: *mut CError,
) -> bool {
    guard(error, false, || (*state).rollback(tokens).map(|()| true))
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_accepting(state: *mut State) -> bool {
    guard(std::ptr::null_mut(), false, || Ok((*state).accepting()))
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_stopped(state: *const State) -> bool {
    guard(std::ptr::null_mut(), true, || Ok((*state).stopped()))
}

#[no_mangle]
pub unsafe extern "C" fn rapid_grammar_forced(state: *const State) -> Owned<u8> {
    guard(std::ptr::null_mut(), Owned::empty(), || {
        Ok(Owned::new((*state).forced()))
    })
}
