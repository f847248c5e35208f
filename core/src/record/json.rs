//! Records as canonical JSON, their lineage beside it, and answers as records.

use std::{fmt::Write, sync::Arc};

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value as Json};

use super::{Field, Record, Value};
use crate::{
    finding::Check,
    interpret::{Codec, Complaint, Kind, Reading, canonical_text},
    mapping::plan::{From, Shape},
    origin::Origin,
};

/// One field of an answer that is not what its shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerProblem {
    /// The field's name, with its list position: `lines[2].amount`.
    pub field: String,
    /// What was expected.
    pub complaint: Complaint,
    /// The answer's text, or the JSON type that stood there instead.
    pub found: String,
}

impl Record {
    /// The canonical JSON: money and decimals as strings with their scale, ints as numbers, ISO 8601 dates, bytes as
    /// base64, lists of objects. What is absent is left out. The order is the mapping's.
    pub fn to_json(&self) -> Json {
        Json::Object(self.present().map(|(name, field)| (name.to_owned(), value(&field.value))).collect())
    }

    /// The sidecar of [`Record::to_json`]: for each present field, also those inside lists (`lines[1].amount`), its
    /// address as `from`, who corrected it as `corrected by`, its `line` where known, of a change of a row its `table` and
    /// `position`, and its `raw` text where that differs and the field is not masked.
    pub fn lineage_json(&self) -> Json {
        let mut all = Map::new();
        self.each_leaf("", false, &mut |path, field, is_masked| {
            let mut entry = Map::new();
            let (place, by) = match &field.origin {
                Origin::Corrected { by, place } => (place.as_deref(), Some(by)),
                place => (Some(place), None),
            };
            entry.insert("from".to_owned(), place.map_or(Json::Null, |it| Json::from(it.to_string())));
            if let Some(by) = by {
                entry.insert("corrected by".to_owned(), Json::from(&**by));
            }
            if let Some(Origin::Node { line, .. }) = place
                && *line > 0
            {
                entry.insert("line".to_owned(), Json::from(*line));
            }
            if let Some(Origin::Column { table, position, .. }) = place {
                entry.insert("table".to_owned(), Json::from(&**table));
                entry.insert("position".to_owned(), Json::from(&**position));
            }
            if let (Some(raw), false) = (&field.raw, is_masked) {
                entry.insert("raw".to_owned(), Json::from(&**raw));
            }
            all.insert(path.to_owned(), Json::Object(entry));
        });
        Json::Object(all)
    }

    /// One line for each present value, for people and prompts: `reserve: 1250.00`, `lines[1].kind: building`.
    /// Masked values are shown as they are: call it on a hidden record where it leaves the process.
    pub fn to_words(&self) -> String {
        let mut out = String::new();
        self.each_leaf("", false, &mut |path, field, _| {
            if !matches!(field.value, Value::List(_)) {
                // Writing to a string does not fail.
                let _ = writeln!(out, "{path}: {}", canonical_text(&field.value));
            }
        });
        out
    }

    /// Reads an answer. Names that the shape does not have are passed over, `null` and blank text are absent, and
    /// what can not be read is absent and reported. JSON numbers count by their shortest text: `0.92` is exactly 0.92.
    pub fn from_answer(shape: &Arc<Shape>, answer: &Map<String, Json>) -> (Self, Vec<AnswerProblem>) {
        let mut problems = Vec::new();
        let record = from_object(shape, answer, "", &mut problems);
        (record, problems)
    }

