//! From verdicts and answers to the reply in the legacy format.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::{
    answers::about_answer,
    round::{Answering, Decided},
    writer::Writer,
    written::Written,
};
use crate::{
    ask::{Asked, Usage},
    document::Document,
    fault::Fault,
    finding::{Check, Finding, Outcome},
    gate::{Admitted, End, Found, Ruled, Tally, Verdict, clock_of, nothing_read},
    job::{Checkpoint, JobId, Remark, Reply, ReplyBody},
    mapping::plan::{Faults, Mapping, Return, Write, WriteFrom},
    ports::Renderer,
    record::Record,
    rule::{
        Clock, Root,
        bindings::{FlowFacts, RecordBindings},
    },
};

/// Stands among a record's findings where its worst is not listed.
const UNLISTED: &str = "more findings, which are not listed";

/// What is known about one record. It stands beside the record, so that rules see all records in one row.
pub(super) struct Entry {
    pub found: Found,
    pub asked: Option<Asked>,
    /// What people decided about it.
    pub ruled: Ruled,
    /// After how many of these decisions the answer came.
    pub after: usize,
    /// For the fallback list, where nobody decided in time.
    pub proof: Option<Admitted>,
    /// A person, or the time, refused it.
    pub is_persons: bool,
    /// It stays as it is: nobody decided in time.
    pub is_settled: bool,
}

impl Entry {
    fn of(found: Found) -> Self {
        Self {
            found,
            asked: None,
            ruled: Ruled::default(),
            after: 0,
            proof: None,
            is_persons: false,
            is_settled: false,
        }
    }

    /// True where a person has to decide.
    fn waits(&self) -> bool {
        self.found.worst == Outcome::Review && !self.is_settled
    }
}

/// A reply, and whether it is the end.
pub(super) struct Finished {
    pub reply: Reply,
    /// A person decides first; the reply is what is said in the meantime.
    pub waits: bool,
    /// Answers that are in no checkpoint.
    pub unsaved: Vec<Checkpoint>,
}

/// A reply in the making.
pub(super) struct Draft<'a> {
    pub mapping: &'a Mapping,
    pub clock: Clock,
    ticket: JobId,
    pub trailer: Option<Record>,
    pub tally: Tally,
    pub records: Vec<Record>,
    pub entries: Vec<Entry>,
    /// Of all answers, those of earlier attempts included.
    pub usage: Usage,
    unsaved: Vec<Checkpoint>,
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
        let (records, entries, unsaved) = (Vec::new(), Vec::new(), Vec::new());
        let usage = Usage::default();
        Self { mapping, clock, ticket, trailer, tally, records, entries, usage, unsaved }
    }

    /// What is to be said of a document of which no record was kept.
    pub(super) fn remark(&mut self, remarks: Vec<Finding>) {
        if !remarks.is_empty() {
            self.records.push(nothing_read(self.mapping));
            let worst = remarks.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass);
            self.entries.push(Entry::of(Found::of(remarks, worst)));
        }
    }

    /// Adds the next record. Without an answer a person decides.
    pub(super) fn add(&mut self, decided: Decided) {
        let worst = decided.verdict.outcome();
        self.unsaved.extend(decided.unsaved());
        let is_persons = worst == Outcome::Reject && matches!(decided.ruled.end, Some(End::Rejected { .. }));
        let (record, listed) = match decided.verdict {
            Verdict::Admit(admitted, findings) => (admitted.into_record(), findings),
            Verdict::Review(record, findings) | Verdict::Reject(record, findings) => (record, findings),
        };
        let mut found = Found::of(listed, worst);
        let asked = match decided.reply {
            Answering::Restored(answer) => Some(answer),
            Answering::Fresh { answer, .. } => {
                self.usage.add(answer.usage);
                Some(answer)
            }
            Answering::Unasked => None,
            missing => {
                if let Answering::Failed(fault) = missing {
                    tracing::warn!(job = %self.ticket, flow = %self.mapping.name, %fault, "no answer; a person decides");
                }
                self.tally.add(&mut found, about_answer(Check::NoAnswer, "an answer inside the deadline"));
                None
            }
        };
        let (ruled, after, proof) = (decided.ruled, decided.after, decided.proof);
        self.records.push(record);
        self.entries.push(Entry { asked, ruled, after, proof, is_persons, ..Entry::of(found) });
    }

    pub(super) fn finish(
        mut self,
        renderer: Option<&dyn Renderer>,
        media_type: &str,
    ) -> Result<Finished, Fault> {
        let written = match &self.mapping.back {
            Some(back) => self.write(back),
            None => Vec::new(),
        };
        let waits = self.waits();
        // Whoever is missing from the list is in the worst of its record all the same.
        let worst = self.entries.iter().map(|it| it.found.worst).max().unwrap_or(Outcome::Pass);
        let outcome = if waits { Outcome::Review } else { worst };
        let rest = self.tally.rest().map(|it| Finding { outcome: it.outcome.min(outcome), ..it });
        let body = match (&self.mapping.back, renderer) {
            (Some(back), _) if self.is_refused(back, outcome, rest.as_ref()) => ReplyBody::Refused,
            (Some(_), Some(renderer)) => {
                ReplyBody::Written { media_type: media_type.into(), bytes: renderer.render(&written)? }
            }
            _ => ReplyBody::Written { media_type: "application/json".into(), bytes: self.canonical(outcome) },
        };
        let answered_by = self.entries.iter().find_map(|it| Some(it.asked.as_ref()?.answered_by.clone()));
        let findings = self.remarks(rest);
        let (answered_by, usage) = (answered_by.unwrap_or_default(), self.usage);
        let reply = Reply { outcome, body, findings, answered_by, usage, flow_version: self.mapping.version };
        Ok(Finished { reply, waits, unsaved: self.unsaved })
    }

    /// True where a person has to decide before there is a result: the mapping wants that, a record waits, and nothing but
    /// what people refused themselves is refused.
    fn waits(&self) -> bool {
        let refused = |it: &Entry| it.found.worst == Outcome::Reject && !it.is_persons;
        self.mapping.handling.review.is_some()
            && self.entries.iter().any(Entry::waits)
            && !self.entries.iter().any(refused)
    }

    /// Everything that is listed, in the order of the records; what several records share is told once.
    fn remarks(&self, rest: Option<Finding>) -> Vec<Remark> {
        let all = self.entries.iter().flat_map(|it| &it.found.listed).chain(&rest).map(Remark::from);
        if self.entries.len() < 2 {
            return all.collect();
        }
        let mut told = HashSet::new();
        all.filter(|it| {
            told.insert((
                it.code.clone(),
                it.field.clone(),
                it.xpath.clone(),
                it.found.clone(),
                it.say.clone(),
            ))
        })
        .collect()
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
