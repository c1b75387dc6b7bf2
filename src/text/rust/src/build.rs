//! Builds a Tokenizer: from a tokenizer.json, or from a plain vocabulary
//! through the builder interface.
use std::collections::HashMap;

use serde_json::Value;
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers, NFC};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    Encoding, NormalizerWrapper, PostProcessor,
    PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer as Library,
};

use crate::added::{Added, Matcher};
use crate::bpe::{Bpe, Options};
use crate::ffi::{fail, Failure, CORRUPT, UNSUPPORTED};
use crate::token_bytes::{bytes_of, style_of, Style};
use crate::strings::Strings;
use crate::tokenizer::{Model, Table, Tokenizer, MARKUP, PRESENT, SPECIAL};

const PRETOKENIZERS: &str =
    include_str!("../../../../data/text/pretokenizers.json");
const END_TOKENS: &str = include_str!("../../../../data/text/end_tokens.json");

/// Token kinds as a GGUF file numbers them.
mod kind {
    pub const UNKNOWN: u8 = 2;
    pub const CONTROL: u8 = 3;
    pub const USER_DEFINED: u8 = 4;
    pub const BYTE: u8 = 6;
}

pub struct Vocabulary<'a> {
    pub model: &'a str,
    pub pre: &'a str,
    pub tokens: Vec<&'a str>,
    pub scores: &'a [f32],
    pub kinds: &'a [u8],
    pub merges: Vec<&'a str>,
    pub bos: i32,
    pub eos: i32,
    pub ends: [i32; 2],
    pub unknown: i32,
    pub add_bos: bool,
    pub add_eos: bool,
    pub add_space_prefix: bool,
}

fn corrupt(error: impl std::fmt::Display) -> Failure {
    Failure { kind: CORRUPT, message: error.to_string() }
}

/// Splits by the normalized flag and makes both matchers.
fn matchers(
    added: Vec<Added>,
    normalizer: Option<&NormalizerWrapper>,
) -> Result<(Matcher, Matcher), Failure> {
    let (normal, raw) = added.into_iter().partition(|token| token.normalized);
    Ok((
        Matcher::new(raw, None).map_err(corrupt)?,
        Matcher::new(normal, normalizer).map_err(corrupt)?,
    ))
}

