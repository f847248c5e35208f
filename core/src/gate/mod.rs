//! The gate: what must hold before a model may see a record.
//!
//! Raw fields are interpreted, every check of the mapping is run, and **every** failure is a finding: a caller who
//! mends what was found does not meet the next defect tomorrow.

mod document;
mod fields;

use std::sync::Arc;

use crate::{
    document::Document,
    finding::{Finding, Outcome},
    mapping::plan::Mapping,
    ports::Extraction,
    record::Record,
    rule::Clock,
};

/// The proof that a record passed the gate. Only the gate makes one, and a model takes nothing else.
#[derive(Debug, Clone)]
pub struct Admitted(Record);

impl Admitted {
    /// The record that passed.
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// The same proof over the record with masked values: hiding values takes nothing from what was admitted.
    pub(crate) fn with_masked(&self, record: Record) -> Self {
        Self(record)
    }
}

/// The gate's decision about one record. A rejection is a business answer, not an error.
#[derive(Debug)]
pub enum Verdict {
    /// It may be asked about. The findings are notes.
    Admit(Admitted, Vec<Finding>),
    /// A person decides.
    Review(Record, Vec<Finding>),
    /// Refused.
    Reject(Record, Vec<Finding>),
}

impl Verdict {
    fn of(record: Record, findings: Vec<Finding>) -> Self {
        match findings.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass) {
            Outcome::Pass | Outcome::Note => Self::Admit(Admitted(record), findings),
            Outcome::Review => Self::Review(record, findings),
            Outcome::Reject => Self::Reject(record, findings),
        }
    }

    /// The record, whatever was decided.
    pub fn record(&self) -> &Record {
        match self {
            Self::Admit(admitted, _) => admitted.record(),
            Self::Review(record, _) | Self::Reject(record, _) => record,
        }
    }

    /// What was found, whatever was decided.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Admit(_, findings) | Self::Review(_, findings) | Self::Reject(_, findings) => findings,
        }
    }

    /// The decision as an outcome.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Admit(_, findings) => findings.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass),
            Self::Review(..) => Outcome::Review,
            Self::Reject(..) => Outcome::Reject,
        }
    }
}

/// What the gate decided about a document.
#[derive(Debug)]
pub struct Judgement {
    /// One for each record that `only` kept, in document order.
    pub verdicts: Vec<Verdict>,
    /// The record that closes the document.
    pub trailer: Option<Record>,
}

/// Judges everything that was read from a document.
///
/// A document that yields no record although the mapping expects one or more (no `source.each`) still gets a verdict:
/// extractors return one record whose fields are absent.
pub fn judge(mapping: &Mapping, document: &Document, extraction: Extraction) -> Judgement {
    let clock = clock_of(mapping, document);
    let mut reader = fields::Reader::new(&clock);
    let trailer = match (&mapping.source.trailer, extraction.trailer) {
        (Some(shape), Some(raw)) => Some(reader.record(shape, raw, "trailer.")),
        _ => None,
    };
    let trailer_findings = std::mem::take(&mut reader.findings);

    let mut records = Vec::with_capacity(extraction.records.len());
    let mut findings = Vec::with_capacity(extraction.records.len());
    for raw in extraction.records {
        let record = reader.record(&mapping.record, raw, "");
        let found = std::mem::take(&mut reader.findings);
        if document::keeps(mapping, &record, &clock) {
            records.push(record);
            findings.push(found);
        }
    }
    if let Some(first) = findings.first_mut() {
        first.extend(trailer_findings);
        first.extend(extraction.defects.iter().map(|defect| fields::from_defect(&mapping.record, defect)));
    }
    document::check(mapping, &records, trailer.as_ref(), &clock, &mut findings);
    let verdicts =
        records.into_iter().zip(findings).map(|(record, found)| Verdict::of(record, found)).collect();
    Judgement { verdicts, trailer }
}

/// Time for this document's rules: its receipt, so that a run after a restart decides the same.
pub fn clock_of(mapping: &Mapping, document: &Document) -> Clock {
    Clock { now: document.received, zone: mapping.source.timezone.clone() }
}

/// An empty record of the mapping, for a document that was refused before it was read.
pub fn nothing_read(mapping: &Mapping) -> Record {
    Record::empty(Arc::clone(&mapping.record))
}
