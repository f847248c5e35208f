//! Where a rule's names get their values: records, the answer and the facts of the flow.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::{Bindings, Operand, Root, Slot};
use crate::record::{Field, Record, Value};

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
        let fact = |text: &dyn Fn(&FlowFacts) -> Option<Operand<'static>>| {
            self.flow.and_then(text).unwrap_or(Operand::Missing)
        };
        match slot.root {
            Root::Here => follow(Some(self.here), &slot.path),
            Root::Outer(levels) => follow(self.around(levels), &slot.path),
            Root::Answer => follow(self.answer, &slot.path),
            Root::Trailer => follow(self.trailer, &slot.path),
            Root::Records if slot.path.is_empty() => {
                Operand::List(vec![Operand::Bool(true); self.records.len()])
            }
            Root::Records => {
                let mut all = Vec::with_capacity(self.records.len());
                for record in self.records {
                    gather(record, &slot.path, &mut all);
                }
                Operand::List(all)
            }
            Root::Outcome => fact(&|flow| Some(owned(&flow.outcome))),
            Root::Findings => {
                fact(&|flow| Some(Operand::List(flow.findings.iter().map(|it| owned(it)).collect())))
            }
            Root::Ticket => fact(&|flow| Some(owned(&flow.ticket))),
            Root::FlowName => fact(&|flow| Some(owned(&flow.name))),
            Root::FlowVersion => fact(&|flow| Some(Operand::Number(flow.version.into()))),
            Root::ModelName => fact(&|flow| flow.model.as_deref().map(owned)),
            Root::Cost => fact(&|flow| flow.cost.map(Operand::Number)),
        }
    }
}

fn owned(text: &str) -> Operand<'static> {
    Operand::Text(Cow::Owned(text.to_owned()))
}

/// The value at the end of the path. A list on the way makes the result a list.
fn follow<'a>(record: Option<&'a Record>, path: &[u16]) -> Operand<'a> {
    let (Some(record), Some((first, rest))) = (record, path.split_first()) else { return Operand::Missing };
    match (record.at(usize::from(*first)).map(|field| &field.value), rest) {
        (None, _) => Operand::Missing,
        (Some(Value::List(items)), []) => Operand::List(vec![Operand::Bool(true); items.len()]),
        (Some(Value::List(items)), rest) => {
            let mut all = Vec::with_capacity(items.len());
            for item in items {
                gather(item, rest, &mut all);
            }
            Operand::List(all)
        }
        (Some(value), []) => operand(value),
        (Some(_), _) => Operand::Missing,
    }
}

/// Appends what the path finds below an item, nested lists flattened. An absent value is a missing item.
fn gather<'a>(record: &'a Record, path: &[u16], all: &mut Vec<Operand<'a>>) {
    let Some((first, rest)) = path.split_first() else { return };
    match record.at(usize::from(*first)) {
        Some(Field { value: Value::List(items), .. }) if rest.is_empty() => {
            all.extend(items.iter().map(|_| Operand::Bool(true)));
        }
        Some(Field { value: Value::List(items), .. }) => {
            items.iter().for_each(|item| gather(item, rest, all))
        }
        Some(field) => all.push(operand(&field.value)),
        None => all.push(Operand::Missing),
    }
}

fn operand(value: &Value) -> Operand<'_> {
    match value {
        Value::Text(text) => Operand::Text(Cow::Borrowed(text)),
        Value::Int(number) => Operand::Number(Decimal::from(*number)),
        Value::Decimal(number) => Operand::Number(*number),
        Value::Bool(truth) => Operand::Bool(*truth),
        Value::Date(date) => Operand::Date(*date),
        Value::Time(time) => Operand::Time(*time),
        Value::DateTime { at, .. } => Operand::DateTime(*at),
        Value::Bytes(bytes) => Operand::Bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        Value::List(items) => Operand::List(vec![Operand::Bool(true); items.len()]),
    }
}
