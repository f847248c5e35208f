//! From verdicts and answers to the reply in the legacy format.

use std::borrow::Cow;

use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use super::written::{Hint, Written, WrittenItem};
use crate::{
    ask::{Asked, Usage},
    document::Document,
    fault::Fault,
    finding::{Check, Finding, Outcome},
    gate::{Admitted, Verdict, clock_of},
    interpret::{Complaint, Kind},
    job::{JobId, Remark, Reply, ReplyBody},
    mapping::{
        address::Path,
        plan::{Faults, Mapping, Return, Write, WriteFrom},
    },
    ports::Renderer,
    record::{Field, Record, Value},
    rule::{
        Clock, Operand, Root, Slot,
        bindings::{FlowFacts, RecordBindings},
    },
};

/// One record with all that is known about it.
struct Entry {
    record: Record,
    findings: Vec<Finding>,
    asked: Option<Asked>,
}

impl Entry {
    fn outcome(&self) -> Outcome {
        self.findings.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass)
    }
}

/// A reply in the making.
pub(super) struct Draft<'a> {
    mapping: &'a Mapping,
    clock: Clock,
    ticket: JobId,
    trailer: Option<Record>,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        mapping: &'a Mapping,
        document: &Document,
        ticket: JobId,
        trailer: Option<Record>,
    ) -> Self {
        Self { mapping, clock: clock_of(mapping, document), ticket, trailer, entries: Vec::new() }
    }

    pub(super) fn judged(&mut self, verdict: Verdict) {
        let (record, findings) = match verdict {
            Verdict::Admit(admitted, findings) => (admitted.record().clone(), findings),
            Verdict::Review(record, findings) | Verdict::Reject(record, findings) => (record, findings),
        };
        self.entries.push(Entry { record, findings, asked: None });
    }

    /// An answer came: `accept` decides whether it may be used without a person.
    pub(super) fn answered(&mut self, admitted: Admitted, mut findings: Vec<Finding>, asked: Asked) {
        let record = admitted.record().clone();
        if let Some(rule) = self.mapping.ask.as_ref().and_then(|ask| ask.accept.as_ref()) {
            let bindings = RecordBindings { answer: Some(&asked.answer), ..RecordBindings::of(&record) };
            let accepted = matches!(rule.run(&bindings, &self.clock), Ok(Operand::Bool(true)));
            if !accepted {
                findings.push(about_answer(Check::Accept, "an answer that `accept` takes"));
            }
        }
        self.entries.push(Entry { record, findings, asked: Some(asked) });
    }

    /// No answer came. Where the form can say so, a person decides; else the caller gets the fault.
    pub(super) fn unanswered(
        &mut self,
        admitted: Admitted,
        mut findings: Vec<Finding>,
        fault: Fault,
    ) -> Result<(), Fault> {
        let says = self.mapping.back.as_ref().is_some_and(|back| says_outcome(&back.write));
        if !says {
            return Err(fault);
        }
        tracing::warn!(job = %self.ticket, flow = %self.mapping.name, fault = %fault, "no answer; a person decides");
        findings.push(about_answer(Check::NoAnswer, "an answer inside the deadline"));
        self.entries.push(Entry { record: admitted.record().clone(), findings, asked: None });
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        renderer: Option<&dyn Renderer>,
        media_type: &str,
    ) -> Result<Reply, Fault> {
        let written = match &self.mapping.back {
            Some(back) => self.write(back),
            None => Vec::new(),
        };
        let outcome = self.entries.iter().map(Entry::outcome).max().unwrap_or(Outcome::Pass);
        let body = match (&self.mapping.back, renderer) {
            (Some(back), _) if self.is_refused(back, outcome) => ReplyBody::Refused,
            (Some(_), Some(renderer)) => {
                ReplyBody::Written { media_type: media_type.into(), bytes: renderer.render(&written)? }
            }
            _ => ReplyBody::Written { media_type: "application/json".into(), bytes: self.canonical(outcome) },
        };
        let answered_by = self.entries.iter().find_map(|it| Some(it.asked.as_ref()?.answered_by.clone()));
        let mut usage = Usage::default();
        self.entries.iter().filter_map(|it| it.asked.as_ref()).for_each(|it| usage.add(it.usage));
        let findings = self.entries.iter().flat_map(|it| it.findings.iter().map(Remark::from)).collect();
        Ok(Reply { outcome, body, findings, answered_by: answered_by.unwrap_or_default(), usage })
    }

    fn is_refused(&self, back: &Return, outcome: Outcome) -> bool {
        outcome == Outcome::Reject
            && match back.faults {
                Faults::Reject => true,
                Faults::Never => false,
                Faults::Incomplete => self
                    .entries
                    .iter()
                    .flat_map(|it| &it.findings)
                    .any(|it| it.outcome == Outcome::Reject && it.check.is_about_form()),
            }
    }

    /// Writes every record. What does not fit its place becomes a finding; then the record is written once more, so
    /// that the outcome that the reply states is the one that it has.
    fn write(&mut self, back: &Return) -> Vec<Written> {
        let mut all = Vec::with_capacity(self.entries.len());
        for index in 0..self.entries.len() {
            let (mut written, unfit) = self.write_one(back, index);
            if !unfit.is_empty() {
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.findings.extend(unfit);
                }
                written = self.write_one(back, index).0;
            }
            all.push(written);
        }
        all
    }

    fn write_one(&self, back: &Return, index: usize) -> (Written, Vec<Finding>) {
        let Some(entry) = self.entries.get(index) else { return (Written::default(), Vec::new()) };
        let facts = self.facts(entry);
        let bindings = RecordBindings {
            answer: entry.asked.as_ref().map(|it| &it.answer),
            trailer: self.trailer.as_ref(),
            flow: Some(&facts),
            ..RecordBindings::of(&entry.record)
        };
        let mut writer = Writer { clock: &self.clock, facts: &facts, unfit: Vec::new() };
        let written = writer.block(&back.write, &bindings);
        (written, writer.unfit)
    }

    fn facts(&self, entry: &Entry) -> FlowFacts {
        FlowFacts {
            outcome: entry.outcome().word().into(),
            findings: entry.findings.iter().map(line).collect(),
            ticket: self.ticket.to_string(),
            name: self.mapping.name.to_string(),
            version: self.mapping.version,
            model: entry.asked.as_ref().map(|it| it.answered_by.to_string()),
            cost: None,
        }
    }

    /// The reply of a mapping without `return`: canonical JSON.
    fn canonical(&self, outcome: Outcome) -> Bytes {
        let records: Vec<Json> = self
            .entries
            .iter()
            .map(|entry| {
                let remarks: Vec<Remark> = entry.findings.iter().map(Remark::from).collect();
                let mut object = Map::new();
                object.insert("outcome".into(), json!(entry.outcome().word()));
                object.insert("findings".into(), json!(remarks));
                if let Some(asked) = &entry.asked {
                    object.insert("answer".into(), asked.answer.to_json());
                    object.insert("answered_by".into(), json!(asked.answered_by));
                }
                Json::Object(object)
            })
            .collect();
        let reply =
            json!({ "outcome": outcome.word(), "ticket": self.ticket.to_string(), "records": records });
        Bytes::from(reply.to_string())
    }
}

