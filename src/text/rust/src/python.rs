//! Values as Python writes them: str(), repr(), json.dumps, float repr,
//! whitespace, splitlines. Jinja2's templates are written against these.
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        value.to_string()
    } else {
        f64::try_from(value.clone()).map_or(value.to_string(), float)
    }
}

fn items(value: &Value) -> Vec<(Value, Value)> {
    let keys = value.try_iter().into_iter().flatten();
    keys.map(|key| {
        let item = value.get_item(&key).unwrap_or_default();
        (key, item)
    })
    .collect()
}

pub fn str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_string(),
        None if value.is_undefined() => String::new(),
        None => {
            let mut out = String::new();
            repr(value, &mut out);
            out
        }
    }
}

fn repr(value: &Value, out: &mut String) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Bool => {
            out.push_str(if value.is_true() { "True" } else { "False" })
        }
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => repr_str(value.as_str().unwrap_or(""), out),
        ValueKind::Seq => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                if count > 0 {
                    out.push_str(", ");
                }
                repr(&item, out);
                count += 1;
            }
            if tuple && count == 1 {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (index, (key, item)) in items(value).iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                repr(key, out);
                out.push_str(": ");
                repr(item, out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

fn is_printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e000}'..='\u{f8ff}'))
}

fn repr_str(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c if (c as u32) < 0x10000 => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
}

pub struct JsonStyle {
    pub ascii: bool,
    pub indent: Option<String>,
    pub item: String,
    pub key: String,
    pub sort_keys: bool,
}

pub fn json(
    value: &Value,
    style: &JsonStyle,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    if out.len() > 64 << 20 {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => {
            out.push_str(if value.is_true() { "true" } else { "false" })
        }
        ValueKind::Number => out.push_str(&json_number(value)),
        ValueKind::String => {
            json_str(value.as_str().unwrap_or(""), style.ascii, out)
        }
        ValueKind::Seq => {
            let all: Vec<Value> = value.try_iter()?.collect();
            out.push('[');
            for (index, item) in all.iter().enumerate() {
                separate(style, index, depth + 1, out);
                json(item, style, depth + 1, out)?;
            }
            close(style, all.is_empty(), depth, out);
            out.push(']');
        }
        ValueKind::Map => {
            let mut all = items(value);
            if style.sort_keys {
                all.sort_by(|a, b| a.0.cmp(&b.0));
            }
            out.push('{');
            for (index, (key, item)) in all.iter().enumerate() {
                separate(style, index, depth + 1, out);
                match key.kind() {
                    ValueKind::String => json(key, style, depth, out)?,
                    _ => {
                        let mut text = String::new();
                        json(key, style, depth, &mut text)?;
                        json_str(&text, style.ascii, out);
                    }
                }
                out.push_str(&style.key);
                json(item, style, depth + 1, out)?;
            }
            close(style, all.is_empty(), depth, out);
            out.push('}');
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("Object of type {kind} is not JSON serializable"),
            ))
        }
    }
    Ok(())
}

fn json_number(value: &Value) -> String {
    match number(value).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.into(),
    }
}

fn new_line(style: &JsonStyle, depth: usize, out: &mut String) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

fn separate(style: &JsonStyle, index: usize, depth: usize, out: &mut String) {
    if index > 0 {
        out.push_str(&style.item);
    }
    new_line(style, depth, out);
}

fn close(style: &JsonStyle, empty: bool, depth: usize, out: &mut String) {
    if !empty {
        new_line(style, depth, out);
    }
}

fn json_str(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ascii && c as u32 >= 0x7f) => {
                if c == '\u{7f}' {
                    out.push(c);
                    continue;
                }
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// str.splitlines().
pub fn split_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_end = matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}'
            | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if !is_end {
            continue;
        }
        lines.push(&text[start..at]);
        start = at + c.len_utf8();
        if c == '\r' && text[start..].starts_with('\n') {
            chars.next();
            start += 1;
        }
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}
