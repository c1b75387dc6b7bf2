//! Added tokens and where they match: the reference library's rules, plus a
//! say of the caller on every match, which the library does not give.
use daachorse::{
    DoubleArrayAhoCorasick, DoubleArrayAhoCorasickBuilder, MatchKind,
};
use tokenizers::{Normalizer, NormalizedString, NormalizerWrapper};

pub struct Added {
    pub id: u32,
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    pub normalized: bool,
    /// Ordinary text although it is matched first: whitespace runs, pieces a
    /// trainer was told to keep. Never dropped from user text.
    pub text: bool,
}

pub struct Matcher {
    tokens: Vec<Added>,
    trie: Option<DoubleArrayAhoCorasick<u32>>,
}

pub type Piece = (Option<u32>, usize, usize);

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

impl Matcher {
    /// Matches the tokens as written, or what `normalizer` makes of them.
    pub fn new(
        tokens: Vec<Added>,
        normalizer: Option<&NormalizerWrapper>,
    ) -> Result<Matcher, String> {
        let mut patterns: Vec<(String, u32)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (index, token) in tokens.iter().enumerate() {
            let mut text = NormalizedString::from(token.content.as_str());
            if let Some(normalizer) = normalizer {
                normalizer.normalize(&mut text).map_err(|e| e.to_string())?;
            }
            let pattern = text.get().to_string();
            if !pattern.is_empty() && seen.insert(pattern.clone()) {
                patterns.push((pattern, index as u32));
            }
        }
        let trie = if patterns.is_empty() {
            None
        } else {
            Some(
                DoubleArrayAhoCorasickBuilder::new()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build_with_values(patterns)
                    .map_err(|e| e.to_string())?,
            )
        };
        Ok(Matcher { tokens, trie })
    }

    /// Cuts `text` into matches and what lies between. A match for which
    /// `allow` says no is text, and the search goes on one character later.
    pub fn split(
        &self,
        text: &str,
        mut allow: impl FnMut(&Added, usize, usize) -> bool,
    ) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let Some(trie) = &self.trie else {
            return vec![(None, 0, text.len())];
        };
        let mut done = 0;
        let mut from = 0;
        'search: loop {
            for found in trie.leftmost_find_iter(&text[from..]) {
                let token = &self.tokens[found.value() as usize];
                let (start, end) = (from + found.start(), from + found.end());
                let Some((begin, stop)) = token.extent(text, start, end, done)
                else {
                    continue;
                };
                if !allow(token, start, end) {
                    let first = text[start..].chars().next();
                    from = start + first.map_or(1, char::len_utf8);
                    continue 'search;
                }
                if done < begin {
                    pieces.push((None, done, begin));
                }
                pieces.push((Some(token.id), begin, stop));
                done = stop;
            }
            break;
        }
        if done < text.len() || pieces.is_empty() {
            pieces.push((None, done, text.len()));
        }
        pieces
    }
}

impl Added {
    /// The match with the whitespace it takes in; none if it is not a word.
    fn extent(
        &self,
        text: &str,
        start: usize,
        end: usize,
        done: usize,
    ) -> Option<(usize, usize)> {
        if self.single_word
            && (is_word(text[..start].chars().next_back())
                || is_word(text[end..].chars().next()))
        {
            return None;
        }
        let mut begin = start;
        let mut stop = end;
        if self.lstrip {
            begin = text[..start].trim_end().len().max(done);
        }
        if self.rstrip {
            stop = text.len() - text[end..].trim_start().len();
        }
        Some((begin, stop))
    }
}
