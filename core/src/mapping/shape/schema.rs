//! JSON Schemas of our own types: one made by schemars, kept, and dressed for editors.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

/// Made for the checker; the editor's dress is cut from it.
static CACHE: LazyLock<Mutex<HashMap<TypeId, Arc<Value>>>> = LazyLock::new(Mutex::default);

/// The schema that [`super::read`] checks against. Made once for each type: making one costs more than a whole check.
pub(super) fn cached<T: JsonSchema + 'static>() -> Arc<Value> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cache.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(generate::<T>())))
}

/// The JSON Schema (draft-07) of a `T` for editors, as yaml-language-server reads it: unquoted `01` and `yes` are
/// numbers and booleans there, so text allows those, and yes and no allow their words.
pub fn schema_for<T: JsonSchema>() -> Value {
    let mut schema = generate::<T>();
    dress(&mut schema);
    schema
}

fn generate<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value();
    strip_null(&mut schema);
    schema
}

/// Removes the `null` alternatives of optional keys: a key that is there has a value.
fn strip_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(strip_null),
        Value::Object(map) => {
            map.values_mut().for_each(strip_null);
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|it| it != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.shift_remove("default");
            }
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|it| !it.is_null());
            }
            for key in ["anyOf", "oneOf"] {
                let Some(Value::Array(alternatives)) = map.get_mut(key) else { continue };
                alternatives.retain(|it| it.get("type").is_none_or(|kind| kind != "null"));
                if alternatives.len() == 1 {
                    let only = alternatives.remove(0);
                    map.shift_remove(key);
                    merge(map, only);
                }
            }
        }
        _ => {}
    }
}

/// Puts the only alternative in the place of the list. Draft-07 ignores what stands beside a `$ref`.
fn merge(map: &mut serde_json::Map<String, Value>, only: Value) {
    let Value::Object(only) = only else { return };
    if only.contains_key("$ref") && !map.is_empty() {
        map.insert("allOf".into(), json!([only]));
        return;
    }
    for (key, value) in only {
        map.entry(key).or_insert(value);
    }
}

fn dress(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(dress),
        Value::Object(map) => {
            map.shift_remove("x-partial");
            // Rust's own widths (`uint32`) are not formats of JSON Schema.
            if map.get("format").is_some_and(Value::is_string) {
                map.shift_remove("format");
            }
            map.values_mut().for_each(dress);
            let has_words = map.contains_key("enum") || map.contains_key("const");
            match map.get("type").and_then(Value::as_str) {
                Some("string") if !has_words => {
                    map.insert("type".into(), json!(["string", "number", "boolean"]));
                }
                Some("boolean") if !has_words => {
                    map.shift_remove("type");
                    map.insert("enum".into(), json!([true, false, "yes", "no"]));
                }
                _ => {}
            }
        }
        _ => {}
    }
}
