//! From verdicts and answers to the reply in the legacy format.

use std::{borrow::Cow, collections::HashSet};

use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use super::{writer::Writer, written::Written};
use crate::{
    ask::{Asked, Usage},
    document::Document,
    fault::Fault,
    finding::{Check, Finding, Outcome},
    gate::{Found, MOST_READS, Tally, Verdict, clock_of, nothing_read, reads_of_all},
    interpret::canonical_text,
    job::{JobId, Remark, Reply, ReplyBody},
    mapping::plan::{Faults, From, Mapping, Return, Shape, Write, WriteFrom},
    ports::Renderer,
    record::{Record, Value},
    rule::{
        Clock, Operand, Root,
        bindings::{FlowFacts, RecordBindings},
    },
};

/// Stands among a record's findings where its worst is not listed.
const UNLISTED: &str = "more findings, which are not listed";

/// A verdict, and what was answered where it let the record pass to a model.
pub(super) struct Decided {
    pub verdict: Verdict,
    pub asked: Option<Result<Asked, Fault>>,
}

/// What is known about one record. It stands beside the record, so that rules see all records in one row.
struct Entry {
    found: Found,
    asked: Option<Asked>,
}

/// A reply in the making.
pub(super) struct Draft<'a> {
    mapping: &'a Mapping,
    clock: Clock,
    ticket: JobId,
    trailer: Option<Record>,
    tally: Tally,
    records: Vec<Record>,
    entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        mapping: &'a Mapping,
        document: &Document,
        ticket: JobId,
        trailer: Option<Record>,
        tally: Tally,
    ) -> Self {
        let clock = clock_of(mapping, document);
        Self { mapping, clock, ticket, trailer, tally, records: Vec::new(), entries: Vec::new() }
    }

    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// What is to be said of a document of which no record was kept.
    pub(super) fn remark(&mut self, remarks: Vec<Finding>) {
        if !remarks.is_empty() {
            self.records.push(nothing_read(self.mapping));
            let worst = remarks.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass);
            self.entries.push(Entry { found: Found::of(remarks, worst), asked: None });
        }
    }

    /// Adds the next record. Without an answer a person decides, where the form can say so; else the caller gets the
    /// fault.
    pub(super) fn add(&mut self, decided: Decided) -> Result<(), Fault> {
        let worst = decided.verdict.outcome();
        let (record, listed) = match decided.verdict {
            Verdict::Admit(admitted, findings) => (admitted.into_record(), findings),
            Verdict::Review(record, findings) | Verdict::Reject(record, findings) => (record, findings),
        };
        let mut found = Found::of(listed, worst);
        let asked = match decided.asked.transpose() {
            Ok(asked) => asked,
            Err(fault) => {
                let says = self.mapping.back.as_ref().is_some_and(|back| says_outcome(&back.write));
                // Without a `return` the reply is our own JSON, which says everything.
                if !says && self.mapping.back.is_some() {
                    return Err(fault);
                }
                tracing::warn!(job = %self.ticket, flow = %self.mapping.name, %fault, "no answer; a person decides");
                self.tally.add(&mut found, about_answer(Check::NoAnswer, "an answer inside the deadline"));
                None
            }
        };
        self.records.push(record);
        self.entries.push(Entry { found, asked });
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        renderer: Option<&dyn Renderer>,
        media_type: &str,
    ) -> Result<Reply, Fault> {
        self.doubt();
        self.accept();
        let written = match &self.mapping.back {
            Some(back) => self.write(back),
            None => Vec::new(),
        };
        let rest = self.tally.rest();
        let listed = self.entries.iter().map(|it| it.found.worst);
        let outcome = listed.chain(rest.iter().map(|it| it.outcome)).max().unwrap_or(Outcome::Pass);
        let body = match (&self.mapping.back, renderer) {
            (Some(back), _) if self.is_refused(back, outcome, rest.as_ref()) => ReplyBody::Refused,
            (Some(_), Some(renderer)) => {
                ReplyBody::Written { media_type: media_type.into(), bytes: renderer.render(&written)? }
            }
            _ => ReplyBody::Written { media_type: "application/json".into(), bytes: self.canonical(outcome) },
        };
        let answered_by = self.entries.iter().find_map(|it| Some(it.asked.as_ref()?.answered_by.clone()));
        let mut usage = Usage::default();
        self.entries.iter().filter_map(|it| it.asked.as_ref()).for_each(|it| usage.add(it.usage));
        let findings = self.remarks(rest);
        let answered_by = answered_by.unwrap_or_default();
        Ok(Reply { outcome, body, findings, answered_by, usage, flow_version: self.mapping.version })
    }

    /// Everything that is listed, in the order of the records; what several records share is told once.
    fn remarks(&self, rest: Option<Finding>) -> Vec<Remark> {
        let all = self.entries.iter().flat_map(|it| &it.found.listed).chain(&rest).map(Remark::from);
        if self.entries.len() < 2 {
            return all.collect();
        }
        let mut told = HashSet::new();
        all.filter(|it| told.insert((it.code.clone(), it.field.clone(), it.xpath.clone(), it.found.clone())))
            .collect()
    }

    /// `confidence` decides how sure an answer must be.
    fn doubt(&mut self) {
        let Some(ask) = &self.mapping.ask else { return };
        for entry in &mut self.entries {
            let Some(asked) = &entry.asked else { continue };
            let mut doubts = Vec::new();
            doubtful(&ask.answer, &asked.answer, "answer.", &mut doubts);
            doubts.into_iter().for_each(|finding| self.tally.add(&mut entry.found, finding));
        }
    }

    /// `accept` decides which answers may be used without a person.
    fn accept(&mut self) {
        let Some(rule) = self.mapping.ask.as_ref().and_then(|ask| ask.accept.as_ref()) else { return };
        let all = reads_of_all(rule, &self.records);
        let mut reads = 0_usize;
        for (record, entry) in self.records.iter().zip(&mut self.entries) {
            let Some(asked) = &entry.asked else { continue };
            reads = reads.saturating_add(all);
            let bindings = RecordBindings {
                answer: Some(&asked.answer),
                trailer: self.trailer.as_ref(),
                records: &self.records,
                ..RecordBindings::of(record)
            };
            // What would cost the square of a document is left to a person.
            let is_taken =
                reads <= MOST_READS && matches!(rule.run(&bindings, &self.clock), Ok(Operand::Bool(true)));
            if !is_taken {
                let finding = about_answer(Check::Accept, "an answer that `accept` takes");
                self.tally.add(&mut entry.found, finding);
            }
        }
    }

    fn is_refused(&self, back: &Return, outcome: Outcome, rest: Option<&Finding>) -> bool {
        outcome == Outcome::Reject
            && match back.faults {
                Faults::Reject => true,
                Faults::Never => false,
                Faults::Incomplete => self
                    .entries
                    .iter()
                    .flat_map(|it| &it.found.listed)
                    .chain(rest)
                    .any(|it| it.outcome == Outcome::Reject && it.check.is_about_form()),
            }
    }

    /// Writes every record. What does not fit its place becomes a finding; then the record is written once more, so
    /// that the outcome that the reply states is the one that it has.
    fn write(&mut self, back: &Return) -> Vec<Written> {
        let mut writer = Writer::new(&self.clock);
        let mut all = Vec::with_capacity(self.records.len());
        for (record, entry) in self.records.iter().zip(&mut self.entries) {
            let around = Around { mapping: self.mapping, ticket: self.ticket, records: &self.records };
            let trailer = self.trailer.as_ref();
            let mut written = around.write(back, record, trailer, entry, &mut writer);
            let unfit = writer.take_unfit();
            if !unfit.is_empty() {
                unfit.into_iter().for_each(|finding| self.tally.add(&mut entry.found, finding));
                written = around.write(back, record, trailer, entry, &mut writer);
                drop(writer.take_unfit());
            }
            all.push(written);
        }
        all
    }

    /// The reply of a mapping without `return`: canonical JSON.
    fn canonical(&self, outcome: Outcome) -> Bytes {
        let one = |entry: &Entry| {
            let remarks: Vec<Remark> = entry.found.listed.iter().map(Remark::from).collect();
            let mut object = Map::new();
            object.insert("outcome".into(), json!(entry.found.worst.word()));
            object.insert("findings".into(), json!(remarks));
            if let Some(asked) = &entry.asked {
                object.insert("answer".into(), asked.answer.to_json());
                object.insert("answered_by".into(), json!(asked.answered_by));
            }
            Json::Object(object)
        };
        let records: Vec<Json> = self.entries.iter().map(one).collect();
        let reply =
            json!({ "outcome": outcome.word(), "ticket": self.ticket.to_string(), "records": records });
        Bytes::from(reply.to_string())
    }
}

