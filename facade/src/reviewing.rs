//! What a person decides about a job in review, judged before it is stored: by the command line and over HTTP alike.

use std::time::Duration;

use jiff::Timestamp;
use vestibule_core::{
    fault::Fault,
    flow::{Flow, Preview},
    job::{Decision, Job, JobState, Ruling},
    mapping::{
        diagnostic::nearest,
        plan::{FieldPlan, From, Shape},
    },
};

/// How long a reviewer keeps a job when it does not say.
pub const HOLD: Duration = Duration::from_secs(600);
/// Longest hold.
pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Longest name of a reviewer, in bytes.
const LONGEST_NAME: usize = 100;
/// Longest note, in bytes.
const LONGEST_NOTE: usize = 2_000;
/// Longest text that a field is corrected to, in bytes.
const LONGEST_VALUE: usize = 64 * 1024;

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Objection {
    /// The job waits for nobody.
    #[error("the job is {0}: there is nothing to decide")]
    NotInReview(&'static str),
    /// A field that the mapping does not have.
    #[error("there is no field `{field}`{}", near.as_ref().map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
    NoField {
        /// As it was written.
        field: String,
        /// A near miss.
        near: Option<String>,
    },
    /// A field that nothing was read for.
    #[error("`{field}` can not be corrected: {why}")]
    NotRead {
        /// As it was written.
        field: String,
        /// Why.
        why: &'static str,
    },
    /// A record that the document does not have.
    #[error("there is no record {asked}: the document has {there}")]
    NoRecord {
        /// As it was asked for, from 1.
        asked: u32,
        /// How many there are.
        there: usize,
    },
    /// A correction of one record among several that does not say of which.
    #[error("the document has {0} records: say which one is corrected")]
    WhichRecord(usize),
    /// A correction without a field.
    #[error("nothing is corrected: name at least one field")]
    Nothing,
    /// A name that can not be kept.
    #[error("a reviewer's name has 1 to {LONGEST_NAME} printable characters")]
    Name,
    /// A note or a value that is too long.
    #[error("{what} is longer than {most} bytes")]
    TooLong {
        /// What.
        what: String,
        /// The limit.
        most: usize,
    },
    /// The document can not be read again.
    #[error("the document can not be read by the mapping as it is now: {0}")]
    Unreadable(#[from] Fault),
}

/// A decision made now. `record` counts from 1, as people do.
pub fn decision(
    ruling: Ruling,
    record: Option<u32>,
    by: &str,
    note: Option<String>,
) -> Result<Decision, Objection> {
    if by.is_empty() || by.len() > LONGEST_NAME || by.chars().any(char::is_control) {
        return Err(Objection::Name);
    }
    if note.as_ref().is_some_and(|it| it.len() > LONGEST_NOTE) {
        return Err(Objection::TooLong { what: "the note".into(), most: LONGEST_NOTE });
    }
    let record = match record {
        None => None,
        Some(asked) => Some(asked.checked_sub(1).ok_or(Objection::NoRecord { asked, there: 0 })?),
    };
    Ok(Decision { record, ruling, by: by.to_owned(), at: Timestamp::now(), note })
}

/// What a job's records are with what was decided so far.
pub fn look(flow: &Flow, job: &Job) -> Result<Preview, Objection> {
    Ok(flow.preview_with(&job.document, job.document.received, &job.decisions)?)
}

/// What a job's records will be with this decision; what is wrong with the decision otherwise. No model is asked.
pub fn judge(flow: &Flow, job: &Job, decision: &Decision) -> Result<Preview, Objection> {
    if !matches!(job.state, JobState::InReview { .. }) {
        return Err(Objection::NotInReview(job.state.word()));
    }
    if let Ruling::Correct(fields) = &decision.ruling {
        if fields.is_empty() {
            return Err(Objection::Nothing);
        }
        for (field, text) in fields {
            if text.len() > LONGEST_VALUE {
                return Err(Objection::TooLong { what: format!("`{field}`"), most: LONGEST_VALUE });
            }
            correctable(&flow.mapping.record, field)?;
        }
    }
    let mut decisions = job.decisions.clone();
    decisions.push(decision.clone());
    let preview = flow.preview_with(&job.document, job.document.received, &decisions)?;
    let there = preview.records.len();
    match (decision.record, &decision.ruling) {
        (Some(record), _) if usize::try_from(record).is_ok_and(|it| it >= there) => {
            Err(Objection::NoRecord { asked: record.saturating_add(1), there })
        }
        (None, Ruling::Correct(_)) if there > 1 => Err(Objection::WhichRecord(there)),
        _ => Ok(preview),
    }
}

/// The field of a path such as `reserve` or `lines[2].amount`, where something is read for it.
fn correctable<'s>(shape: &'s Shape, path: &str) -> Result<&'s FieldPlan, Objection> {
    let mut shape = shape;
    let mut walked = String::new();
    let mut parts = path.split('.').peekable();
    let not_read = |why| Objection::NotRead { field: path.to_owned(), why };
    while let Some(part) = parts.next() {
        let (name, place) = part.split_once('[').map_or((part, None), |(name, rest)| (name, Some(rest)));
        let Some(plan) = shape.slot(name).and_then(|it| shape.fields.get(it)) else {
            let known: Vec<&str> = shape.fields.iter().map(|it| &*it.name).collect();
            let rest: String = parts.map(|it| format!(".{it}")).collect();
            let place = place.map(|it| format!("[{it}")).unwrap_or_default();
            let near = nearest(name, &known).map(|it| format!("{walked}{it}{place}{rest}"));
            return Err(Objection::NoField { field: path.to_owned(), near });
        };
        let is_numbered = place.is_some_and(|it| {
            it.strip_suffix(']').and_then(|it| it.parse::<u32>().ok()).is_some_and(|it| it > 0)
        });
        match (&plan.from, parts.peek().is_some()) {
            (From::Each { shape: items, .. }, true) if is_numbered => shape = items,
            (From::Each { .. }, true) => {
                return Err(not_read("an item of a list is counted from 1, e.g. lines[2].amount"));
            }
            (From::Each { .. }, false) => {
                return Err(not_read("it is a list; correct the fields of its items"));
            }
            (_, true) => return Err(not_read("what stands before the point is no list")),
            _ if place.is_some() => return Err(not_read("it is no list")),
            (From::Addresses(_), false) => return Ok(plan),
            (From::Computed(_), false) => return Err(not_read("it is computed from other fields")),
            (From::Constant(_) | From::Model, false) => {
                return Err(not_read("it is not read from the document"));
            }
        }
        walked.push_str(part);
        walked.push('.');
    }
    Err(Objection::NoField { field: path.to_owned(), near: None })
}

