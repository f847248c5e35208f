//! Clean values as legacy text: which value stands at which place, how it is spelt, and whether it fits.

use std::{borrow::Cow, collections::HashMap};

use rust_decimal::Decimal;

use super::written::{Hint, Written, WrittenItem};
use crate::{
    finding::{Check, Finding, Outcome},
    gate::{MOST_READS, reads_along, reads_around},
    interpret::{Complaint, Kind, canonical_text},
    mapping::{
        address::Path,
        plan::{Write, WriteFrom},
    },
    origin::Origin,
    record::{Field, Record, Value},
    rule::{Clock, Operand, Root, Rule, Slot, bindings::RecordBindings},
};

/// Most items of lists in one reply: a list of all records that stands in each of them must not become the square of a
/// document in memory. A document has at most half as many elements.
const MOST_ITEMS: usize = 1_000_000;

/// Turns clean values into legacy text.
pub(super) struct Writer<'a> {
    clock: &'a Clock,
    unfit: Vec<Finding>,
    /// Values of other records that rules have read so far.
    reads: usize,
    /// How many values of all records lie along a path; counted once for each.
    along: HashMap<Vec<u16>, usize>,
    /// Items of lists that were written so far.
    items: usize,
}

impl<'a> Writer<'a> {
    /// A writer for the records of one document.
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self { clock, unfit: Vec::new(), reads: 0, along: HashMap::new(), items: 0 }
    }

    /// What did not fit its place since this was asked last.
    pub(super) fn take_unfit(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.unfit)
    }

    /// Writes one record, or one item of a list.
    pub(super) fn block(&mut self, plan: &[Write], bindings: &RecordBindings<'_>) -> Written {
        let mut items = Vec::with_capacity(plan.len());
        for (index, write) in plan.iter().enumerate() {
            match write {
                Write::Value { .. } => {
                    if let Some((text, hint)) = self.value(write, bindings) {
                        items.push(WrittenItem::Value { write: index, text: text.into(), hint });
                    }
                }
                Write::Each { place, list, write: inner } => {
                    let records = if self.items > MOST_ITEMS { Vec::new() } else { list_of(list, bindings) };
                    self.items = self.items.saturating_add(records.len());
                    if self.items > MOST_ITEMS {
                        self.refuse(Check::Overflow, place, format!("at most {MOST_ITEMS} items in a reply"));
                        continue;
                    }
                    let mut written = Vec::new();
                    for record in records {
                        let inside =
                            RecordBindings { here: record, outer: Some(bindings), ..bindings.clone() };
                        written.push(self.block(inner, &inside));
                    }
                    if !written.is_empty() {
                        items.push(WrittenItem::Each { write: index, items: written });
                    }
                }
            }
        }
        Written { items }
    }

    fn value(&mut self, write: &Write, bindings: &RecordBindings<'_>) -> Option<(String, Hint)> {
        let Write::Value { place, from, codec, longest, cut, default, keeps_raw } = write else {
            return None;
        };
        let spelt = match from {
            WriteFrom::Constant(text) => return Some((text.clone(), Hint::Text)),
            WriteFrom::Slot(slot) => match resolve(slot, bindings) {
                Some(Resolved::Field(field)) if *keeps_raw && is_read(field) => Some(Ok(as_read(field))),
                Some(Resolved::Field(field)) => Some(codec.write(&field.value)),
                Some(Resolved::Fact(value)) => Some(codec.write(&value)),
                None => None,
            },
            WriteFrom::Computed(rule) => match self.compute(rule, bindings, codec.kind()) {
                Ok(value) => value.map(|value| codec.write(&value)),
                Err(failure) => {
                    self.refuse(Check::RuleFailed, place, format!("a value: {failure}"));
                    None
                }
            },
        };
        let text = match spelt {
            None => return default.clone().map(|text| (text, Hint::Text)),
            Some(Ok(text)) => text,
            Some(Err(Complaint { expected, .. })) => {
                self.refuse(Check::Overflow, place, expected.into_owned());
                return default.clone().map(|text| (text, Hint::Text));
            }
        };
        let hint = if codec.codes().is_some() { Hint::Text } else { hint_of(codec.kind(), &text) };
        self.fit(text, *longest, *cut, place).map(|text| (text, hint))
    }

    /// Cuts or refuses what is too long for its place.
    fn fit(&mut self, text: String, longest: Option<u64>, cut: bool, place: &Path) -> Option<String> {
        let Some(longest) = longest else { return Some(text) };
        let most = usize::try_from(longest).unwrap_or(usize::MAX);
        let Some((end, _)) = text.char_indices().nth(most) else { return Some(text) };
        if cut {
            return text.get(..end).map(str::to_owned);
        }
        self.refuse(Check::Overflow, place, format!("at most {longest} characters"));
        None
    }

    fn refuse(&mut self, check: Check, place: &Path, expected: String) {
        self.unfit.push(Finding {
            check,
            outcome: Outcome::Reject,
            field: place.to_string().into(),
            origin: None,
            expected: Cow::Owned(expected),
            found: None,
            say: None,
        });
    }

    fn compute(
        &mut self,
        rule: &Rule,
        bindings: &RecordBindings<'_>,
        kind: Kind,
    ) -> Result<Option<Value>, String> {
        if self.reads <= MOST_READS {
            self.reads = self.reads.saturating_add(self.reads_of(rule, bindings));
        }
        if self.reads > MOST_READS {
            return Err("there are too many values to look at for each record".into());
        }
        match rule.run(bindings, self.clock) {
            Ok(operand) => Ok(from_operand(operand, kind)),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// How many values outside the record or item a rule reads.
    fn reads_of(&mut self, rule: &Rule, bindings: &RecordBindings<'_>) -> usize {
        let size = |slot: &Slot| match slot.root {
            Root::Records => match self.along.get(slot.path.as_slice()) {
                Some(known) => *known,
                None => {
                    let count = reads_along(&slot.path, bindings.records);
                    self.along.insert(slot.path.to_vec(), count);
                    count
                }
            },
            Root::Outer(levels) => reads_around(slot, bindings.around(levels)),
            _ => 0,
        };
        rule.slots().into_iter().map(size).fold(0, usize::saturating_add)
    }
}

fn resolve<'r>(slot: &Slot, bindings: &RecordBindings<'r>) -> Option<Resolved<'r>> {
    let text = |text: &str| Some(Resolved::Fact(Value::Text(text.into())));
    if let Some(record) = start(slot.root, bindings) {
        return field_at(record, slot).map(Resolved::Field);
    }
    let facts = bindings.flow?;
    match slot.root {
        Root::Here | Root::Outer(_) | Root::Answer | Root::Trailer | Root::Records => None,
        Root::Outcome if facts.outcome.is_empty() => None,
        Root::Outcome => text(&facts.outcome),
        Root::Findings if facts.findings.is_empty() => None,
        Root::Findings => text(&facts.findings.join("; ")),
        Root::Ticket => text(&facts.ticket),
        Root::FlowName => text(&facts.name),
        Root::FlowVersion => Some(Resolved::Fact(Value::Int(facts.version.into()))),
        Root::ModelName => text(facts.model.as_deref()?),
        Root::Cost => Some(Resolved::Fact(Value::Decimal(facts.cost?))),
    }
}

