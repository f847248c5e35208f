//! The gate: what must hold before a model may see a record.
//!
//! Raw fields are interpreted, every check of the mapping is run, and **every** failure is a finding: a caller who
//! mends what was found does not meet the next defect tomorrow.

mod correct;
mod document;
mod fields;
mod places;
mod ruling;
mod tally;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use self::{correct::correct, fields::Reader, places::Places, ruling::Rulings};
pub(crate) use self::{
    document::{MOST_READS, reads_along, reads_around, reads_of_all},
    ruling::{End, Ruled},
    tally::{Found, Tally},
};
use crate::{
    document::Document,
    finding::{Check, Finding, Outcome},
    job::Decision,
    mapping::plan::Mapping,
    origin::Origin,
    ports::{Extraction, RawRecord},
    record::Record,
    rule::Clock,
};

/// The proof that a record passed the gate. Only the gate makes one, and a model takes nothing else.
#[derive(Clone)]
pub struct Admitted {
    record: Record,
    /// Texts of masked fields that could not be read: in no field, and still not to be sent in another's text.
    unread: Vec<Box<str>>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Admitted").field(&self.record).finish()
    }
}

impl Admitted {
    /// The record that passed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Texts of masked fields that could not be read.
    pub(crate) fn unread(&self) -> &[Box<str>] {
        &self.unread
    }

    /// The record, when nobody needs the proof any more.
    pub(crate) fn into_record(self) -> Record {
        self.record
    }