#[cfg(test)]
mod tests {
    use vestibule_core::{
        mapping::{Surroundings, compile, plan::Mapping},
        ports::Files,
    };

    use super::*;

    struct NoFiles;

    impl Files for NoFiles {
        fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    fn mapping() -> Mapping {
        let text = "mapping: a\nsource: { kind: json }\nrecord:\n  reserve: reserve\n  cause: { from: cause }\n  \
                    both: { compute: length(reserve) }\n  fixed: { value: x }\n  \
                    lines: { each: lines, record: { amount: amount, taxes: { each: t, record: { rate: rate } } } }\n";
        let registry = crate::adapters::registry(0);
        let compiled =
            compile("a", text, &Surroundings { files: &NoFiles, registry: &registry, routes: None });
        compiled.mapping.expect("a good mapping")
    }

    #[test]
    fn what_is_corrected_is_a_field_that_was_read() {
        let mapping = mapping();
        for (path, expected) in [
            ("reserve", ""),
            ("lines[2].amount", ""),
            ("lines[1].taxes[3].rate", ""),
            ("resrve", "there is no field `resrve`; did you mean `reserve`?"),
            ("lines[2].amuont", "there is no field `lines[2].amuont`; did you mean `lines[2].amount`?"),
            ("line[2].amount", "there is no field `line[2].amount`; did you mean `lines[2].amount`?"),
            ("", "there is no field ``"),
            ("zzz", "there is no field `zzz`"),
            ("lines", "`lines` can not be corrected: it is a list; correct the fields of its items"),
            ("lines[2]", "`lines[2]` can not be corrected: it is a list; correct the fields of its items"),
            ("both", "`both` can not be corrected: it is computed from other fields"),
            ("fixed", "`fixed` can not be corrected: it is not read from the document"),
            ("reserve[1]", "`reserve[1]` can not be corrected: it is no list"),
            ("reserve.x", "`reserve.x` can not be corrected: what stands before the point is no list"),
            (
                "lines[0].amount",
                "`lines[0].amount` can not be corrected: an item of a list is counted from 1, e.g. lines[2].amount",
            ),
            (
                "lines.amount",
                "`lines.amount` can not be corrected: an item of a list is counted from 1, e.g. lines[2].amount",
            ),
            (
                "lines[2.amount",
                "`lines[2.amount` can not be corrected: an item of a list is counted from 1, e.g. lines[2].amount",
            ),
        ] {
            let got = correctable(&mapping.record, path).err().map(|it| it.to_string());
            assert_eq!(got.unwrap_or_default(), expected, "path: {path}");
        }
    }

    #[test]
    fn a_decision_has_a_name_and_a_bounded_note() {
        let made = |record, by: &str, note: usize| {
            let made = decision(Ruling::Release, record, by, Some("x".repeat(note)));
            made.map(|it| it.record).map_err(|it| it.to_string())
        };
        let name = "a reviewer's name has 1 to 100 printable characters";
        for (record, by, note, expected) in [
            (None, "anna", 0, Ok(None)),
            (Some(1), "anna", 0, Ok(Some(0))),
            (Some(0), "anna", 0, Err("there is no record 0: the document has 0")),
            (None, "", 0, Err(name)),
            (None, "a\nb", 0, Err(name)),
            (None, "anna", 2_001, Err("the note is longer than 2000 bytes")),
        ] {
            assert_eq!(made(record, by, note), expected.map_err(str::to_owned), "{record:?} {by:?} {note}");
        }
    }
}