fn about_answer(check: Check, expected: &'static str) -> Finding {
    Finding {
        check,
        outcome: Outcome::Review,
        field: "answer".into(),
        origin: None,
        expected: Cow::Borrowed(expected),
        found: None,
        say: None,
    }
}

/// A finding in one line, as `findings` writes it.
fn line(finding: &Finding) -> String {
    let mut text = format!("{} {}", finding.check.code(), finding.field);
    if let Some(origin) = &finding.origin {
        text.push_str(" at ");
        text.push_str(&origin.xpath());
    }
    match &finding.say {
        Some(say) => {
            text.push_str(": ");
            text.push_str(say);
        }
        None => {
            text.push_str(": expected ");
            text.push_str(&finding.expected);
        }
    }
    text
}

/// True where the form states the outcome or the findings.
pub fn says_outcome(write: &[Write]) -> bool {
    write.iter().any(|it| match it {
        Write::Value { from: WriteFrom::Slot(slot), .. } => {
            matches!(slot.root, Root::Outcome | Root::Findings)
        }
        Write::Value { from: WriteFrom::Computed(rule), .. } => {
            rule.slots().iter().any(|slot| matches!(slot.root, Root::Outcome | Root::Findings))
        }
        Write::Value { from: WriteFrom::Constant(_), .. } => false,
        Write::Each { write, .. } => says_outcome(write),
    })
}

