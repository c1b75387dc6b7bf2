//! Constrained decoding: which tokens a grammar lets follow.
use std::sync::{Arc, OnceLock};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{Matcher, ParserFactory};
use serde_json::{json, Value};
use toktrie::{
    ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};

use crate::ffi::{fail, Failure, INTERNAL, INVALID};
use crate::grammar_limits::{boxed_in_time, check_source, Kind};
use crate::grammar_schema::{options, relax};
use crate::tokenizer::{Tokenizer, MARKUP, SPECIAL};

/// Characters of a message.
const MESSAGE: usize = 500;
const QUOTE: usize = 100;

pub struct Vocabulary {
    pub factory: ParserFactory,
    markers: Vec<bool>,
    ends: Vec<u32>,
}

/// At most 20 ms of lexer building and 4 ms a mask; a lexer state takes up to
/// 2 KB, so a hostile grammar ends at 100 MB.
fn limit(factory: &mut ParserFactory) {
    factory.quiet();
    *factory.limits_mut() = ParserLimits {
        max_lexer_states: 50_000,
        verbose_errors: false,
        ..ParserLimits::default()
    };
}

/// What names itself like `<tool_call>`: no text, whatever its flag says.
fn is_markup(name: &[u8]) -> bool {
    matches!(name, [b'<', .., b'>'] | [b'[', .., b']'])
}

impl Vocabulary {
    /// `rows`: of the model, at least the tokenizer's size.
    pub fn build(
        tokenizer: &Tokenizer,
        ends: &[u32],
        rows: usize,
    ) -> Result<Vocabulary, Failure> {
        let table = &tokenizer.table;
        let size = table.flags.len();
        if ends.is_empty() {
            return fail(INVALID, "a grammar needs an end token");
        }
        if rows < size || rows >= 1 << 24 {
            return fail(
                INVALID,
                format!("{rows} rows of logits for {size} tokens"),
            );
        }
        if let Some(end) = ends.iter().find(|&&end| end as usize >= size) {
            return fail(INVALID, format!("the end token {end} is no token"));
        }
        let mut markers = vec![false; rows];
        let mut words: Vec<Vec<u8>> = Vec::with_capacity(rows);
        for id in 0..size {
            let name = table.names.get(id);
            let flags = table.flags[id];
            let bytes = table.bytes.get(id);
            markers[id] = flags & SPECIAL != 0
                || ends.contains(&(id as u32))
                || (flags & MARKUP != 0 && is_markup(name));
            words.push(if markers[id] {
                [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
            } else if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) {
                // Never part of UTF-8, and it would read as half a marker.
                Vec::new()
            } else {
                bytes.to_vec()
            });
        }
        words.resize(rows, Vec::new());
        // 1,024 nested nodes are what the trie can count.
        for word in words.iter_mut().filter(|word| word.len() > 1000) {
            word.clear();
        }
        let info = TokRxInfo::new(rows as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(ends);
        // Not canonical: any way to cut a valid text into tokens is allowed.
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        Ok(Vocabulary { factory: factory(&env)?, markers, ends: ends.to_vec() })
    }

    pub fn is_marker(&self, id: usize) -> bool {
        self.markers.get(id).copied().unwrap_or(false)
    }

    pub fn bytes(&self, id: usize) -> &[u8] {
        let trie = self.factory.tok_env().tok_trie();
        if id >= self.markers.len() {
            return &[];
        }
        let bytes = trie.token(id as u32);
        if self.markers[id] {
            &bytes[1..]
        } else {
            bytes
        }
    }
}

fn factory(env: &TokEnv) -> Result<ParserFactory, Failure> {
    let made = ParserFactory::new_simple(env);
    match made {
        Ok(mut factory) => {
            limit(&mut factory);
            Ok(factory)
        }
        Err(error) => fail(INTERNAL, error.to_string()),
    }
}

/// Of single bytes: to see whether a schema compiles at all.
fn probe() -> &'static ParserFactory {
    static PROBE: OnceLock<ParserFactory> = OnceLock::new();
    PROBE.get_or_init(|| {
        let inference = InferenceCapabilities::default();
        let env = ApproximateTokEnv::single_byte_env();
        let mut factory = ParserFactory::new(&env, inference, &[])
            .expect("a factory of no slices");
        limit(&mut factory);
        factory
    })
}