/// The record that a slot starts in; `None` for what is in no record.
fn start<'r>(root: Root, bindings: &RecordBindings<'r>) -> Option<&'r Record> {
    match root {
        Root::Here => Some(bindings.here),
        Root::Outer(levels) => bindings.around(levels),
        Root::Answer => bindings.answer,
        Root::Trailer => bindings.trailer,
        _ => None,
    }
}

/// True where the document itself has the value, or a person gave it, so that there is an own spelling of it.
fn is_read(field: &Field) -> bool {
    matches!(
        field.origin,
        Origin::Node { .. } | Origin::Column { .. } | Origin::Attribute(_) | Origin::Corrected { .. }
    )
}

/// The text as it was read. Where none was kept it is the canonical one.
fn as_read(field: &Field) -> String {
    field.raw.as_deref().map_or_else(|| canonical_text(&field.value), str::to_owned)
}

/// Whole numbers and truth values in their plain spelling may stand without quotes where a format has such.
fn hint_of(kind: Kind, text: &str) -> Hint {
    match kind {
        Kind::Int if text.parse::<i64>().is_ok_and(|number| number.to_string() == text) => Hint::Number,
        Kind::Bool if matches!(text, "true" | "false") => Hint::Boolean,
        _ => Hint::Text,
    }
}

enum Resolved<'a> {
    Field(&'a Field),
    Fact(Value),
}

/// A single value: a path through a list has none.
fn field_at<'a>(record: &'a Record, slot: &Slot) -> Option<&'a Field> {
    match slot.path.as_slice() {
        [one] => record.at(usize::from(*one)),
        _ => None,
    }
}

/// The items of a list; of a list inside a list (`orders.lines`), those of all its lists in a row.
fn list_of<'a>(slot: &Slot, bindings: &RecordBindings<'a>) -> Vec<&'a Record> {
    let mut level: Vec<&'a Record> = match (slot.root, start(slot.root, bindings)) {
        (Root::Records, _) => bindings.records.iter().collect(),
        (_, Some(record)) => vec![record],
        (_, None) => Vec::new(),
    };
    for step in &slot.path {
        let lists = level.into_iter().filter_map(|record| match &record.at(usize::from(*step))?.value {
            Value::List(items) => Some(items),
            _ => None,
        });
        level = lists.flatten().collect();
    }
    level
}

fn from_operand(operand: Operand<'_>, kind: Kind) -> Option<Value> {
    Some(match operand {
        Operand::Number(number) => match (kind, i64::try_from(number)) {
            (Kind::Int, Ok(whole)) if Decimal::from(whole) == number => Value::Int(whole),
            (Kind::Text, _) => Value::Text(number.to_string().into()),
            _ => Value::Decimal(number),
        },
        Operand::Text(text) => Value::Text(text.into()),
        Operand::Bool(truth) => Value::Bool(truth),
        Operand::Date(date) => Value::Date(date),
        Operand::Time(time) => Value::Time(time),
        Operand::DateTime(at) => Value::DateTime { at, offset: jiff::tz::Offset::UTC },
        Operand::Missing | Operand::Duration(_) | Operand::Bytes(_) | Operand::List(_) => return None,
    })
}
