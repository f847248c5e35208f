//! Hiding values from remote models, and putting them back into the answer.
//!
//! [`Masking::hide`] gives the record that may leave the process and a [`Restore`] that stays. Each masked field is
//! replaced as its mapping says; then every other text of the record is searched for the values of masked fields, for
//! a name that stands in a column also stands in the notes. What is found becomes a stand-in, too.
//!
//! What callers may rely on: no text of the hidden record holds a masked value of four or more characters, spelt as
//! in the record, as on the legacy side, or in other letter case. Values of closed vocabularies (`codes`, `one_of`) and
//! numbers of fields without a mask stay as they are. In `find` fields, single words of a masked name are hidden, too,
//! where they have four or more letters and a capital (`Pérez` of `Ana Pérez`). Time and memory are linear in the
//! record's text.

use std::{borrow::Cow, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    interpret::canonical_text,
    mapping::plan::{FieldPlan, From, Mapping, Mask, Shape},
    record::{Field, Record, Value},
};

mod keyed;
mod literals;
mod recognise;
mod stand_in;
#[cfg(test)]
mod tests;

use literals::Literals;
use recognise::Recognisers;
pub use stand_in::Restore;
use stand_in::StandIns;

/// How the fields of one mapping are hidden, compiled once.
#[derive(Debug, Clone)]
pub struct Masking {
    /// `None`: the mapping masks nothing.
    work: Option<Work>,
}

#[derive(Clone)]
struct Work {
    key: [u8; 32],
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work(..)")
    }
}

/// What stands for a masked value in findings, replies to others, and logs.
pub const HIDDEN: &str = "***";

/// The value of a field as findings and logs may show it: `***` where the field is masked in any way.
pub fn shown<'a>(plan: &FieldPlan, text: &'a str) -> Cow<'a, str> {
    Cow::Borrowed(if plan.mask.is_some() { HIDDEN } else { text })
}

/// True where the field of this path (`claimant`, `lines[2].name`), or a list around it, is masked: its values may
/// stand in no finding, lineage, log, trace or metric. Also true for a path that the shape does not have.
pub fn is_masked(shape: &Shape, path: &str) -> bool {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let name = first.split_once('[').map_or(first, |(name, _)| name);
    let Some(plan) = shape.slot(name).and_then(|slot| shape.fields.get(slot)) else { return true };
    plan.mask.is_some()
        || match (rest, &plan.from) {
            (None, _) => false,
            (Some(rest), From::Each { shape, .. }) => is_masked(shape, rest),
            (Some(_), _) => true,
        }
}

/// True where any field, of the record or inside its lists, is masked.
pub fn masks_any(shape: &Shape) -> bool {
    shape
        .fields
        .iter()
        .any(|plan| plan.mask.is_some() || matches!(&plan.from, From::Each { shape, .. } if masks_any(shape)))
}

/// The masked values of one record, to keep them out of what is said about its other fields.
pub(crate) struct Secrets(Literals);

impl Secrets {
    /// All that [`Masking::hide`] looks for in other texts; `unread` is masked, too, and in no field.
    pub(crate) fn of(record: &Record, unread: &[Box<str>]) -> Self {
        Self(Literals::of(record, unread))
    }

    /// True where the text holds one of them.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        !self.0.find(text).is_empty()
    }
}

impl Masking {
    /// Masking of this mapping, with a hash key of its own: `mask: hash` gives the same hash for the same value as
    /// long as this value lives.
    pub fn of(mapping: &Mapping) -> Self {
        Self::of_shape(&mapping.record, None)
    }

    /// As [`Masking::of`], with a key that makes the hashes of `mask: hash` the same over restarts and machines.
    pub fn keyed(mapping: &Mapping, key: &[u8]) -> Self {
        Self::of_shape(&mapping.record, Some(key))
    }

