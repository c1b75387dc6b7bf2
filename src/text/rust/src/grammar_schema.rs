//! A JSON Schema with what the compiler lacks taken out, place by place.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{json, Map, Value};

use crate::grammar_strings::exact_strings;

/// Keywords of some draft that the compiler has no code for.
const LACKING: [&str; 21] = [
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "contains",
    "contentSchema",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "x-guidance",
];

/// Keywords whose value, or company, the compiler may not bear.
const DOUBTFUL: [&str; 14] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minItems",
    "minLength",
    "minProperties",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
];

/// The search for culprits ends here; what is still in doubt is dropped.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// How strict JSON is written: whitespace between tokens is free but ends, so
/// that no model can stay in it; escapes like \u00dc are letters.
pub fn options() -> Value {
    json!({
        "whitespace_flexible": true,
        "whitespace_pattern":
            r"[\x20\x09]{1,16}|[\x20\x09]{0,4}(\x0D?\x0A){1,2}[\x20\x09]{0,96}",
        "json_allow_general_unicode_escapes": true,
    })
}

pub type Path = Vec<String>;

fn is_map_of_schemas(key: &str) -> bool {
    matches!(
        key,
        "properties" | "patternProperties" | "$defs" | "definitions"
            | "dependentSchemas"
    )
}

fn is_schema(key: &str) -> bool {
    matches!(
        key,
        "items" | "prefixItems" | "additionalItems" | "additionalProperties"
            | "allOf" | "anyOf" | "oneOf"
    )
}

/// Calls `visit` on every schema object, the outer one first.
pub fn walk(
    schema: &mut Value,
    path: &mut Path,
    visit: &mut impl FnMut(&mut Map<String, Value>, &Path),
) {
    let Value::Object(object) = schema else { return };
    visit(object, path);
    for (key, value) in object.iter_mut() {
        path.push(key.clone());
        match value {
            Value::Object(map) if is_map_of_schemas(key) => {
                for (name, inner) in map.iter_mut() {
                    path.push(name.clone());
                    walk(inner, path, visit);
                    path.pop();
                }
            }
            Value::Array(list) if is_schema(key) => {
                for (i, inner) in list.iter_mut().enumerate() {
                    path.push(i.to_string());
                    walk(inner, path, visit);
                    path.pop();
                }
            }
            inner if is_schema(key) => walk(inner, path, visit),
            _ => {}
        }
        path.pop();
    }
}

fn describe(path: &Path, keyword: &str) -> String {
    match path.is_empty() {
        true => format!("$: {keyword}"),
        false => format!("{}: {keyword}", path.join(".")),
    }
}

/// Whether the keyword says nothing at all with this value.
fn says_nothing(key: &str, object: &Map<String, Value>) -> bool {
    match key {
        "uniqueItems" => object[key] == false,
        "x-guidance" | "$vocabulary" | "$dynamicAnchor" => true,
        "$recursiveAnchor" => true,
        "not" => object[key] == false,
        "minContains" | "maxContains" => !object.contains_key("contains"),
        "then" | "else" => !object.contains_key("if"),
        "if" => !object.contains_key("then") && !object.contains_key("else"),
        _ => false,
    }
}

fn drop_lacking(schema: &mut Value, relaxed: &mut Vec<String>) {
    walk(schema, &mut Vec::new(), &mut |object, path| {
        let keys = LACKING.iter().filter(|&&key| object.contains_key(key));
        let keys: Vec<&str> = keys.copied().collect();
        for &key in &keys {
            if !says_nothing(key, object) {
                relaxed.push(describe(path, key));
            }
        }
        for key in keys {
            object.shift_remove(key);
        }
    });
}

/// The target of a pointer with escapes, which the compiler looks up as it is
/// spelled: a copy under a name it can find.
fn plain_refs(schema: &mut Value) {
    let mut odd: Vec<String> = Vec::new();
    walk(schema, &mut Vec::new(), &mut |object, _| {
        if let Some(Value::String(to)) = object.get("$ref") {
            if to.starts_with("#/") && to.contains(['~', '%']) {
                odd.push(to.clone());
            }
        }
    });
    odd.sort();
    odd.dedup();
    let found = |to: &String| schema.pointer(&unescape(&to[1..])).is_some();
    odd.retain(found);
    let name = |to: &str| {
        let at = odd.iter().position(|odd| odd == to)?;
        Some(format!("rapid_ref_{at}"))
    };
    walk(schema, &mut Vec::new(), &mut |object, _| {
        let to = object.get("$ref").and_then(Value::as_str);
        if let Some(name) = to.and_then(name) {
            object.insert("$ref".into(), format!("#/$defs/{name}").into());
        }
    });
    // After the rewriting, as targets hold references, too.
    for to in &odd {
        let target = schema.pointer(&unescape(&to[1..])).cloned();
        if let (Some(name), Some(target)) = (name(to), target) {
            if !schema["$defs"].is_object() {
                schema["$defs"] = json!({});
            }
            schema["$defs"][name.as_str()] = target;
        }
    }
}

/// %20 to a space; `~` is the pointer's own affair.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A pointer into this document that leads nowhere is a mistake; other kinds
/// of reference are what the compiler lacks.
fn may_drop(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("$ref", Value::String(to)) => to != "#" && !to.starts_with("#/"),
        ("additionalProperties", value) => value.is_object(),
        ("format" | "pattern", value) => value.is_string(),
        ("allOf" | "oneOf", value) => value.is_array(),
        ("patternProperties", value) => value.is_object(),
        ("multipleOf", value) => value.is_number(),
        (_, value) => value.is_u64(),
    }
}

