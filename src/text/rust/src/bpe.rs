//! Byte pair encoding as the reference library's `BPE` does it, in a fifth of
//! its memory: the library keeps the vocabulary twice, as single strings, and
//! the merges in a map of pairs. Names stay with the caller (`Strings`, index =
//! id), so that they exist once.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::strings::{Index, Strings};

/// An id and the part of the text it stands for.
pub type Piece = (u32, Range<usize>);

pub struct Options {
    /// Characters nobody knows become this token, neighbours one; None: they
    /// are dropped.
    pub unknown: Option<u32>,
    /// Before that, they become `<0x0A>` tokens where all are there.
    pub byte_fallback: bool,
    /// A text that is a token is that token, whatever the merges say.
    pub ignore_merges: bool,
}

pub struct Bpe {
    by_name: Index,
    by_pair: Index,
    merges: Vec<[u32; 3]>, // left, right, joined; index = rank
    byte_ids: Option<Vec<Option<u32>>>,
    unknown: Option<u32>,
    ignore_merges: bool,
}

struct Symbol {
    id: u32,
    previous: u32,
    next: u32,
    size: usize, // 0 = merged into another
}

const NONE: u32 = u32::MAX;

fn pair_key(left: u32, right: u32) -> [u8; 8] {
    (u64::from(left) << 32 | u64::from(right)).to_le_bytes()
}

impl Bpe {
    /// Of two tokens with one name the later one counts.
    pub fn new(names: &Strings) -> Bpe {
        let mut by_name = Index::new(names.len());
        for id in 0..names.len() {
            let name = names.get(id);
            by_name.insert(name, id as u32, |other| {
                names.get(other as usize) == name
            });
        }
        Bpe {
            by_name,
            by_pair: Index::new(0),
            merges: Vec::new(),
            byte_ids: None,
            unknown: None,
            ignore_merges: false,
        }
    }

    /// The id that each of `merges` joins to comes with it.
    pub fn finish(
        &mut self,
        names: &Strings,
        merges: Vec<[u32; 3]>,
        options: Options,
    ) {
        self.by_pair = Index::new(merges.len());
        for (rank, &[left, right, _]) in merges.iter().enumerate() {
            let key = pair_key(left, right);
            self.by_pair.insert(&key, rank as u32, |other| {
                let [l, r, _] = merges[other as usize];
                (l, r) == (left, right)
            });
        }
        self.merges = merges;
        self.unknown = options.unknown;
        self.ignore_merges = options.ignore_merges;
        self.byte_ids = options.byte_fallback.then(|| {
            let name = |byte: u32| format!("<0x{byte:02X}>");
            (0..256).map(|b| self.id(names, name(b).as_bytes())).collect()
        });
    }

    pub fn id(&self, names: &Strings, name: &[u8]) -> Option<u32> {
        self.by_name
            .find(name, |other| names.get(other as usize) == name)
    }

    /// (rank, joined)
    fn merge(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let rank = self.by_pair.find(&pair_key(left, right), |other| {
            let [l, r, _] = self.merges[other as usize];
            (l, r) == (left, right)
        })?;
        Some((rank, self.merges[rank as usize][2]))
    }

    pub fn tokenize(&self, names: &Strings, text: &str) -> Vec<Piece> {
        if self.ignore_merges {
            if let Some(id) = self.id(names, text.as_bytes()) {
                return vec![(id, 0..text.len())];
            }
        }
        let mut word = self.characters(names, text);
        self.merge_all(&mut word);
        let mut at = 0;
        let kept = word.iter().filter(|symbol| symbol.size != 0);
        kept.map(|symbol| {
            let begin = at;
            at += symbol.size;
            (symbol.id, begin..at)
        })
        .collect()
    }

    fn characters(&self, names: &Strings, text: &str) -> Vec<Symbol> {
        let mut word = Vec::with_capacity(text.len());
        let mut unknown = 0; // bytes of unknown characters not yet added
        let mut add = |id: u32, size: usize| {
            let at = word.len() as u32;
            let previous = at.checked_sub(1).unwrap_or(NONE);
            word.push(Symbol { id, previous, next: at + 1, size });
        };
        for (begin, character) in text.char_indices() {
            let size = character.len_utf8();
            let bytes = &text.as_bytes()[begin..begin + size];
            if let Some(id) = self.id(names, bytes) {
                if let (Some(id), true) = (self.unknown, unknown > 0) {
                    add(id, std::mem::take(&mut unknown));
                }
                add(id, size);
            } else if let Some(ids) = self.bytes_of(bytes) {
                for id in ids {
                    add(id, 1);
                }
            } else if self.unknown.is_some() {
                unknown += size;
            }
        }
        if let (Some(id), true) = (self.unknown, unknown > 0) {
            add(id, unknown);
        }
        if let Some(last) = word.last_mut() {
            last.next = NONE;
        }
        word
    }

    fn bytes_of(&self, bytes: &[u8]) -> Option<Vec<u32>> {
        let ids = self.byte_ids.as_ref()?;
        bytes.iter().map(|&byte| ids[byte as usize]).collect()
    }

    /// Always the merge of the lowest rank, the leftmost of equal ones.
    fn merge_all(&self, word: &mut [Symbol]) {
        let mut queue = BinaryHeap::with_capacity(word.len());
        for (at, pair) in word.windows(2).enumerate() {
            if let Some((rank, joined)) = self.merge(pair[0].id, pair[1].id) {
                queue.push(Reverse((rank, at as u32, joined)));
            }
        }
        while let Some(Reverse((_, at, joined))) = queue.pop() {
            let left = &word[at as usize];
            if left.size == 0 || left.next == NONE {
                continue;
            }
            let next = left.next as usize;
            let (right, after) = (word[next].id, word[next].next);
            // An entry is stale once one of its symbols was merged.
            if self.merge(left.id, right).is_none_or(|(_, id)| id != joined) {
                continue;
            }
            let size = word[next].size;
            word[next].size = 0;
            let left = &mut word[at as usize];
            left.id = joined;
            left.size += size;
            left.next = after;
            let previous = left.previous;
            if after != NONE {
                word[after as usize].previous = at;
                let following = word[after as usize].id;
                if let Some((rank, id)) = self.merge(joined, following) {
                    queue.push(Reverse((rank, at, id)));
                }
            }
            if previous != NONE {
                let before = word[previous as usize].id;
                if let Some((rank, id)) = self.merge(before, joined) {
                    queue.push(Reverse((rank, previous, id)));
                }
            }
        }
    }
}
