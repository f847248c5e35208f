//! Where a rule's names get their values: records, the answer and the facts of the flow.

#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

use super::{Bindings, Operand, Root, Slot};
use crate::{
    mapping::plan::From,
    record::{Record, Value},
};

/// What a flow knows besides its records.
#[derive(Debug, Clone, Default)]
pub struct FlowFacts {
    /// `outcome`: `pass`, `review` or `reject`.
    pub outcome: Box<str>,
    /// `findings`: one line each.
    pub findings: Vec<String>,
    /// `ticket`
    pub ticket: String,
    /// `flow.name`
    pub name: String,
    /// `flow.version`
    pub version: u32,
    /// `model.name`; `None` where none answered.
    pub model: Option<String>,
    /// `cost`
    pub cost: Option<Decimal>,
}

/// The records that a rule looks at.
#[derive(Debug, Clone)]
pub struct RecordBindings<'a> {
    /// The record that the rule belongs to; inside an `each`, the item.
    pub here: &'a Record,
    /// What is around the item.
    pub outer: Option<&'a RecordBindings<'a>>,
    /// The model's answer.
    pub answer: Option<&'a Record>,
    /// All records of the document.
    pub records: &'a [Record],
    /// The record that closes the document.
    pub trailer: Option<&'a Record>,
    /// What the flow knows.
    pub flow: Option<&'a FlowFacts>,
}

impl<'a> RecordBindings<'a> {
    /// One record, and nothing around it.
    pub fn of(here: &'a Record) -> Self {
        Self { here, outer: None, answer: None, records: &[], trailer: None, flow: None }
    }

    /// The record so many levels around the item.
    pub fn around(&self, levels: u8) -> Option<&'a Record> {
        let mut around = self.outer?;
        for _ in 1..levels {
            around = around.outer?;
        }
        Some(around.here)
    }
}

impl Bindings for RecordBindings<'_> {
    fn value(&self, slot: &Slot) -> Operand<'_> {
        let path = slot.path.as_slice();
        match slot.root {
            Root::Here => of_record(self.here, path),
            Root::Outer(levels) => below_of(self.around(levels), path),
            Root::Answer => below_of(self.answer, path),
            Root::Trailer => below_of(self.trailer, path),
            Root::Records => of_records(self.records, path),
            root => self.flow.map_or(Operand::Missing, |flow| fact(flow, root)),
        }
    }
}

fn below_of<'r>(record: Option<&'r Record>, path: &[u16]) -> Operand<'r> {
    record.map_or(Operand::Missing, |record| of_record(record, path))
}

fn fact(flow: &FlowFacts, root: Root) -> Operand<'_> {
    match root {
        Root::Outcome => words(&flow.outcome),
        Root::Findings => Operand::List(flow.findings.iter().map(|it| words(it)).collect()),
        Root::Ticket => words(&flow.ticket),
        Root::FlowName => words(&flow.name),
        Root::FlowVersion => Operand::Number(flow.version.into()),
        Root::ModelName => flow.model.as_deref().map_or(Operand::Missing, words),
        Root::Cost => flow.cost.map_or(Operand::Missing, Operand::Number),
        Root::Here | Root::Outer(_) | Root::Answer | Root::Records | Root::Trailer => Operand::Missing,
    }
}

fn words(text: &str) -> Operand<'_> {
    Operand::Text(text.into())
}

/// The value at a path of slots; from the first list on, the values of all items in one list.
fn of_record<'r>(record: &'r Record, path: &[u16]) -> Operand<'r> {
    let Some((first, rest)) = path.split_first() else { return Operand::Missing };
    let at = usize::from(*first);
    match record.at(at).map(|field| &field.value) {
        Some(Value::List(items)) => of_records(items, rest),
        Some(value) if rest.is_empty() => operand(value),
        Some(_) => Operand::Missing,
        // A list that is not there has no items: it can be counted and added up.
        None if is_list(record, at) => Operand::List(Vec::new()),
        None => Operand::Missing,
    }
}

fn of_records<'r>(records: &'r [Record], path: &[u16]) -> Operand<'r> {
    let mut found = Vec::with_capacity(records.len());
    collect(records, path, &mut found);
    Operand::List(found)
}

/// Flattens. As deep as the path, which is as deep as the mapping.
fn collect<'r>(records: &'r [Record], path: &[u16], found: &mut Vec<Operand<'r>>) {
    let Some((first, rest)) = path.split_first() else {
        // A record as such: something that is there.
        found.extend(records.iter().map(|_| Operand::Bool(true)));
        return;
    };
    let at = usize::from(*first);
    for record in records {
        match record.at(at).map(|field| &field.value) {
            Some(Value::List(items)) => collect(items, rest, found),
            Some(value) if rest.is_empty() => found.push(operand(value)),
            None if is_list(record, at) => {}
            _ => found.push(Operand::Missing),
        }
    }
}

fn is_list(record: &Record, at: usize) -> bool {
    record.shape.fields.get(at).is_some_and(|field| matches!(field.from, From::Each { .. }))
}

fn operand(value: &Value) -> Operand<'_> {
    match value {
        Value::Text(text) => Operand::Text((&**text).into()),
        Value::Int(number) => Operand::Number(Decimal::from(*number)),
        Value::Decimal(number) => Operand::Number(*number),
        Value::Bool(it) => Operand::Bool(*it),
        Value::Date(date) => Operand::Date(*date),
        Value::Time(time) => Operand::Time(*time),
        Value::DateTime { at, .. } => Operand::DateTime(*at),
        Value::Bytes(bytes) => Operand::Bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Value::List(items) => of_records(items, &[]),
    }
}
