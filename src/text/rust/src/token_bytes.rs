//! The exact bytes of every token: the byte alphabet of byte-level BPE, the
//! `<0x0A>` tokens of byte fallback, the metaspace.
use serde_json::Value;

#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    ByteLevel,
    /// `fallback`: `<0x0A>` is a byte. `_` is U+2581 for a space.
    Metaspace { fallback: bool },
    Plain,
}

/// How a tokenizer.json's decoder spells tokens, and whether it drops the
/// first space of a text. None: a decoder nobody here knows.
pub fn style_of(decoder: Option<&Value>) -> Option<(Style, bool)> {
    let Some(decoder) = decoder.filter(|d| !d.is_null()) else {
        return Some((Style::Plain, false));
    };
    let mut style = Style::Plain;
    let mut strip = false;
    let steps = match decoder["type"].as_str()? {
        "Sequence" => decoder["decoders"].as_array()?.clone(),
        _ => vec![decoder.clone()],
    };
    for step in &steps {
        match step["type"].as_str()? {
            "ByteLevel" => style = Style::ByteLevel,
            "ByteFallback" => style = Style::Metaspace { fallback: true },
            "Replace" if step["content"] == " " => {
                if !matches!(style, Style::Metaspace { .. }) {
                    style = Style::Metaspace { fallback: false };
                }
            }
            "Metaspace" => {
                style = Style::Metaspace { fallback: false };
                strip |= step["prepend_scheme"] != "never";
            }
            "Strip" => strip |= step["start"].as_u64() > Some(0),
            "Fuse" => {}
            _ => return None,
        }
    }
    Some((style, strip))
}

/// The byte that a character of the byte-level alphabet stands for.
fn byte_of(c: char) -> Option<u8> {
    let code = c as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

fn fallback_byte(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// `added`: matched as written, so its name is what it stands for.
pub fn bytes_of(name: &str, style: Style, added: bool) -> Vec<u8> {
    match style {
        Style::ByteLevel if !added => name
            .chars()
            .map(byte_of)
            .collect::<Option<Vec<u8>>>()
            .unwrap_or_else(|| name.as_bytes().to_vec()),
        Style::Metaspace { fallback } => match fallback_byte(name) {
            Some(byte) if fallback => vec![byte],
            _ => name.replace('\u{2581}', " ").into_bytes(),
        },
        _ => name.as_bytes().to_vec(),
    }
}