/// Adds the well-known end-of-turn tokens that this vocabulary marks special.
fn complete_ends(table: &Table, ids: &HashMap<String, u32>, ends: &mut Vec<u32>) {
    let known: Value = serde_json::from_str(END_TOKENS).unwrap_or(Value::Null);
    for name in known["end_tokens"].as_array().into_iter().flatten() {
        if let Some(&id) = name.as_str().and_then(|name| ids.get(name)) {
            if table.flags[id as usize] & SPECIAL != 0 {
                ends.push(id);
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    ends.retain(|id| seen.insert(*id));
}

pub fn from_json(json: &[u8], config: &[u8]) -> Result<Tokenizer, Failure> {
    let library = Library::from_bytes(json).map_err(corrupt)?;
    let config: Value = match config {
        [] => Value::Null,
        text => serde_json::from_slice(text).map_err(|error| {
            corrupt(format!("tokenizer_config.json: {error}"))
        })?,
    };
    let decoder = serde_json::to_value(library.get_decoder()).map_err(corrupt)?;
    let Some((style, strip)) = style_of(Some(&decoder)) else {
        return fail(
            UNSUPPORTED,
            format!("unsupported decoder {} in tokenizer.json", decoder["type"]),
        );
    };
    let is_pieces = matches!(style, Style::Metaspace { .. });
    let mut tokens = Vec::new();
    for (name, id) in library.get_vocab(false) {
        set_token(&mut tokens, id, name, None)?;
    }
    let mut added = Vec::new();
    let mut added_ids = HashMap::new();
    for (id, token) in library.get_added_tokens_decoder() {
        let text = !token.special
            && (is_pieces || token.content.chars().all(char::is_whitespace));
        let content = token.content.clone();
        added_ids.insert(content.clone(), id);
        set_token(&mut tokens, id, content.clone(), Some(token.special))?;
        added.push(Added {
            id,
            content,
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
            normalized: token.normalized,
            text,
        });
    }
    let mut table = Table::default();
    for token in tokens {
        match token {
            Some((name, added)) => table.push(&name, style, added),
            None => table.push_gap(),
        }
    }
    table.mark(&added);
    added.sort_by_key(|token| token.id);
    let (raw, normal) = matchers(added, library.get_normalizer())?;
    let (prefix, suffix) = affixes(&library)?;
    let named = |key: &str| -> Option<u32> {
        let name = config[key].as_str().or(config[key]["content"].as_str())?;
        library.token_to_id(name)
    };
    let (bos, eos) = (named("bos_token"), named("eos_token"));
    let mut end_tokens: Vec<u32> = eos.into_iter().collect();
    complete_ends(&table, &added_ids, &mut end_tokens);
    Ok(Tokenizer {
        normalizer: library.get_normalizer().cloned(),
        pre_tokenizer: library.get_pre_tokenizer().cloned(),
        raw,
        normal,
        table,
        added_ids,
        prefix,
        suffix,
        bos,
        eos,
        end_tokens,
        strip_leading_space: strip,
        model: Model::Library(Box::new(library)),
    })
}

/// What the post-processor puts around a text.
fn affixes(library: &Library) -> Result<(Vec<u32>, Vec<u32>), Failure> {
    let Some(processor) = library.get_post_processor() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let inner = Encoding::from_tokens(
        vec![tokenizers::Token::new(u32::MAX, "x".into(), (0, 1))],
        0,
    );
    let outer = processor.process(inner, None, true).map_err(corrupt)?;
    let ids = outer.get_ids();
    match ids.iter().position(|&id| id == u32::MAX) {
        Some(at) => Ok((ids[..at].to_vec(), ids[at + 1..].to_vec())),
        None => fail(UNSUPPORTED, "a post-processor that drops the text"),
    }
}

/// Added: whether special.
type Token = Option<(String, Option<bool>)>;

fn set_token(
    tokens: &mut Vec<Token>,
    id: u32,
    name: String,
    added: Option<bool>,
) -> Result<(), Failure> {
    let index = id as usize;
    if index >= 1 << 24 {
        return fail(CORRUPT, format!("token id {id} is out of range"));
    }
    if tokens.len() <= index {
        tokens.resize(index + 1, None);
    }
    tokens[index] = Some((name, added));
    Ok(())
}

impl Table {
    /// The next id. `added`: whether that added token is special.
    fn push(&mut self, name: &str, style: Style, added: Option<bool>) {
        let special = added == Some(true);
        if special {
            self.bytes.push(name.as_bytes());
        } else {
            self.bytes.push(&bytes_of(name, style, added.is_some()));
        }
        self.names.push(name.as_bytes());
        self.flags.push(PRESENT | if special { SPECIAL } else { 0 });
    }

    fn mark(&mut self, added: &[Added]) {
        for token in added.iter().filter(|token| !token.text) {
            self.flags[token.id as usize] |= MARKUP;
        }
    }

    fn push_gap(&mut self) {
        self.names.push(&[]);
        self.bytes.push(&[]);
        self.flags.push(0);
    }
}

pub fn from_vocabulary(vocabulary: &Vocabulary) -> Result<Tokenizer, Failure> {
    let is_pieces = match vocabulary.model {
        "gpt2" => false,
        "llama" => true,
        other => {
            return fail(
                UNSUPPORTED,
                format!("unsupported tokenizer model '{other}'"),
            )
        }
    };
    if vocabulary.tokens.len() > 1 << 24 {
        return fail(CORRUPT, "more than 16,777,216 tokens");
    }
    let kind_of = |id: usize| vocabulary.kinds.get(id).copied().unwrap_or(1);
    let mut table = Table::default();
    let mut added = Vec::new();
    let mut added_ids = HashMap::new();
    for (id, &name) in vocabulary.tokens.iter().enumerate() {
        let kind = kind_of(id);
        let special = kind == kind::CONTROL || kind == kind::UNKNOWN;
        let is_added = special || kind == kind::USER_DEFINED;
        // Only a byte token is a byte: "<0x0A>" may also be a user's piece.
        let style = match (is_pieces, kind) {
            (true, kind::BYTE) => Style::Metaspace { fallback: true },
            (true, _) => Style::Metaspace { fallback: false },
            _ => Style::ByteLevel,
        };
        table.push(name, style, is_added.then_some(special));
        if is_added && !name.is_empty() {
            added_ids.insert(name.to_string(), id as u32);
            let text = !special
                && (is_pieces || name.chars().all(char::is_whitespace));
            added.push(Added {
                id: id as u32,
                content: name.to_string(),
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: false,
                text,
            });
        }
    }
    table.mark(&added);
    table.names.shrink();
    table.bytes.shrink();
    let (normalizer, pre_tokenizer, model) = if is_pieces {
        piece_model(vocabulary, &table.names, &kind_of)?
    } else {
        byte_level_model(vocabulary, &table.names)?
    };
    let (raw, normal) = matchers(added, None)?;
    let size = vocabulary.tokens.len();
    let id_of = |id: i32| u32::try_from(id).ok().filter(|&id| (id as usize) < size);
    let (bos, eos) = (id_of(vocabulary.bos), id_of(vocabulary.eos));
    let mut end_tokens: Vec<u32> = eos.into_iter().collect();
    end_tokens.extend(vocabulary.ends.into_iter().filter_map(id_of));
    complete_ends(&table, &added_ids, &mut end_tokens);
    Ok(Tokenizer {
        normalizer,
        pre_tokenizer,
        model: Model::Compact(model),
        raw,
        normal,
        table,
        added_ids,
        prefix: bos.filter(|_| vocabulary.add_bos).into_iter().collect(),
        suffix: eos.filter(|_| vocabulary.add_eos).into_iter().collect(),
        bos,
        eos,
        end_tokens,
        strip_leading_space: is_pieces && vocabulary.add_space_prefix,
    })
}

type Parts = (Option<NormalizerWrapper>, Option<PreTokenizerWrapper>, Bpe);

fn byte_level_model(
    vocabulary: &Vocabulary,
    names: &Strings,
) -> Result<Parts, Failure> {
    let known: Value = serde_json::from_str(PRETOKENIZERS).map_err(corrupt)?;
    let name = match vocabulary.pre {
        "" => "default",
        name => name,
    };
    let entry = known["pretokenizers"].as_array().and_then(|entries| {
        entries.iter().find(|entry| {
            entry["names"].as_array().is_some_and(|names| {
                names.iter().any(|candidate| candidate == name)
            })
        })
    });
    let Some(entry) = entry else {
        return fail(UNSUPPORTED, format!("unsupported pre-tokenizer '{name}'"));
    };
    let mut steps = Vec::new();
    for pattern in entry["split"].as_array().into_iter().flatten() {
        let pattern = SplitPattern::Regex(pattern.as_str().unwrap_or("").into());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        steps.push(PreTokenizerWrapper::Split(split.map_err(corrupt)?));
    }
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(
        false, true, false,
    )));
    let mut model = Bpe::new(names);
    let mut merges = Vec::with_capacity(vocabulary.merges.len());
    let mut joined = String::new();
    for merge in &vocabulary.merges {
        let Some((left, right)) = merge.split_once(' ') else {
            return fail(CORRUPT, format!("'{merge}' is not a merge"));
        };
        joined.clear();
        joined.extend([left, right]);
        let id = |name: &str| match model.id(names, name.as_bytes()) {
            Some(id) => Ok(id),
            None => fail(
                CORRUPT,
                format!("the merge '{merge}' names '{name}', which is no token"),
            ),
        };
        merges.push([id(left)?, id(right)?, id(&joined)?]);
    }
    model.finish(
        names,
        merges,
        Options {
            unknown: None,
            byte_fallback: false,
            ignore_merges: entry["ignore_merges"] == true,
        },
    );
    let normalizer = (entry["normalizer"] == "NFC").then(|| NFC.into());
    let pre_tokenizer = PreTokenizers::new(steps);
    Ok((normalizer, Some(pre_tokenizer.into()), model))
}

/// A sentence-piece BPE as the reference converts it: every pair of pieces
/// that joins to a piece is a merge, ranked by that piece's score.
fn piece_model(
    vocabulary: &Vocabulary,
    names: &Strings,
    kind_of: &dyn Fn(usize) -> u8,
) -> Result<Parts, Failure> {
    if vocabulary.scores.len() != vocabulary.tokens.len() {
        return fail(
            CORRUPT,
            format!(
                "expected {} token scores, got {}",
                vocabulary.tokens.len(),
                vocabulary.scores.len()
            ),
        );
    }
    let mut model = Bpe::new(names);
    let lengths: Vec<u32> = vocabulary
        .tokens
        .iter()
        .map(|token| token.chars().count() as u32)
        .collect();
    // (score, left, right, joined), by score then length, best first.
    let mut pairs: Vec<(f32, u32, u32, u32)> = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        // A control token must never come out of merges. Files give pieces a
        // user defined -1000, the trainer's own value is the top score 0.
        let score = match kind_of(id) {
            kind::CONTROL | kind::UNKNOWN => continue,
            kind::USER_DEFINED => 0.0,
            _ => vocabulary.scores[id],
        };
        let first = pairs.len();
        let find = |name: &str| model.id(names, name.as_bytes());
        let joined = find(token).unwrap_or(id as u32);
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(l), Some(r)) = (find(left), find(right)) {
                pairs.push((score, l, r, joined));
            }
        }
        pairs[first..].sort_by_key(|&(_, left, right, _)| (left, right));
    }
    pairs.sort_by(|a, b| {
        let length = |id: u32| lengths[id as usize];
        (b.0.total_cmp(&a.0))
            .then(length(b.1).cmp(&length(a.1)))
            .then(length(b.2).cmp(&length(a.2)))
    });
    let merges = pairs.iter().map(|&(_, l, r, joined)| [l, r, joined]);
    let merges = merges.collect();
    let unknown = usize::try_from(vocabulary.unknown)
        .ok()
        .and_then(|id| vocabulary.tokens.get(id))
        .and_then(|name| model.id(names, name.as_bytes()));
    let options = Options { unknown, byte_fallback: true, ignore_merges: false };
    model.finish(names, merges, options);
    let spaces: NormalizerWrapper =
        Replace::new(" ", "\u{2581}").map_err(corrupt)?.into();
    let normalizer = if vocabulary.add_space_prefix {
        let prepend = Prepend::new("\u{2581}".to_string()).into();
        Normalizers::new(vec![prepend, spaces]).into()
    } else {
        spaces
    };
    Ok((Some(normalizer), None, model))
}
