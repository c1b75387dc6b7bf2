//! Encoding with the reference library's own parts; only the matching of
//! added tokens is ours, because user text must not become control tokens.
use std::collections::HashMap;
use tokenizers::tokenizer::normalizer::Range;
use tokenizers::{
    Model as _, NormalizedString, Normalizer, NormalizerWrapper,
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, Token, Tokenizer as Library,
};

use crate::added::{Added, Matcher};
use crate::bpe::{Bpe, Piece};
use crate::strings::Strings;

pub const SPECIAL: u8 = 1;
pub const PRESENT: u8 = 2;
/// Added to the vocabulary, and no plain text.
pub const MARKUP: u8 = 4;

#[derive(Default)]
pub struct Table {
    pub names: Strings,
    pub bytes: Strings,
    pub flags: Vec<u8>,
}

/// Cuts a text without added tokens into ids.
pub enum Model {
    /// Any model of a tokenizer.json.
    Library(Box<Library>),
    /// That of a plain vocabulary.
    Compact(Bpe),
}

pub struct Tokenizer {
    pub normalizer: Option<NormalizerWrapper>,
    pub pre_tokenizer: Option<PreTokenizerWrapper>,
    pub model: Model,
    pub raw: Matcher,
    pub normal: Matcher,
    pub table: Table,
    pub added_ids: HashMap<String, u32>,
    pub prefix: Vec<u32>,
    pub suffix: Vec<u32>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub end_tokens: Vec<u32>,
    pub strip_leading_space: bool,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Split = (NormalizedString, Option<Vec<Token>>);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    pub begin: usize,
    pub end: usize,
}

fn overlaps(spans: &[Span], begin: usize, end: usize) -> bool {
    let first = spans.partition_point(|span| span.end <= begin);
    spans.get(first).is_some_and(|span| span.begin < end)
}

/// Cuts `text` as Matcher::split says.
fn cut(
    text: NormalizedString,
    pieces: Vec<crate::added::Piece>,
) -> Result<Vec<Split>, Failed> {
    pieces
        .into_iter()
        .map(|(id, begin, end)| {
            let part = text
                .slice(Range::Normalized(
                    begin..end,
                ))
                .ok_or("an added token cuts a character")?;
            let tokens = id.map(|id| vec![Token::new(id, String::new(), (0, 0))]);
            Ok((part, tokens))
        })
        .collect()
}

impl Tokenizer {
    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        untrusted: &[Span],
    ) -> Result<Vec<u32>, Failed> {
        let mut work: PreTokenizedString = text.into();
        work.split(|_, part| {
            let pieces = self.raw.split(part.get(), |token, begin, end| {
                allowed(token, begin, end, untrusted)
            });
            cut(part, pieces)
        })?;
        work.split(|_, mut part| {
            if let Some(normalizer) = &self.normalizer {
                normalizer.normalize(&mut part)?;
            }
            let base = part.offsets_original().0;
            let pieces = self.normal.split(part.get(), |token, begin, end| {
                let range = Range::Normalized(
                    begin..end,
                );
                match part.convert_offsets(range) {
                    Some(original) => allowed(
                        token,
                        base + original.start,
                        base + original.end,
                        untrusted,
                    ),
                    None => token.text,
                }
            });
            cut(part, pieces)
        })?;
        if let Some(pre_tokenizer) = &self.pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut work)?;
        }
        work.tokenize(|part| self.tokenize(part.get()))?;
        let mut ids = Vec::new();
        if add_special {
            ids.extend_from_slice(&self.prefix);
        }
        let splits = work.get_splits(OffsetReferential::Original, OffsetType::None);
        for (_, _, tokens) in splits {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        if add_special {
            ids.extend_from_slice(&self.suffix);
        }
        Ok(ids)
    }

    fn pieces(&self, text: &str) -> Result<Vec<Piece>, Failed> {
        match &self.model {
            Model::Compact(bpe) => Ok(bpe.tokenize(&self.table.names, text)),
            Model::Library(library) => {
                let tokens = library.get_model().tokenize(text)?;
                let piece = |token: Token| {
                    (token.id, token.offsets.0..token.offsets.1)
                };
                Ok(tokens.into_iter().map(piece).collect())
            }
        }
    }

    /// The model's tokens, never a special one: those come from matches only,
    /// even where the vocabulary has merges that lead to their names.
    fn tokenize(&self, text: &str) -> Result<Vec<Token>, Failed> {
        let mut out = Vec::new();
        for (id, range) in self.pieces(text)? {
            let part = text.get(range).unwrap_or("");
            let flags = self.table.flags.get(id as usize);
            let hidden = flags.is_some_and(|flags| flags & SPECIAL != 0)
                && self.table.names.get(id as usize) == part.as_bytes()
                && part.chars().nth(1).is_some();
            if hidden {
                let count = part.chars().count();
                let middle = part.char_indices().nth(count / 2);
                let (left, right) = part.split_at(middle.map_or(0, |(at, _)| at));
                out.extend(self.tokenize(left)?);
                out.extend(self.tokenize(right)?);
            } else {
                out.push(Token::new(id, String::new(), (0, 0)));
            }
        }
        Ok(out)
    }

    pub fn token_id(&self, name: &str) -> Option<u32> {
        let added = self.added_ids.get(name).copied();
        added.or_else(|| match &self.model {
            Model::Library(library) => library.get_model().token_to_id(name),
            Model::Compact(bpe) => bpe.id(&self.table.names, name.as_bytes()),
        })
    }
}

fn allowed(token: &Added, begin: usize, end: usize, untrusted: &[Span]) -> bool {
    token.text || !overlaps(untrusted, begin, end)
}
