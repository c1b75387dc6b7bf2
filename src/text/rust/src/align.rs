//! Which characters of a rendered prompt came from the user's data.
//!
//! The template is rendered twice: with the data as it is, and with every
//! character of the data that could be part of a control token replaced by a
//! private-use character that says where it came from. Where the two outputs
//! line up, each replaced character marks data, whatever the template did
//! with it. A template whose logic looks at the data may render differently;
//! then the strings it looks at are found and replaced in smaller parts.
use crate::python;

/// One string of the data: where its characters begin in the numbering.
pub struct Leaf {
    pub text: String,
    base: u32,
}

const PLANE: u32 = 0xfffe;

fn mark(index: u32) -> char {
    let index = index % (2 * PLANE);
    let code = match index < PLANE {
        true => 0xf0000 + index,
        false => 0x100000 + index - PLANE,
    };
    char::from_u32(code).unwrap_or('\u{f0000}')
}

fn unmark(c: char) -> Option<u32> {
    match c as u32 {
        code @ 0xf0000..=0xffffd => Some(code - 0xf0000),
        code @ 0x100000..=0x10fffd => Some(code - 0x100000 + PLANE),
        _ => None,
    }
}

/// Characters that templates strip, split at or escape stay as they are.
pub fn keeps(c: char) -> bool {
    python::is_space(c) || c.is_control() || c == '"' || c == '\\'
}

/// Equal strings are one leaf with one mark: templates compare them, the id
/// of a result with the ids of calls.
#[derive(Default)]
pub struct Leaves {
    pub all: Vec<Leaf>,
    /// For each string of the data, in order, its leaf.
    pub order: Vec<usize>,
    known: std::collections::HashMap<String, usize>,
    next: u32,
}

impl Leaves {
    pub fn add(&mut self, text: &str) {
        let fresh = self.all.len();
        let leaf = *self.known.entry(text.to_string()).or_insert(fresh);
        if leaf == fresh {
            self.all.push(Leaf { text: text.to_string(), base: self.next });
            self.next = self.next.wrapping_add(text.chars().count() as u32);
        }
        self.order.push(leaf);
    }
}

impl Leaf {
    /// The text with marks, except where a word of `protect` stands and
    /// except for what is not ASCII when `ascii_only`.
    pub fn marked(&self, protect: &[&str], ascii_only: bool) -> String {
        let mut kept = vec![false; self.text.len()];
        for word in protect.iter().filter(|word| !word.is_empty()) {
            for (at, _) in self.text.match_indices(word) {
                kept[at..at + word.len()].fill(true);
            }
        }
        let marked = |(index, (at, c)): (usize, (usize, char))| {
            if kept[at] || keeps(c) || (ascii_only && !c.is_ascii()) {
                c
            } else {
                mark(self.base.wrapping_add(index as u32))
            }
        };
        self.text.char_indices().enumerate().map(marked).collect()
    }
}

/// The characters of `plain` that stem from data; none when the two outputs
/// do not line up.
pub fn compare(plain: &[char], marked: &str, leaves: &[Leaf]) -> Option<Vec<bool>> {
    let mut data = vec![false; plain.len()];
    let mut origin: Vec<Option<u32>> = Vec::with_capacity(plain.len());
    for (at, c) in marked.chars().enumerate() {
        let original = *plain.get(at)?;
        let from = unmark(c);
        if from.is_none() && c != original {
            return None;
        }
        data[at] = from.is_some();
        origin.push(from);
    }
    if origin.len() != plain.len() {
        return None;
    }
    fill_gaps(plain, &origin, leaves, &mut data);
    Some(data)
}

/// Between two marks that follow each other in one string, the unmarked
/// characters are that string's too, if they are the same or its escapes.
fn fill_gaps(
    plain: &[char],
    origin: &[Option<u32>],
    leaves: &[Leaf],
    data: &mut [bool],
) {
    let mut source = std::collections::HashMap::new();
    for leaf in leaves {
        let mut gap = String::new();
        let mut last = None;
        for (index, c) in leaf.text.chars().enumerate() {
            if keeps(c) {
                gap.push(c);
                continue;
            }
            let id = unmark(mark(leaf.base.wrapping_add(index as u32)));
            if let (Some(last), Some(id), false) = (last, id, gap.is_empty()) {
                source.insert((last, id), std::mem::take(&mut gap));
            }
            gap.clear();
            last = id;
        }
    }
    let mut last: Option<(usize, u32)> = None;
    for (at, from) in origin.iter().enumerate() {
        let Some(id) = *from else { continue };
        if let Some((begin, before)) = last {
            let gap: String = plain[begin + 1..at].iter().collect();
            if !gap.is_empty()
                && source.get(&(before, id)).is_some_and(|text| {
                    *text == gap || serde_json::to_string(text)
                        .is_ok_and(|json| json[1..json.len() - 1] == gap)
                })
            {
                data[begin + 1..at].fill(true);
            }
        }
        last = Some((at, id));
    }
}

/// The last resort: every place where the string's text stands.
pub fn mark_occurrences(plain: &str, leaf: &Leaf, data: &mut [bool]) {
    let text = leaf.text.trim_matches(python::is_space);
    if text.is_empty() {
        return;
    }
    let mut at = 0;
    let mut from = 0;
    while let Some(found) = plain[from..].find(text) {
        at += plain[from..from + found].chars().count();
        let count = text.chars().count();
        data[at..at + count].fill(true);
        at += count;
        from += found + text.len();
    }
}