/// Turns clean values into legacy text.
struct Writer<'a> {
    clock: &'a Clock,
    facts: &'a FlowFacts,
    unfit: Vec<Finding>,
}

impl Writer<'_> {
    fn block(&mut self, plan: &[Write], bindings: &RecordBindings<'_>) -> Written {
        let mut items = Vec::with_capacity(plan.len());
        for (index, write) in plan.iter().enumerate() {
            match write {
                Write::Value { .. } => {
                    if let Some((text, hint)) = self.value(write, bindings) {
                        items.push(WrittenItem::Value { write: index, text: text.into(), hint });
                    }
                }
                Write::Each { list, write: inner, .. } => {
                    let records = list_of(list, bindings);
                    let written = records
                        .iter()
                        .map(|record| {
                            let inside =
                                RecordBindings { here: record, outer: Some(bindings), ..bindings.clone() };
                            self.block(inner, &inside)
                        })
                        .collect::<Vec<_>>();
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
            WriteFrom::Slot(slot) => match self.resolve(slot, bindings) {
                Some(Resolved::Field(Field { raw: Some(raw), .. })) if *keeps_raw => {
                    Some(Ok(raw.to_string()))
                }
                Some(Resolved::Field(field)) => Some(codec.write(&field.value)),
                Some(Resolved::Fact(value)) => Some(codec.write(&value)),
                None => None,
            },
            WriteFrom::Computed(rule) => match rule.run(bindings, self.clock) {
                Ok(operand) => from_operand(operand, codec.kind()).map(|value| codec.write(&value)),
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

    fn resolve<'r>(&self, slot: &Slot, bindings: &RecordBindings<'r>) -> Option<Resolved<'r>> {
        let text = |text: &str| Some(Resolved::Fact(Value::Text(text.into())));
        match slot.root {
            Root::Here => field_at(bindings.here, slot).map(Resolved::Field),
            Root::Outer(levels) => field_at(bindings.around(levels)?, slot).map(Resolved::Field),
            Root::Answer => field_at(bindings.answer?, slot).map(Resolved::Field),
            Root::Trailer => field_at(bindings.trailer?, slot).map(Resolved::Field),
            Root::Records => None,
            Root::Outcome => text(&self.facts.outcome),
            Root::Findings if self.facts.findings.is_empty() => None,
            Root::Findings => text(&self.facts.findings.join("; ")),
            Root::Ticket => text(&self.facts.ticket),
            Root::FlowName => text(&self.facts.name),
            Root::FlowVersion => Some(Resolved::Fact(Value::Int(self.facts.version.into()))),
            Root::ModelName => text(self.facts.model.as_deref()?),
            Root::Cost => Some(Resolved::Fact(Value::Decimal(self.facts.cost?))),
        }
    }
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

fn field_at<'a>(record: &'a Record, slot: &Slot) -> Option<&'a Field> {
    match slot.path.as_slice() {
        [one] => record.at(usize::from(*one)),
        _ => None,
    }
}

fn list_of<'a>(slot: &Slot, bindings: &RecordBindings<'a>) -> &'a [Record] {
    let record = match slot.root {
        Root::Here => Some(bindings.here),
        Root::Answer => bindings.answer,
        _ => None,
    };
    match record.and_then(|record| field_at(record, slot)) {
        Some(Field { value: Value::List(items), .. }) => items.as_slice(),
        _ => &[],
    }
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