type Doubt = (Path, &'static str);

fn doubts(schema: &Value) -> Vec<Doubt> {
    let mut found = Vec::new();
    let mut copy = schema.clone();
    walk(&mut copy, &mut Vec::new(), &mut |object, path| {
        for key in DOUBTFUL {
            if object.get(key).is_some_and(|value| may_drop(key, value)) {
                found.push((path.clone(), key));
            }
        }
    });
    found
}

/// oneOf becomes anyOf: one more than one may hold, but one does.
fn loosen(object: &mut Map<String, Value>, key: &str) {
    let Some(value) = object.shift_remove(key) else { return };
    if key != "oneOf" {
        return;
    }
    let any = json!({"anyOf": value});
    if let Some(Value::Array(all)) = object.get_mut("allOf") {
        all.push(any);
    } else if object.contains_key("anyOf") {
        object.insert("allOf".into(), json!([any]));
    } else {
        object.insert("anyOf".into(), any["anyOf"].clone());
    }
}

fn without(schema: &Value, dropped: &[Doubt]) -> Value {
    let mut copy = schema.clone();
    // Inner places first: their paths name what outer ones may rename.
    for (path, key) in dropped.iter().rev() {
        let place = path.iter().try_fold(&mut copy, |at, step| match at {
            Value::Array(list) => list.get_mut(step.parse::<usize>().ok()?),
            Value::Object(object) => object.get_mut(step),
            _ => None,
        });
        if let Some(Value::Object(object)) = place {
            loosen(object, key);
        }
    }
    copy
}

/// What a string of its own shows to be at fault. A schema may have hundreds.
fn drop_alone(schema: &mut Value, check: Check, relaxed: &mut Vec<String>) {
    let mut known: HashMap<String, bool> = HashMap::new();
    walk(schema, &mut Vec::new(), &mut |object, path| {
        for key in ["format", "pattern"] {
            let Some(value @ Value::String(_)) = object.get(key) else {
                continue;
            };
            let alone = json!({"type": "string", key: value});
            let good = known
                .entry(alone.to_string())
                .or_insert_with(|| check(&alone).is_ok());
            if !*good {
                relaxed.push(describe(path, key));
                object.shift_remove(key);
            }
        }
    });
}

type Check<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

struct Search<'a> {
    schema: &'a Value,
    check: Check<'a>,
    until: Instant,
    dropped: Vec<Doubt>,
}

impl Search<'_> {
    /// Takes back what of `group` can stay in the schema.
    fn restore(&mut self, group: &[Doubt]) {
        if Instant::now() > self.until || group.is_empty() {
            return;
        }
        let kept = |doubt: &&Doubt| !group.contains(doubt);
        let rest: Vec<Doubt> = self.dropped.iter().filter(kept).cloned().collect();
        if (self.check)(&without(self.schema, &rest)).is_ok() {
            self.dropped = rest;
        } else if group.len() > 1 {
            let (left, right) = group.split_at(group.len() / 2);
            self.restore(left);
            self.restore(right);
        }
    }
}

/// A definition that nothing can meet is an error to the compiler even where
/// it may stay unused; a place that refers to it can say so itself. Gives the
/// compiler's last word.
fn close_refs(schema: &mut Value, check: Check) -> Result<(), String> {
    loop {
        let Err(message) = check(schema) else { return Ok(()) };
        let mark = "while processing ";
        let to = message.split_once(mark).map(|(_, to)| to.trim().to_string());
        let mut closed = false;
        if message.contains("Unsatisfiable") {
            walk(schema, &mut Vec::new(), &mut |object, _| {
                let at = object.get("$ref").and_then(Value::as_str);
                if at.is_some() && at == to.as_deref() {
                    *object = Map::from_iter([("enum".into(), json!([]))]);
                    closed = true;
                }
            });
        }
        if !closed {
            return Err(message);
        }
    }
}

/// A schema that compiles, and what it lacks of the one given. Errors are the
/// compiler's: the schema is wrong, or cannot be met.
pub fn relax(
    mut schema: Value,
    check: Check,
) -> Result<(Value, Vec<String>), String> {
    let mut relaxed = Vec::new();
    if let Value::Bool(any) = schema {
        schema = if any { json!({}) } else { json!({"enum": []}) };
    }
    drop_lacking(&mut schema, &mut relaxed);
    exact_strings(&mut schema);
    plain_refs(&mut schema);
    schema["x-guidance"] = options();
    relaxed.sort();
    let mut closed = schema.clone();
    let Err(message) = close_refs(&mut closed, check) else {
        return Ok((closed, relaxed));
    };
    if message.contains("Unsatisfiable") {
        return Err(message);
    }
    drop_alone(&mut schema, check, &mut relaxed);
    relaxed.sort();
    if check(&schema).is_ok() {
        return Ok((schema, relaxed));
    }
    let all = doubts(&schema);
    if all.is_empty() || check(&without(&schema, &all)).is_err() {
        return Err(message);
    }
    let mut search = Search {
        schema: &schema,
        check,
        until: Instant::now() + SEARCH_TIME,
        dropped: all.clone(),
    };
    search.restore(&all);
    let dropped = search.dropped;
    relaxed.extend(dropped.iter().map(|(path, key)| describe(path, key)));
    relaxed.sort();
    Ok((without(&schema, &dropped), relaxed))
}