/// The library's words for people: no state dumps, no backtraces.
pub fn plain(message: &str) -> String {
    let end = ["<non-verbose/>", "<backtrace>", "<state>"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min();
    let message = message[..end.unwrap_or(message.len())].trim();
    if message.chars().count() <= MESSAGE {
        return message.to_string();
    }
    // It quotes the line at fault, which may be all of the grammar.
    let cut = |most| message.chars().take(most).collect::<String>();
    match message.split("\nerror: ").nth(1).and_then(|why| why.lines().next()) {
        Some(why) => format!("{}...: {why}", cut(QUOTE)),
        None => format!("{}...", cut(MESSAGE)),
    }
}

fn compile_with(
    factory: &ParserFactory,
    grammar: TopLevelGrammar,
) -> Result<Matcher, String> {
    let mut matcher = Matcher::new(factory.create_parser(grammar));
    // The first state of a lexer may be too complex, too.
    matcher.compute_mask().map_err(|error| plain(&error.to_string()))?;
    Ok(matcher)
}

fn parse_schema(text: &str) -> Result<Value, Failure> {
    let schema: Value = match serde_json::from_str(text) {
        Ok(schema) => schema,
        Err(error) => return fail(INVALID, format!("not JSON: {error}")),
    };
    if !schema.is_object() && !schema.is_boolean() {
        return fail(INVALID, "a JSON Schema is an object or a boolean");
    }
    Ok(schema)
}

fn relaxed_schema(text: &str) -> Result<(Value, Vec<String>), Failure> {
    let try_it = |schema: &Value| {
        let grammar = TopLevelGrammar::from_json_schema(schema.clone());
        compile_with(probe(), grammar).map(drop)
    };
    match relax(parse_schema(text)?, &try_it) {
        Ok(done) => Ok(done),
        Err(message) => fail(INVALID, message),
    }
}

/// The schema without what cannot be compiled, and "place: keyword" of each.
pub fn relax_schema(text: &str) -> Result<(String, Vec<String>), Failure> {
    check_source(Kind::JsonSchema, text)?;
    let text = text.to_string();
    let (schema, relaxed) = boxed_in_time(move || relaxed_schema(&text))?;
    Ok((schema.to_string(), relaxed))
}

pub struct Grammar {
    vocabulary: Arc<Vocabulary>,
    matcher: Matcher,
    pub relaxed: Vec<String>,
}

impl Grammar {
    pub fn compile(
        vocabulary: &Arc<Vocabulary>,
        kind: Kind,
        text: &str,
    ) -> Result<Grammar, Failure> {
        check_source(kind, text)?;
        let vocabulary = vocabulary.clone();
        let text = text.to_string();
        boxed_in_time(move || {
            let mut relaxed = Vec::new();
            let grammar = match kind {
                Kind::JsonSchema => {
                    let (schema, names) = relaxed_schema(&text)?;
                    relaxed = names;
                    TopLevelGrammar::from_json_schema(schema)
                }
                Kind::JsonObject => TopLevelGrammar::from_json_schema(
                    json!({"type": "object", "x-guidance": options()}),
                ),
                Kind::Regex => TopLevelGrammar::from_regex(&text),
                Kind::Lark => TopLevelGrammar::from_lark(text),
            };
            match compile_with(&vocabulary.factory, grammar) {
                Ok(matcher) => Ok(Grammar { vocabulary, matcher, relaxed }),
                Err(message) => fail(INVALID, message),
            }
        })
    }

    /// Caches of its own, so that no other request can fill them.
    pub fn start(&self) -> State {
        State {
            vocabulary: self.vocabulary.clone(),
            matcher: self.matcher.deep_clone(),
            accepted: 0,
            ends: 0,
        }
    }
}

// What the header promises to C++, which does not ask the compiler.
const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>() {}
const _: () = shared::<Vocabulary>();
const _: () = shared::<Grammar>();
const _: () = sent::<State>();

/// Clones share the lexer's caches behind a lock, no more.
#[derive(Clone)]
pub struct State {
    vocabulary: Arc<Vocabulary>,
    matcher: Matcher,
    /// Tokens that the matcher has; a rollback of more would break it.
    accepted: usize,
    /// End tokens behind them, which the matcher never sees.
    ends: usize,
}

fn or_fail<T, E: std::fmt::Display>(
    result: Result<T, E>,
) -> Result<T, Failure> {
    result.or_else(|error| match plain(&error.to_string()) {
        nothing if nothing.is_empty() => {
            fail(INVALID, "no token of the vocabulary may follow")
        }
        message => fail(INVALID, message),
    })
}

impl State {
    /// Only the end tokens once nothing else may follow.
    pub fn mask(&mut self, bits: &mut [u32]) -> Result<(), Failure> {
        if self.ends > 0 {
            bits.fill(0);
            for &end in &self.vocabulary.ends {
                if let Some(word) = bits.get_mut(end as usize / 32) {
                    *word |= 1 << (end % 32);
                }
            }
            return Ok(());
        }
        let mask = or_fail(self.matcher.compute_mask_or_eos())?;
        let words = mask.as_slice();
        for (i, out) in bits.iter_mut().enumerate() {
            *out = words.get(i).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// A token that may not follow changes nothing.
    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        let refused = format!("the grammar refuses token {token}");
        if token as usize >= self.vocabulary.markers.len() {
            return fail(INVALID, refused);
        }
        if self.vocabulary.ends.contains(&token) && self.accepting() {
            self.ends += 1;
            return Ok(());
        }
        if self.stopped() {
            return fail(INVALID, "the grammar has ended");
        }
        match or_fail(self.matcher.try_consume_tokens(&[token]))? {
            0 => fail(INVALID, refused),
            _ => {
                self.accepted += 1;
                Ok(())
            }
        }
    }

    pub fn accepting(&mut self) -> bool {
        self.ends > 0
            || (self.matcher.stop_reason().is_ok()
                && self.matcher.is_accepting().unwrap_or(false))
    }

    /// Not by an error: that is for the next mask to tell.
    pub fn stopped(&self) -> bool {
        self.ends > 0
            || (self.matcher.is_stopped() && !self.matcher.is_error())
    }

    pub fn rollback(&mut self, tokens: usize) -> Result<(), Failure> {
        let most = self.accepted + self.ends;
        if tokens > most {
            return fail(
                INVALID,
                format!("{tokens} tokens to take back of {most}"),
            );
        }
        let ends = tokens.min(self.ends);
        or_fail(self.matcher.rollback(tokens - ends))?;
        self.accepted -= tokens - ends;
        self.ends -= ends;
        Ok(())
    }

    /// Bytes that must follow. On a clone: asking for them changes a state.
    pub fn forced(&self) -> Vec<u8> {
        if self.stopped() {
            return Vec::new();
        }
        self.matcher.deep_clone().compute_ff_bytes()
    }
}
