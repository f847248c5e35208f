//! Writes what `return` says as JSON: the inside of the element that `into` names.

use bytes::Bytes;
use serde_json::{Map, Value};
use vestibule_core::{
    fault::{Fault, FaultCode},
    flow::written::{Hint, Written, WrittenItem},
    mapping::{
        address::{Axis, Path},
        plan::{Return, Write},
    },
    ports::Renderer,
};

use crate::reader::{ITEM, TEXT};

/// A compiled `return`.
#[derive(Debug)]
pub(crate) struct JsonRenderer {
    /// Steps of `into` below the first: where the records of a document are listed.
    list: Vec<String>,
    level: Vec<Place>,
}

/// One written place.
#[derive(Debug)]
struct Place {
    /// Keys on the way, the last one included.
    keys: Vec<String>,
    /// What is inside each item, for a repeated place.
    each: Option<Vec<Place>>,
}

impl JsonRenderer {
    pub(crate) fn compile(back: &Return) -> Self {
        let local = |it: &str| it.rsplit(':').next().unwrap_or(it).to_owned();
        Self { list: back.into.split('/').skip(1).map(local).collect(), level: level(&back.write) }
    }
}

fn level(writes: &[Write]) -> Vec<Place> {
    let place = |write: &Write| match write {
        Write::Value { place, .. } => Place { keys: keys(place), each: None },
        Write::Each { place, write, .. } => Place { keys: keys(place), each: Some(level(write)) },
    };
    writes.iter().map(place).collect()
}

fn keys(place: &Path) -> Vec<String> {
    let steps = place.steps.iter().filter(|it| matches!(it.axis, Axis::Child | Axis::Attribute));
    steps
        .map(|it| if it.axis == Axis::Attribute { format!("@{}", it.name) } else { it.name.to_string() })
        .collect()
}

fn filled(level: &[Place], written: &Written) -> Value {
    let mut out = Map::new();
    for item in &written.items {
        match item {
            WrittenItem::Value { write, text, hint } => {
                if let Some(place) = level.get(*write) {
                    put(&mut out, &place.keys, plain(text, *hint));
                }
            }
            WrittenItem::Each { write, items } => {
                let Some(place) = level.get(*write) else { continue };
                let inner = place.each.as_deref().unwrap_or_default();
                put(&mut out, &place.keys, items.iter().map(|it| filled(inner, it)).collect());
            }
        }
    }
    // An element with text alone is its text.
    match (out.len(), out.get(TEXT)) {
        (1, Some(text)) => text.clone(),
        _ => Value::Object(out),
    }
}

/// Puts a value below `keys`; what already stands there moves to `#text`, or becomes a list.
fn put(into: &mut Map<String, Value>, keys: &[String], value: Value) {
    let Some((first, rest)) = keys.split_first() else {
        into.insert(TEXT.to_owned(), value);
        return;
    };
    if rest.is_empty() {
        match into.get_mut(first) {
            None => drop(into.insert(first.clone(), value)),
            Some(Value::Object(object)) => drop(object.insert(TEXT.to_owned(), value)),
            Some(Value::Array(items)) => match value {
                Value::Array(more) => items.extend(more),
                value => items.push(value),
            },
            Some(other) => {
                let before = other.take();
                *other = Value::Array(vec![before, value]);
            }
        }
        return;
    }
    let slot = into.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        let before = slot.take();
        let key = if before.is_array() { ITEM } else { TEXT };
        *slot = Value::Object(Map::from_iter([(key.to_owned(), before)]));
    }
    if let Value::Object(object) = slot {
        put(object, rest, value);
    }
}

/// A number only where its digits survive: 64 bits hold every `int` of the mapping language.
fn plain(text: &str, hint: Hint) -> Value {
    match hint {
        Hint::Number => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Hint::Boolean => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        Hint::Text => Value::from(text),
    }
}

impl Renderer for JsonRenderer {
    fn render(&self, records: &[Written]) -> Result<Bytes, Fault> {
        let mut all = records.iter().map(|it| filled(&self.level, it));
        let value = if self.list.is_empty() {
            match (all.next(), all.next()) {
                (None, _) => Value::Object(Map::new()),
                (Some(only), None) => only,
                (Some(first), Some(second)) => [first, second].into_iter().chain(all).collect(),
            }
        } else {
            let mut out = Map::new();
            put(&mut out, &self.list, all.collect());
            Value::Object(out)
        };
        serde_json::to_vec(&value).map(Bytes::from).map_err(|error| {
            Fault::new(FaultCode::Unwritable, "the reply can not be written as JSON").because(error)
        })
    }
}