    /// Every present field in order, lists before their items, with its path and whether it or a list around it is
    /// masked.
    fn each_leaf(&self, prefix: &str, is_masked: bool, visit: &mut dyn FnMut(&str, &Field, bool)) {
        for (plan, field) in self.shape.fields.iter().zip(&self.fields) {
            let Some(field) = field else { continue };
            let path = format!("{prefix}{}", plan.name);
            let is_masked = is_masked || plan.mask.is_some();
            visit(&path, field, is_masked);
            if let Value::List(items) = &field.value {
                for (place, item) in items.iter().enumerate() {
                    item.each_leaf(&format!("{path}[{}].", place + 1), is_masked, visit);
                }
            }
        }
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

fn from_object(
    shape: &Arc<Shape>,
    answer: &Map<String, Json>,
    prefix: &str,
    problems: &mut Vec<AnswerProblem>,
) -> Record {
    let mut record = Record::empty(shape.clone());
    for (plan, place) in shape.fields.iter().zip(&mut record.fields) {
        let Some(found) = answer.get(&*plan.name) else { continue };
        let path = format!("{prefix}{}", plan.name);
        let value = match &plan.from {
            From::Each { shape, .. } => from_list(shape, found, &path, problems),
            _ => from_scalar(&plan.codec, found, &path, problems),
        };
        *place = value.map(|value| Field { value, origin: Origin::Answer(path.into()), raw: None });
    }
    record
}

fn from_list(
    shape: &Arc<Shape>,
    found: &Json,
    path: &str,
    problems: &mut Vec<AnswerProblem>,
) -> Option<Value> {
    let mut wrong = |path: String, expected: &'static str, found: &Json| {
        let complaint = Complaint { check: Check::Type, expected: expected.into() };
        problems.push(AnswerProblem { field: path, complaint, found: kind_of(found).to_owned() });
    };
    let items = match found {
        Json::Null => return None,
        Json::Array(items) => items,
        other => {
            wrong(path.to_owned(), "a list", other);
            return None;
        }
    };
    let mut records = Vec::with_capacity(items.len());
    for (place, item) in (1..).zip(items) {
        match item {
            Json::Object(item) => records.push((place, item)),
            other => wrong(format!("{path}[{place}]"), "an object", other),
        }
    }
    let read = |(place, item)| from_object(shape, item, &format!("{path}[{place}]."), problems);
    Some(Value::List(records.into_iter().map(read).collect()))
}

fn from_scalar(codec: &Codec, found: &Json, path: &str, problems: &mut Vec<AnswerProblem>) -> Option<Value> {
    let text = match found {
        Json::Null => return None,
        Json::String(text) => Some(text.clone()),
        // A model that counts instead of saying yes has not answered the question.
        Json::Number(_) if codec.kind() == Kind::Bool => None,
        Json::Number(number) => literal(number, codec.kind()),
        Json::Bool(yes) => Some(yes.to_string()),
        Json::Array(_) | Json::Object(_) => None,
    };
    let mut report = |complaint: Complaint| {
        let found = text.clone().unwrap_or_else(|| kind_of(found).to_owned());
        problems.push(AnswerProblem { field: path.to_owned(), complaint, found });
    };
    let Some(text) = &text else {
        report(Complaint { check: Check::Type, expected: codec.describe_clean() });
        return None;
    };
    match codec.read_clean(text) {
        Reading::Value(value) => Some(value),
        Reading::Empty => None,
        Reading::Unreadable(complaint) => {
            report(complaint);
            None
        }
        Reading::Doubtful(value, complaint) => {
            let is_instant = complaint.check == Check::LocalTime;
            report(complaint);
            is_instant.then_some(value)
        }
    }
}

/// The number's shortest text without an exponent; without a fraction that is zero where an int is wanted. `None`
/// for what a decimal can not hold.
fn literal(number: &Number, kind: Kind) -> Option<String> {
    let text = number.to_string();
    let text = match text.contains(['e', 'E']) {
        true => canonical_text(&Value::Decimal(Decimal::from_scientific(&text).ok()?)),
        false => text,
    };
    match text.split_once('.') {
        Some((whole, fraction)) if kind == Kind::Int && fraction.bytes().all(|it| it == b'0') => {
            Some(whole.to_owned())
        }
        _ => Some(text),
    }
}

fn kind_of(found: &Json) -> &'static str {
    match found {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