    fn of_shape(shape: &Shape, key: Option<&[u8]>) -> Self {
        if !masks_any(shape) {
            return Self { work: None };
        }
        let key = key.map_or_else(random_key, |key| Sha256::digest(key).into());
        Self { work: Some(Work { key }) }
    }

    /// The record that may leave the process, and what puts the hidden values back into the answer.
    pub fn hide(&self, record: &Record) -> (Record, Restore) {
        self.hide_all(record, &[])
    }

    /// As [`Masking::hide`]; `unread` are texts of masked fields that could not be read and so are in no field.
    pub(crate) fn hide_all(&self, record: &Record, unread: &[Box<str>]) -> (Record, Restore) {
        let Some(work) = &self.work else { return (record.clone(), Restore::default()) };
        let literals = Literals::of(record, unread);
        let mut pass = Pass { work, literals: &literals, stand_ins: StandIns::for_record(record) };
        let hidden = pass.record(record);
        (hidden, pass.stand_ins.finish())
    }
}

/// A key that nobody knows: two identifiers with 74 random bits each, from the system's generator.
fn random_key() -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(uuid::Uuid::now_v7().as_bytes());
    hash.update(uuid::Uuid::now_v7().as_bytes());
    hash.finalize().into()
}

/// One record on its way out.
struct Pass<'a> {
    work: &'a Work,
    literals: &'a Literals,
    stand_ins: StandIns,
}

impl Pass<'_> {
    fn record(&mut self, record: &Record) -> Record {
        let fields = record.shape.fields.iter().zip(&record.fields);
        let fields = fields.map(|(plan, field)| field.as_ref().and_then(|field| self.field(plan, field)));
        Record { fields: fields.collect(), shape: Arc::clone(&record.shape) }
    }

    fn field(&mut self, plan: &FieldPlan, field: &Field) -> Option<Field> {
        let masked = |text: String| {
            let value = Value::Text(text.into());
            Some(Field { value, origin: field.origin.clone(), raw: None })
        };
        match (plan.mask, &field.value) {
            (Some(Mask::Drop), _) => None,
            // A list has no text that could be replaced; what is asked to be hidden is not sent.
            (Some(_), Value::List(_)) => None,
            (Some(Mask::Token), value) => masked(self.stand_ins.of(&plan.name, &canonical_text(value))),
            (Some(Mask::Hash), value) => masked(keyed::hash(&self.work.key, &canonical_text(value))),
            (Some(Mask::Last4), value) => masked(last4(&canonical_text(value))),
            (Some(Mask::Find), Value::Text(text)) => {
                // Without recognisers nothing vouches for the text.
                let recognisers = Recognisers::shared()?;
                let mut spans = recognisers.find(text);
                spans.extend(self.literals.find(text));
                spans.extend(self.literals.find_words(text));
                masked(self.stand_ins.replace(text, spans))
            }
            (Some(Mask::Find), value) => masked(self.stand_ins.of(&plan.name, &canonical_text(value))),
            (None, Value::List(items)) => {
                let items = items.iter().map(|item| self.record(item)).collect();
                Some(Field { value: Value::List(items), origin: field.origin.clone(), raw: None })
            }
            (None, Value::Text(text)) if !is_closed(plan) => {
                let spans = self.literals.find(text);
                if spans.is_empty() {
                    return Some(Field { raw: None, ..field.clone() });
                }
                masked(self.stand_ins.replace(text, spans))
            }
            (None, _) => Some(Field { raw: None, ..field.clone() }),
        }
    }
}

/// A closed vocabulary: its words are the mapping's own and say nothing about a person.
fn is_closed(plan: &FieldPlan) -> bool {
    plan.codec.codes().is_some() || plan.rules.one_of.is_some()
}

/// `****6789`: the last four characters, but never more than half of them.
fn last4(text: &str) -> String {
    let count = text.chars().count();
    let kept = (count / 2).min(4);
    std::iter::repeat_n('*', 4).chain(text.chars().skip(count - kept)).collect()
}
