//! A chat template: compiled once, rendered on fuel, as transformers does.
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error};
use serde_json::Value as Json;

use crate::align::{self, Leaves};
use crate::filters::{self, Clock, RAISED};

const NAME: &str = "chat";
const FUEL: u64 = 8_000_000;
const RECURSION: usize = 120;
/// More renders than this to find the user's text are not worth it; of long
/// prompts fewer, as many as make this many characters, but some.
const RENDERS: usize = 200;
const RENDERED_CHARS: usize = 16_000_000;
const FEWEST_RENDERS: usize = 16;

pub struct Template {
    env: Environment<'static>,
    /// String literals of the template: what its logic can ask for.
    literals: Vec<String>,
}

impl Template {
    pub fn compile(source: &str, clock: Clock) -> Result<Template, String> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| message(&error))?;
        env.set_syntax(syntax);
        env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(RECURSION);
        filters::install(&mut env, clock);
        env.add_template_owned(NAME, without_generation(source))
            .map_err(|error| message(&error))?;
        Ok(Template { env, literals: literals_of(source) })
    }

    /// The text, and the byte ranges of it that stem from messages, tools
    /// and documents.
    pub fn render(
        &self,
        context: &Json,
    ) -> Result<(String, Vec<(usize, usize)>), String> {
        let mut leaves = Leaves::default();
        let plain = self.run(context, &mut |text| {
            leaves.add(text);
            None
        });
        let plain = plain.map_err(|error| message(&error))?;
        let mut search = Search {
            template: self,
            context,
            leaves: &leaves,
            plain: plain.chars().collect(),
            data: Vec::new(),
            renders: 0,
        };
        search.data = vec![false; search.plain.len()];
        let every: Vec<usize> = (0..leaves.all.len()).collect();
        search.resolve(&plain, &every);
        let spans = spans_of(&plain, &search.data);
        Ok((plain, spans))
    }

    pub fn literals(&self) -> &[String] {
        &self.literals
    }

    pub fn run(
        &self,
        context: &Json,
        replace: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<String, Error> {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        for (name, value) in context.as_object().into_iter().flatten() {
            let is_data =
                matches!(name.as_str(), "messages" | "tools" | "documents");
            let value = match is_data {
                true => to_value(value, "", replace),
                false => to_value(value, "", &mut |_| None),
            };
            pairs.push((Value::from(name.as_str()), value));
        }
        let root = Value::from_pairs(pairs);
        self.env.get_template(NAME)?.render(root)
    }
}

/// A word like `user` that templates compare and cannot be a control token.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Strings go through `replace` in a fixed order; none keeps them.
fn to_value(
    json: &Json,
    key: &str,
    replace: &mut dyn FnMut(&str) -> Option<String>,
) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => {
            if let Some(value) = number.as_i64() {
                Value::from(value)
            } else if let Some(value) = number.as_u64() {
                Value::from(value)
            } else {
                Value::from(number.as_f64().unwrap_or(0.0))
            }
        }
        Json::String(text) => {
            if matches!(key, "role" | "type") && is_word(text) {
                return Value::from(text.as_str());
            }
            Value::from(replace(text).as_deref().unwrap_or(text))
        }
        Json::Array(items) => items
            .iter()
            .map(|item| to_value(item, key, replace))
            .collect::<Vec<_>>()
            .into(),
        Json::Object(fields) => {
            let mut pairs: Vec<(Value, Value)> = Vec::new();
            for (name, item) in fields {
                let renamed = match is_word(name) {
                    true => None,
                    false => replace(name),
                };
                let label = renamed.as_deref().unwrap_or(name);
                pairs.push((Value::from(label), to_value(item, name, replace)));
            }
            Value::from_pairs(pairs)
        }
    }
}

/// Finds which characters are data, in ever smaller parts where needed.
struct Search<'a> {
    template: &'a Template,
    context: &'a Json,
    leaves: &'a Leaves,
    plain: Vec<char>,
    data: Vec<bool>,
    renders: usize,
}

