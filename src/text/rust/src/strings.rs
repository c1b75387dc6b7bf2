//! Many short strings in one block: a vocabulary of 262,144 tokens as single
//! allocations took 40 MB more.
use std::hash::Hasher;

#[derive(Default)]
pub struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Strings {
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // Token ids are limited to 2^24 and files to less than 4 GB of names.
        let end = u32::try_from(self.bytes.len()).expect("4 GB of tokens");
        self.ends.push(end);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Empty where there is none.
    pub fn get(&self, index: usize) -> &[u8] {
        let begin = match index {
            0 => 0,
            _ => self.ends.get(index - 1).map_or(0, |&end| end as usize),
        };
        match self.ends.get(index) {
            Some(&end) => &self.bytes[begin..end as usize],
            None => &[],
        }
    }

    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

const EMPTY: u32 = u32::MAX;

/// A hash table of u32 values that lie elsewhere: open addressing, at most
/// three quarters full, never grown, never shrunk.
pub struct Index {
    slots: Vec<u32>,
    hash: ahash::RandomState,
}

impl Index {
    pub fn new(count: usize) -> Index {
        let size = (count * 4 / 3 + 1).next_power_of_two();
        Index {
            slots: vec![EMPTY; size],
            hash: ahash::RandomState::with_seeds(1, 2, 3, 4),
        }
    }

    fn start(&self, key: &[u8]) -> usize {
        let mut hasher = std::hash::BuildHasher::build_hasher(&self.hash);
        hasher.write(key);
        hasher.finish() as usize & (self.slots.len() - 1)
    }

    /// The slot of the value for which `same` holds, or the first empty one.
    fn slot(&self, key: &[u8], same: impl Fn(u32) -> bool) -> usize {
        let mut at = self.start(key);
        while self.slots[at] != EMPTY && !same(self.slots[at]) {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    /// A value with the same key is replaced.
    pub fn insert(&mut self, key: &[u8], value: u32, same: impl Fn(u32) -> bool) {
        let at = self.slot(key, same);
        self.slots[at] = value;
    }

    pub fn find(&self, key: &[u8], same: impl Fn(u32) -> bool) -> Option<u32> {
        let value = self.slots[self.slot(key, same)];
        (value != EMPTY).then_some(value)
    }
}
