//! Records as canonical JSON, and answers as records.

use serde_json::Value as Json;

use super::{Record, Value};
use crate::interpret::canonical_text;

impl Record {
    /// The canonical JSON: money and decimals as strings with their scale, ints as numbers, ISO 8601 dates, bytes as
    /// base64, lists of objects. What is absent is left out.
    pub fn to_json(&self) -> Json {
        Json::Object(self.present().map(|(name, field)| (name.to_owned(), value(&field.value))).collect())
    }
}

/// The canonical JSON of a value.
pub fn value(value: &Value) -> Json {
    match value {
        Value::Int(number) => Json::from(*number),
        Value::Bool(yes) => Json::from(*yes),
        Value::List(items) => list(items),
        other => Json::String(canonical_text(other)),
    }
}

/// The canonical JSON of a list.
pub fn list(items: &[Record]) -> Json {
    Json::Array(items.iter().map(Record::to_json).collect())
}
