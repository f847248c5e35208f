//! JSON Schemas of an answer: one that models are given, one that answers are checked against.
//!
//! The first is the subset that model servers agree on: every field required, nullable instead of optional, no other
//! keys, no bounds; the bounds are told in words. The second has every bound. Decimals and money may be numbers or
//! strings in both: models write numbers, and a string keeps a scale that a JSON number loses.

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value, json};

use super::super::plan::{FieldPlan, From, Shape};
use crate::interpret::Kind;

/// How a decimal is written as a string.
const DECIMAL: &str = r"^-?[0-9]+(\.[0-9]+)?$";

/// The schema given to a model.
pub(super) fn portable(shape: &Shape) -> Value {
    object(
        shape,
        &|field| {
            let mut schema = bare(field, &portable);
            if let Some(text) = description(field) {
                schema.insert("description".into(), text.into());
            }
            schema
        },
        |_| true,
    )
}

/// The schema that an answer is checked against.
pub(super) fn strict(shape: &Shape) -> Value {
    object(
        shape,
        &|field| {
            let mut schema = bare(field, &strict);
            bounds(field, &mut schema);
            schema
        },
        |field| field.rules.required.is_some(),
    )
}

fn object(
    shape: &Shape,
    field: &dyn Fn(&FieldPlan) -> Map<String, Value>,
    is_required: impl Fn(&FieldPlan) -> bool,
) -> Value {
    let properties: Map<String, Value> =
        shape.fields.iter().map(|it| (it.name.to_string(), Value::Object(field(it)))).collect();
    let required: Vec<&str> = shape.fields.iter().filter(|it| is_required(it)).map(|it| &*it.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The type and the allowed words, without bounds.
fn bare(field: &FieldPlan, inner: &dyn Fn(&Shape) -> Value) -> Map<String, Value> {
    let mut schema = Map::new();
    let optional = field.rules.required.is_none();
    let mut types: Vec<&str> = match (&field.from, field.codec.kind()) {
        (From::Each { .. }, _) => vec!["array"],
        (_, Kind::Int) => vec!["integer"],
        (_, Kind::Decimal | Kind::Money) => vec!["number", "string"],
        (_, Kind::Bool) => vec!["boolean"],
        (_, Kind::Text | Kind::Date | Kind::Time | Kind::Datetime | Kind::Bytes) => vec!["string"],
    };
    if optional {
        types.push("null");
    }
    let kind = match types.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    schema.insert("type".into(), kind);
    if let Some(words) = words(field) {
        let nothing = optional.then_some(Value::Null);
        schema.insert("enum".into(), words.into_iter().map(Value::from).chain(nothing).collect());
    }
    if let From::Each { shape, .. } = &field.from {
        schema.insert("items".into(), inner(shape));
    }
    schema
}

/// The only texts allowed. Numbers and truth values are checked by the gate: JSON has several spellings of `1`.
fn words(field: &FieldPlan) -> Option<Vec<&str>> {
    if field.codec.kind() != Kind::Text {
        return None;
    }
    let listed = field.rules.one_of.as_ref().map(|it| it.iter().map(String::as_str).collect());
    let coded = || field.codec.codes().map(|it| it.rows.iter().map(|(word, _)| word.as_str()).collect());
    listed.or_else(coded)
}

/// The mapping's own text, and the bounds that the portable subset can not state.
fn description(field: &FieldPlan) -> Option<String> {
    let mut parts: Vec<String> = field.description.iter().cloned().collect();
    match field.codec.kind() {
        Kind::Date => parts.push("a date as YYYY-MM-DD".into()),
        Kind::Time => parts.push("a time as HH:MM:SS".into()),
        Kind::Datetime => parts.push("an instant as YYYY-MM-DDTHH:MM:SSZ".into()),
        Kind::Bytes => parts.push("base64".into()),
        Kind::Text | Kind::Int | Kind::Decimal | Kind::Money | Kind::Bool => {}
    }
    let between = |least: Option<String>, most: Option<String>| match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, most) => format!("at most {}", most.unwrap_or_default()),
    };
    if let Some((least, most)) = &field.rules.range {
        parts.push(between(least.map(|it| it.to_string()), most.map(|it| it.to_string())));
    }
    if let Some((least, most)) = field.rules.length {
        let unit = if matches!(field.from, From::Each { .. }) { "items" } else { "characters" };
        parts.push(format!(
            "{} {unit}",
            between(least.map(|it| it.to_string()), most.map(|it| it.to_string()))
        ));
    }
    if let Some((_, pattern)) = &field.rules.pattern {
        parts.push(format!("matches {pattern}"));
    }
    if field.codec.kind() != Kind::Text
        && let Some(words) = &field.rules.one_of
    {
        parts.push(format!("one of {}", words.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn bounds(field: &FieldPlan, schema: &mut Map<String, Value>) {
    let kind = field.codec.kind();
    let is_list = matches!(field.from, From::Each { .. });
    if let Some((least, most)) = field.rules.range {
        schema.extend(least.and_then(number).map(|it| ("minimum".to_owned(), it)));
        schema.extend(most.and_then(number).map(|it| ("maximum".to_owned(), it)));
    }
    if let Some((least, most)) = field.rules.length
        && (is_list || kind == Kind::Text)
    {
        let (low, high) = if is_list { ("minItems", "maxItems") } else { ("minLength", "maxLength") };
        schema.extend(least.map(|it| (low.to_owned(), json!(it))));
        schema.extend(most.map(|it| (high.to_owned(), json!(it))));
    }
    if matches!(kind, Kind::Decimal | Kind::Money) {
        schema.insert("pattern".into(), DECIMAL.into());
    }
    if let (Some((_, pattern)), Kind::Text) = (&field.rules.pattern, kind) {
        let mut with_pattern = schema.clone();
        with_pattern.insert("pattern".into(), format!("^(?:{pattern})$").into());
        // The two pattern languages differ in corners; what only ours knows is left to the gate.
        if jsonschema::validator_for(&Value::Object(with_pattern.clone())).is_ok() {
            *schema = with_pattern;
        }
    }
}

fn number(bound: Decimal) -> Option<Value> {
    bound.normalize().to_string().parse::<Number>().ok().map(Value::Number)
}