impl Search<'_> {
    fn resolve(&mut self, plain: &str, part: &[usize]) {
        if part.is_empty() || self.attempt(part, &[], false) {
            return;
        }
        if part.len() > 1 {
            let (left, right) = part.split_at(part.len() / 2);
            self.resolve(plain, left);
            self.resolve(plain, right);
            return;
        }
        let leaf = &self.leaves.all[part[0]];
        let words: Vec<&str> = self
            .template
            .literals
            .iter()
            .map(String::as_str)
            .filter(|word| leaf.text.contains(word))
            .collect();
        let found = words.iter().any(|word| self.attempt(part, &[word], false))
            || self.attempt(part, &words, false)
            || self.attempt(part, &words, true);
        if !found {
            align::mark_occurrences(plain, leaf, &mut self.data);
        }
    }

    /// Renders with the strings of `part` marked; keeps what lines up.
    fn attempt(
        &mut self,
        part: &[usize],
        protect: &[&str],
        ascii_only: bool,
    ) -> bool {
        self.renders += 1;
        let most = RENDERED_CHARS / self.plain.len().max(1);
        if self.renders > most.clamp(FEWEST_RENDERS, RENDERS) {
            return false;
        }
        let mut order = self.leaves.order.iter();
        let marked = self.template.run(self.context, &mut |_| {
            let leaf = *order.next()?;
            part.binary_search(&leaf).ok()?;
            Some(self.leaves.all[leaf].marked(protect, ascii_only))
        });
        let Ok(marked) = marked else { return false };
        match align::compare(&self.plain, &marked, &self.leaves.all) {
            Some(data) => {
                for (all, new) in self.data.iter_mut().zip(data) {
                    *all |= new;
                }
                true
            }
            None => false,
        }
    }
}

fn spans_of(text: &str, data: &[bool]) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for ((at, c), &is_data) in text.char_indices().zip(data) {
        if !is_data {
            continue;
        }
        let end = at + c.len_utf8();
        match spans.last_mut() {
            Some(last) if last.1 == at => last.1 = end,
            _ => spans.push((at, end)),
        }
    }
    spans
}

/// `{% generation %}` marks the assistant's text for training; it prints its
/// body.
fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let Some(length) = rest[at..].find("%}") else { break };
        let tag = &rest[at + 2..at + length];
        let word = tag.trim_matches(|c: char| {
            c == '-' || c == '+' || c.is_whitespace()
        });
        out.push_str(&rest[..at + 2]);
        match word {
            "generation" => out.push_str(&tag.replace(word, "if true")),
            "endgeneration" => out.push_str(&tag.replace(word, "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = &rest[at + length + 2..];
    }
    out.push_str(rest);
    out
}

/// Every quoted string of the source, the longest first.
fn literals_of(source: &str) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for quote in ['\'', '"'] {
        let mut rest = source;
        while let Some(begin) = rest.find(quote) {
            let body = &rest[begin + 1..];
            let Some(end) = body.find(quote) else { break };
            if end > 0 && end < 200 {
                found.insert(body[..end].replace("\\n", "\n"));
            }
            // A closing quote may open the next one: quotes do not pair up
            // in template text.
            rest = &rest[begin + 1..];
        }
    }
    let mut literals: Vec<String> = found.into_iter().collect();
    literals.sort_by_key(|word| std::cmp::Reverse(word.len()));
    literals
}

fn message(error: &Error) -> String {
    let detail = error.detail().unwrap_or("");
    if let Some(raised) = detail.strip_prefix(RAISED) {
        return raised.to_string();
    }
    let place = match error.line() {
        Some(line) => format!(" (template line {line})"),
        None => String::new(),
    };
    match detail {
        "" => format!("{}{place}", error.kind()),
        _ => format!("{}: {detail}{place}", error.kind()),
    }
}

pub fn clock_from(
    write: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Clock {
    Arc::new(write)
}