    /// The same proof over the record with masked values: hiding values takes nothing from what was admitted.
    pub(crate) fn with_masked(&self, record: Record) -> Self {
        Self { record, unread: Vec::new() }
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
    fn of(record: Record, found: Found) -> Self {
        match found.worst {
            Outcome::Pass | Outcome::Note => {
                Self::Admit(Admitted { record, unread: found.unread }, found.listed)
            }
            Outcome::Review => Self::Review(record, found.listed),
            Outcome::Reject => Self::Reject(record, found.listed),
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
    /// One for each record that `only` kept, in document order; one for a document that should have a record and has
    /// none. Empty only where `only` kept none.
    pub verdicts: Vec<Verdict>,
    /// The record that closes the document.
    pub trailer: Option<Record>,
    /// How many findings the verdicts list, and what the others are.
    pub(crate) tally: Tally,
    /// What is to be said where there is no verdict; never worse than a note.
    pub(crate) remarks: Vec<Finding>,
    /// What people decided about each record; empty where nobody decided.
    pub(crate) ruled: Vec<Ruled>,
}

/// Judges everything that was read from a document. At most about 1,000 findings are listed; a verdict counts them all.
///
/// A defect belongs to the record that it stands in, and to every record where it stands in none. A document without
/// any record is refused, whatever its extractor says about that.
pub fn judge(mapping: &Mapping, document: &Document, extraction: Extraction) -> Judgement {
    judge_again(mapping, document, extraction, &[])
}

/// As [`judge`], after people decided. Corrected fields stand in the place of what was read, and every check is run on
/// them. A release makes notes of what was left to a person, a rejection refuses; neither lifts what the gate rejects.
pub(crate) fn judge_again(
    mapping: &Mapping,
    document: &Document,
    extraction: Extraction,
    decisions: &[Decision],
) -> Judgement {
    let rulings = Rulings::of(decisions);
    if extraction.records.len() < 2 || !rulings.corrects_unnamed() {
        return judge_ruled(mapping, document, extraction, &rulings, &|_| true);
    }
    // What is corrected in all records that the gate holds: which ones are they?
    let before = judge_ruled(mapping, document, extraction.clone(), &rulings, &|_| false);
    let is_held = |at: usize| matches!(before.verdicts.get(at), Some(Verdict::Review(..)));
    judge_ruled(mapping, document, extraction, &rulings, &is_held)
}

fn judge_ruled(
    mapping: &Mapping,
    document: &Document,
    extraction: Extraction,
    rulings: &Rulings<'_>,
    is_held: &dyn Fn(usize) -> bool,
) -> Judgement {
    let clock = clock_of(mapping, document);
    let mut reader = Reader::new(&clock);
    let Extraction { records: raws, defects, trailer, .. } = extraction;
    let is_empty = raws.is_empty();
    let mut places = Places::for_defects(&defects);
    let mut of_all: Vec<Finding> = Vec::new();

    let trailer = mapping.source.trailer.as_ref().map(|shape| {
        let (record, found) = reader.record(shape, trailer.unwrap_or_else(no_trailer), "trailer.");
        of_all.extend(if found.hides_worst() { reader.tally.rest() } else { None });
        of_all.extend(document::presentable(&record, found).listed);
        record
    });
    let Kept { mut records, mut findings, mut ruled, mended } =
        keep(mapping, raws, &mut reader, &mut places, rulings, is_held);
    let mut tally = reader.tally;
    places.sort(mapping, &defects, &mended, &mut findings, &mut of_all, &mut tally);
    if is_empty && !defects.iter().any(|it| it.check == Check::Required) {
        of_all.push(no_record());
    }
    document::check(mapping, &records, trailer.as_ref(), &clock, &mut findings, &mut of_all, &mut tally);
    if records.is_empty() {
        let worst = of_all.iter().map(|it| it.outcome).max().unwrap_or(Outcome::Pass);
        if worst < Outcome::Review {
            return Judgement { verdicts: Vec::new(), trailer, tally, remarks: of_all, ruled };
        }
        records.push(nothing_read(mapping));
        findings.push(Found::default());
        ruled.extend((!rulings.is_empty()).then(|| rulings.about(0, false).0));
    }
    of_all.iter().for_each(|finding| tally.share(&mut findings, finding));
    let mut rules = ruled.iter_mut();
    let verdicts = records.into_iter().zip(findings).map(|(record, mut found)| {
        if let Some(rule) = rules.next() {
            rule.hide(&record, &found.unread);
            rule.apply(&mut found, &mut tally);
        }
        let found = document::presentable(&record, found);
        Verdict::of(record, found)
    });
    let verdicts = verdicts.collect();
    Judgement { verdicts, trailer, tally, remarks: Vec::new(), ruled }
}

/// The records that `only` kept, with what stands beside each of them.
struct Kept<'a> {
    records: Vec<Record>,
    findings: Vec<Found>,
    /// Empty where nobody decided anything.
    ruled: Vec<Ruled>,
    /// Names of corrected fields, by record.
    mended: HashMap<usize, HashSet<&'a str>>,
}

/// Interprets what was read. Whether a record is of this flow is judged by what was read, not by its correction: records
/// keep their numbers.
fn keep<'a>(
    mapping: &Mapping,
    raws: Vec<RawRecord>,
    reader: &mut Reader<'_>,
    places: &mut Places,
    rulings: &Rulings<'a>,
    is_held: &dyn Fn(usize) -> bool,
) -> Kept<'a> {
    let (records, findings) = (Vec::with_capacity(raws.len()), Vec::with_capacity(raws.len()));
    let mut kept = Kept { records, findings, ruled: Vec::new(), mended: HashMap::new() };
    for raw in raws {
        let (before, position) = (reader.tally, kept.records.len());
        let rule = (!rulings.is_empty()).then(|| rulings.about(position, is_held(position)));
        let correction = match &rule {
            Some((_, fields)) if !fields.is_empty() => {
                let mut raw = raw.clone();
                let mended = correct(&mapping.record, &mut raw, fields);
                Some((raw, mended))
            }
            _ => None,
        };
        let (mut record, mut found) = reader.record(&mapping.record, raw, "");
        let keeps = document::keeps(mapping, &record, reader, &mut found);
        places.note(reader.place.as_ref(), keeps.then_some(position));
        if !keeps {
            reader.tally = before;
            continue;
        }
        if let Some((raw, mended)) = correction {
            reader.tally = before;
            (record, found) = reader.record(&mapping.record, raw, "");
            document::keeps(mapping, &record, reader, &mut found);
            found.unread.extend(mended.hidden);
            mended.notes.into_iter().for_each(|note| reader.tally.add(&mut found, note));
            kept.mended.insert(position, mended.names);
        }
        kept.ruled.extend(rule.map(|(mut ruled, _)| {
            ruled.place = reader.place.clone();
            ruled
        }));
        kept.records.push(record);
        kept.findings.push(found);
    }
    kept
}

/// A trailer that the extractor did not find: each field that must be there is a finding.
fn no_trailer() -> RawRecord {
    RawRecord { fields: Vec::new(), origin: Origin::Node { address: "/".into(), line: 0 } }
}

/// For an extractor that found no record and does not say so.
fn no_record() -> Finding {
    Finding {
        check: Check::Required,
        outcome: Outcome::Reject,
        field: "records".into(),
        origin: Some(Origin::Node { address: "/".into(), line: 0 }),
        expected: Cow::Borrowed("at least one record"),
        found: None,
        say: None,
    }
}

/// Time for this document's rules: its receipt, so that a run after a restart decides the same.
pub fn clock_of(mapping: &Mapping, document: &Document) -> Clock {
    Clock { now: document.received, zone: mapping.source.timezone.clone() }
}

/// An empty record of the mapping, for a document that was refused before it was read.
pub fn nothing_read(mapping: &Mapping) -> Record {
    Record::empty(Arc::clone(&mapping.record))
}
