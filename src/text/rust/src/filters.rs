//! What Jinja2 in Python does and minijinja does not, or not the same way.
use std::sync::Arc;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};

use crate::python::{self, JsonStyle};

/// Prefix of an error raised by the template itself.
pub const RAISED: &str = "raise_exception: ";
const LIMIT: usize = 64 << 20;

pub type Clock = Arc<dyn Fn(&str) -> String + Send + Sync>;

pub fn install(env: &mut Environment<'static>, clock: Clock) {
    env.set_unknown_method_callback(methods);
    env.set_formatter(write_value);
    env.add_filter("tojson", to_json);
    env.add_filter("string", |value: Value| python::str(&value));
    env.add_filter("trim", trim);
    env.add_filter("indent", indent);
    env.add_test("iterable", |value: Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    env.add_function(
        "raise_exception",
        |message: Value| -> Result<Value, Error> {
            let text = format!("{RAISED}{}", python::str(&message));
            Err(Error::new(ErrorKind::InvalidOperation, text))
        },
    );
    env.add_function("strftime_now", move |format: String| clock(&format));
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn write_value(
    out: &mut Output,
    _state: &mut State,
    value: &Value,
) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text),
        None => out.write_str(&python::str(value)),
    }
    .map_err(Error::from)
}

fn option(
    given: Option<Value>,
    kwargs: &Kwargs,
    name: &str,
) -> Result<Value, Error> {
    match given {
        Some(value) => Ok(value),
        None => Ok(kwargs.get::<Option<Value>>(name)?.unwrap_or_default()),
    }
}

fn to_json(
    value: Value,
    ascii: Option<Value>,
    indent: Option<Value>,
    separators: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let ascii = option(ascii, &kwargs, "ensure_ascii")?.is_true();
    let indent = match option(indent, &kwargs, "indent")? {
        value if value.is_none() || value.is_undefined() => None,
        value => Some(match value.as_str() {
            Some(text) => text.to_string(),
            None => {
                let width = i64::try_from(value)?.clamp(0, 64);
                " ".repeat(width as usize)
            }
        }),
    };
    let (item, key) = match option(separators, &kwargs, "separators")? {
        value if value.is_none() || value.is_undefined() => {
            let item = if indent.is_some() { "," } else { ", " };
            (item.to_string(), ": ".to_string())
        }
        value => (
            python::str(&value.get_item_by_index(0)?),
            python::str(&value.get_item_by_index(1)?),
        ),
    };
    let sort_keys = option(None, &kwargs, "sort_keys")?.is_true();
    kwargs.assert_all_used()?;
    let style = JsonStyle { ascii, indent, item, key, sort_keys };
    let mut out = String::new();
    python::json(&value, &style, 0, &mut out)?;
    Ok(Value::from(out))
}

fn trim(value: Value, chars: Option<Value>) -> String {
    let text = python::str(&value);
    match chars.as_ref().and_then(|chars| chars.as_str()) {
        Some(set) => text.trim_matches(|c| set.contains(c)).to_string(),
        None => text.trim_matches(python::is_space).to_string(),
    }
}

fn indent(
    value: Value,
    width: Option<Value>,
    first: Option<Value>,
    blank: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = option(width, &kwargs, "width")?;
    let margin = match (width.kind(), width.as_str()) {
        (_, Some(text)) => text.to_string(),
        (ValueKind::Undefined, _) => "    ".to_string(),
        _ => {
            let width = i64::try_from(width)?.max(0) as usize;
            if width > 4096 {
                return Err(invalid("indent: too wide"));
            }
            " ".repeat(width)
        }
    };
    let first = option(first, &kwargs, "first")?.is_true();
    let blank = option(blank, &kwargs, "blank")?.is_true();
    kwargs.assert_all_used()?;
    // Jinja2 adds a newline first, so that splitlines keeps the last one.
    let text = python::str(&value) + "\n";
    let lines = python::split_lines(&text);
    if text.len() + lines.len() * margin.len() > LIMIT {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if if index == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// The methods of Python's str, list and dict that the library lacks.
fn methods(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let set = args.first().and_then(|chars| chars.as_str());
        let in_set = |c: char| match set {
            Some(set) => set.contains(c),
            None => python::is_space(c),
        };
        match (method, args.len()) {
            ("strip", 0..=1) => return Ok(text.trim_matches(in_set).into()),
            ("lstrip", 0..=1) => {
                return Ok(text.trim_start_matches(in_set).into())
            }
            ("rstrip", 0..=1) => return Ok(text.trim_end_matches(in_set).into()),
            ("removeprefix", 1) => {
                let part = set.unwrap_or("");
                return Ok(text.strip_prefix(part).unwrap_or(text).into());
            }
            ("removesuffix", 1) => {
                let part = set.unwrap_or("");
                return Ok(text.strip_suffix(part).unwrap_or(text).into());
            }
            ("splitlines", 0) => return Ok(strings(python::split_lines(text))),
            ("partition", 1) => return Ok(partition(text, set, false)),
            ("rpartition", 1) => return Ok(partition(text, set, true)),
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(
        state, value, method, args,
    )
}

fn partition(text: &str, separator: Option<&str>, from_end: bool) -> Value {
    let by = separator.unwrap_or(" ");
    let parts = match from_end {
        false => text.split_once(by),
        true => text.rsplit_once(by),
    };
    let parts = match (parts, from_end) {
        (Some((left, right)), _) => [left, by, right],
        (None, false) => [text, "", ""],
        (None, true) => ["", "", text],
    };
    strings(parts.to_vec())
}

fn strings(parts: Vec<&str>) -> Value {
    parts.into_iter().map(Value::from).collect::<Vec<_>>().into()
}