/// What `pending` writes: it knows the flow and the ticket, and nothing of the document.
pub(super) fn pending(mapping: &Mapping, document: &Document, plan: &Return, ticket: JobId) -> Written {
    let clock = clock_of(mapping, document);
    let facts = FlowFacts {
        ticket: ticket.to_string(),
        name: mapping.name.to_string(),
        version: mapping.version,
        ..FlowFacts::default()
    };
    let nothing = nothing_read(mapping);
    let bindings = RecordBindings { flow: Some(&facts), ..RecordBindings::of(&nothing) };
    Writer::new(&clock).block(&plan.write, &bindings)
}

/// What every record of the document is written with.
struct Around<'a> {
    mapping: &'a Mapping,
    ticket: JobId,
    records: &'a [Record],
}

impl Around<'_> {
    fn write(
        &self,
        back: &Return,
        record: &Record,
        trailer: Option<&Record>,
        entry: &Entry,
        writer: &mut Writer<'_>,
    ) -> Written {
        let facts = self.facts(entry);
        let bindings = RecordBindings {
            answer: entry.asked.as_ref().map(|it| &it.answer),
            records: self.records,
            trailer,
            flow: Some(&facts),
            ..RecordBindings::of(record)
        };
        writer.block(&back.write, &bindings)
    }

    fn facts(&self, entry: &Entry) -> FlowFacts {
        let more = entry.found.hides_worst().then(|| UNLISTED.to_owned());
        FlowFacts {
            outcome: entry.found.worst.word().into(),
            findings: entry.found.listed.iter().map(line).chain(more).collect(),
            ticket: self.ticket.to_string(),
            name: self.mapping.name.to_string(),
            version: self.mapping.version,
            model: entry.asked.as_ref().map(|it| it.answered_by.to_string()),
            cost: None,
        }
    }
}

