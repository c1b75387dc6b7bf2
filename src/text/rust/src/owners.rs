//! Where the text of each message went in a rendered prompt.
//!
//! The template is rendered once more, with every character of a message's
//! content, reasoning and call arguments replaced by a private-use character
//! that stands for the message. Names and ids stay: templates compare them.
use serde_json::Value as Json;

use crate::align::keeps;
use crate::template::Template;

const FIRST: u32 = 0xf0000;
const MOST: usize = 0xfffe;

/// From the first to the last character of one message before another's.
#[derive(Debug, PartialEq)]
pub struct Owned {
    pub begin: usize,
    pub end: usize,
    pub message: usize,
    /// All that could be marked is the name of a call.
    pub by_name: bool,
}

struct Marker<'a> {
    words: &'a [String],
    ascii_only: bool,
    mark: char,
    count: usize,
}

impl Marker<'_> {
    /// What the template's logic may ask for stays.
    fn text(&mut self, text: &mut String) {
        let mut kept = vec![false; text.len()];
        for word in self.words {
            for (at, _) in text.match_indices(word.as_str()) {
                kept[at..at + word.len()].fill(true);
            }
        }
        *text = text
            .char_indices()
            .map(|(at, c)| {
                if kept[at] || keeps(c) || (self.ascii_only && !c.is_ascii()) {
                    return c;
                }
                self.count += 1;
                self.mark
            })
            .collect();
    }

    fn all(&mut self, json: &mut Json) {
        match json {
            Json::String(text) => self.text(text),
            Json::Array(items) => items.iter_mut().for_each(|i| self.all(i)),
            Json::Object(map) => map.values_mut().for_each(|i| self.all(i)),
            _ => {}
        }
    }

    fn message(&mut self, message: &mut Json) {
        for key in ["content", "reasoning_content", "thinking"] {
            match message.get_mut(key) {
                Some(Json::Array(parts)) => {
                    let texts = parts.iter_mut().filter_map(|p| p.get_mut("text"));
                    texts.for_each(|text| self.all(text));
                }
                Some(text) => self.all(text),
                None => {}
            }
        }
        for call in calls_of(message) {
            if let Some(arguments) = call.get_mut("arguments") {
                self.all(arguments);
            }
        }
    }

    fn names(&mut self, message: &mut Json) {
        for call in calls_of(message) {
            if let Some(name) = call.get_mut("name") {
                self.all(name);
            }
        }
    }
}

fn calls_of(message: &mut Json) -> impl Iterator<Item = &mut Json> {
    let calls = message.get_mut("tool_calls").and_then(Json::as_array_mut);
    calls.into_iter().flatten().filter_map(|call| call.get_mut("function"))
}

/// None when the marks change what the template does.
pub fn find(template: &Template, context: &Json, plain: &str) -> Vec<Owned> {
    let tries = [false, true].iter();
    tries.filter_map(|&ascii| attempt(template, context, plain, ascii))
        .next()
        .unwrap_or_default()
}

fn attempt(
    template: &Template,
    context: &Json,
    plain: &str,
    ascii_only: bool,
) -> Option<Vec<Owned>> {
    let mut marked = context.clone();
    let messages = marked.get_mut("messages")?.as_array_mut()?;
    if messages.len() > MOST {
        return None;
    }
    let mut by_name = vec![false; messages.len()];
    for (index, message) in messages.iter_mut().enumerate() {
        let mark = char::from_u32(FIRST + index as u32)?;
        let words = template.literals();
        let mut marker = Marker { words, ascii_only, mark, count: 0 };
        marker.message(message);
        if marker.count == 0 {
            marker.names(message);
            by_name[index] = marker.count > 0;
        }
    }
    let text = template.run(&marked, &mut |_| None).ok()?;
    compare(plain, &text, &by_name)
}

fn compare(plain: &str, marked: &str, by_name: &[bool]) -> Option<Vec<Owned>> {
    let mut spans: Vec<Owned> = Vec::new();
    let mut other = marked.chars();
    for (begin, c) in plain.char_indices() {
        let found = other.next()?;
        let message = (found as u32).wrapping_sub(FIRST) as usize;
        if message >= by_name.len() {
            if found != c {
                return None;
            }
            continue;
        }
        let end = begin + c.len_utf8();
        match spans.last_mut() {
            Some(last) if last.message == message => last.end = end,
            _ => spans.push(Owned { begin, end, message, by_name: by_name[message] }),
        }
    }
    other.next().is_none().then_some(spans)
}
