//! Patterns and formats that the compiler takes too widely, in exact words.
use serde_json::{json, Map, Value};

use crate::grammar_schema::walk;

/// Days that exist; the compiler's own `date` has a February 29 each year.
const DATE: &str = concat!(
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])",
    r"|(?:[02468][048]|[13579][26])00)-02-29)",
);

/// Without leap seconds: its own has them in every minute.
const TIME: &str = concat!(
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?",
    r"(?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
);

fn pattern_of(format: &str) -> Option<String> {
    match format {
        "date" => Some(format!("^{DATE}$")),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{DATE}[tT]{TIME}$")),
        _ => None,
    }
}

/// `[^"]` also lets an escaped quote through: where a class has all control
/// characters the compiler (derivre 0.3) takes every escape to be in it. So
/// that it has not, U+0000 is put out of every `[^...]`.
fn narrow(pattern: &str) -> String {
    let mut out = String::new();
    let mut in_class = false;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        match c {
            '\\' => out.extend(rest.next()),
            ']' => in_class = false,
            '[' if !in_class => {
                in_class = true;
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                    if rest.peek() != Some(&']') {
                        out.push_str(r"\x00");
                    }
                }
            }
            _ => {}
        }
    }
    out
}

fn exact(object: &mut Map<String, Value>) {
    if let Some(Value::String(pattern)) = object.get_mut("pattern") {
        *pattern = narrow(pattern);
    }
    if let Some(Value::Object(map)) = object.get_mut("patternProperties") {
        let old = std::mem::take(map);
        map.extend(old.into_iter().map(|(key, inner)| (narrow(&key), inner)));
    }
    let format = object.get("format").and_then(Value::as_str);
    let Some(pattern) = format.and_then(pattern_of) else { return };
    if !object.contains_key("pattern") {
        object.insert("pattern".into(), pattern.into());
    } else {
        let all = object.entry("allOf").or_insert_with(|| json!([]));
        let Value::Array(all) = all else { return };
        all.push(json!({"pattern": pattern}));
    }
    object.shift_remove("format");
}

/// Before it is compiled, so that what compiles is what is meant.
pub fn exact_strings(schema: &mut Value) {
    walk(schema, &mut Vec::new(), &mut |object, _| exact(object));
}