/// The fields of an answer, or of an item in it, that are below their `confidence` or do not say theirs.
fn doubtful(shape: &Shape, answer: &Record, prefix: &str, doubts: &mut Vec<Finding>) {
    for (slot, plan) in shape.fields.iter().enumerate() {
        let value = answer.at(slot).map(|field| &field.value);
        let name = format!("{prefix}{}", plan.name);
        if let (From::Each { shape, .. }, Some(Value::List(items))) = (&plan.from, value) {
            for (at, item) in items.iter().enumerate() {
                doubtful(shape, item, &format!("{name}[{}].", at + 1), doubts);
            }
        }
        let Some(least) = plan.rules.confidence else { continue };
        let is_sure = match value {
            Some(Value::Int(number)) => Decimal::from(*number) >= least,
            Some(Value::Decimal(number)) => *number >= least,
            _ => false,
        };
        if !is_sure {
            doubts.push(Finding {
                check: Check::Confidence,
                outcome: plan.rules.otherwise.unwrap_or(Outcome::Review),
                field: name.into(),
                origin: None,
                expected: Cow::Owned(format!("at least {least}")),
                found: value.map(|it| canonical_text(it).into()),
                say: None,
            });
        }
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
    if let Some(xpath) = finding.origin.as_ref().and_then(crate::origin::Origin::xpath) {
        text.push_str(" at ");
        text.push_str(&xpath);
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
