//! Stand-ins until `record::json` and `mask` land; nothing else may use them.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    mapping::plan::{Mapping, Shape},
    origin::Origin,
    record::{Field, Record, Value as Clean},
};

/// Hides masked fields by leaving them out.
pub(super) struct Masking;
/// Nothing to restore.
pub(super) struct Restore;
/// A field that can not be read.
pub(super) struct Problem {
    pub field: String,
}

impl Masking {
    pub fn of(_mapping: &Mapping) -> Self {
        Self
    }
    pub fn hide(&self, record: &Record) -> (Record, Restore) {
        let mut hidden = record.clone();
        for (plan, field) in record.shape.fields.iter().zip(&mut hidden.fields) {
            if plan.mask.is_some() {
                *field = None;
            }
        }
        (hidden, Restore)
    }
}

impl Restore {
    pub fn restore(&self, _answer: &mut Map<String, Value>) {}
}

pub(super) trait Json: Sized {
    fn from_answer(shape: &Arc<Shape>, answer: &Map<String, Value>) -> (Self, Vec<Problem>);
}

impl Json for Record {
    fn from_answer(shape: &Arc<Shape>, answer: &Map<String, Value>) -> (Self, Vec<Problem>) {
        let mut record = Self::empty(shape.clone());
        for (plan, place) in shape.fields.iter().zip(&mut record.fields) {
            let value = match answer.get(&*plan.name) {
                Some(Value::String(text)) => Clean::Text(text.as_str().into()),
                Some(Value::Bool(yes)) => Clean::Bool(*yes),
                Some(Value::Number(number)) => match number.to_string().parse() {
                    Ok(decimal) => Clean::Decimal(decimal),
                    Err(_) => continue,
                },
                _ => continue,
            };
            *place = Some(Field { value, origin: Origin::Answer(plan.name.as_ref().into()), raw: None });
        }
        (record, Vec::new())
    }
}
