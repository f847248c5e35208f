//! What people decided, as it holds for each record.
//!
//! Decisions stand in the order in which they were made, and a later one overrides an earlier one about the same record.
//! A correction takes back what was decided about the record before: it is another record now, and all of it is judged
//! again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use super::{Found, Tally};
use crate::{
    finding::{Check, Finding, Outcome},
    job::{Decision, Ruling},
    mask::{HIDDEN, Secrets, masks_any},
    origin::Origin,
    record::Record,
};

/// Longest name of a person that is shown, in characters.
const LONGEST_NAME: usize = 80;
/// Longest note that is shown, in characters.
const LONGEST_NOTE: usize = 300;

/// Corrected fields by name: the legacy text, and who gave it.
pub(super) type Fields<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

/// All decisions about a document, by the record that they are about.
pub(super) struct Rulings<'a> {
    decisions: &'a [Decision],
    /// Positions of decisions by the record that they name.
    named: HashMap<usize, Vec<usize>>,
    /// Positions of decisions about all that wait for a person.
    unnamed: Vec<usize>,
}

impl<'a> Rulings<'a> {
    pub(super) fn of(decisions: &'a [Decision]) -> Self {
        let (mut named, mut unnamed) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (position, decision) in decisions.iter().enumerate() {
            match decision.record.and_then(|it| usize::try_from(it).ok()) {
                Some(record) => named.entry(record).or_default().push(position),
                None => unnamed.push(position),
            }
        }
        Self { decisions, named, unnamed }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// True where a correction names no record: then it has to be known which ones the gate holds.
    pub(super) fn corrects_unnamed(&self) -> bool {
        let mut unnamed = self.unnamed.iter().filter_map(|it| self.decisions.get(*it));
        unnamed.any(|it| matches!(it.ruling, Ruling::Correct(_)))
    }

    /// What holds for a record. Corrections that name no record count only where `is_held`.
    pub(super) fn about(&self, record: usize, is_held: bool) -> (Ruled, Fields<'a>) {
        let (mut ruled, mut fields) = (Ruled::default(), Fields::new());
        let named = self.named.get(&record).map(Vec::as_slice).unwrap_or_default();
        let mut all: Vec<usize> = named.iter().chain(&self.unnamed).copied().collect();
        all.sort_unstable();
        for decision in all.into_iter().filter_map(|it| self.decisions.get(it)) {
            let said = Said::by(decision);
            ruled.decisions = ruled.decisions.saturating_add(1);
            match &decision.ruling {
                Ruling::Correct(_) if decision.record.is_none() && !is_held => {}
                // It was refused by its number: it is none of those that wait.
                _ if decision.record.is_none() && ruled.is_refused() => {}
                Ruling::Correct(corrected) => {
                    ruled.corrections = ruled.corrections.saturating_add(1);
                    ruled.corrected_at = ruled.decisions;
                    ruled.releases.clear();
                    ruled.end = None;
                    for (name, text) in corrected {
                        fields.insert(name, (text, &decision.by));
                    }
                }
                Ruling::Release => {
                    ruled.releases.push((ruled.decisions, said));
                    ruled.end = None;
                }
                Ruling::Reject => {
                    ruled.end = Some(End::Rejected { said, is_named: decision.record.is_some() });
                }
                Ruling::Lapse => ruled.end = Some(End::Lapsed(said)),
            }
        }
        (ruled, fields)
    }
}

/// What holds for one record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ruled {
    /// How many decisions about it there are.
    pub(crate) decisions: usize,
    /// How many of them are corrections.
    pub(crate) corrections: usize,
    /// The number of the newest correction, from 1; 0 where there is none.
    pub(crate) corrected_at: usize,
    /// Releases since then, each with its number.
    releases: Vec<(usize, Said)>,
    /// How it ends where it still waits for a person.
    pub(crate) end: Option<End>,
    /// Where the record stands: of a document of many it says which one a decision was about.
    pub(crate) place: Option<Origin>,
}

/// An end without a release.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// A person refused it.
    Rejected {
        /// Who, and why.
        said: Said,
        /// This record was named. Otherwise it is refused only where it waits for a person.
        is_named: bool,
    },
    /// Nobody decided in time.
    Lapsed(Said),
}

/// Who decided, and why; fit to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    by: Box<str>,
    note: Option<Box<str>>,
}

impl Said {
    fn by(decision: &Decision) -> Self {
        let note = decision.note.as_deref().filter(|it| !it.trim().is_empty());
        Self { by: plain(&decision.by, LONGEST_NAME), note: note.map(|it| plain(it, LONGEST_NOTE)) }
    }

    /// `released by anna: the policy was renewed`, as a finding.
    fn finding(&self, done: &str, outcome: Outcome, place: Option<Origin>) -> Finding {
        let mut say = format!("{done} by {}", self.by);
        if let Some(note) = &self.note {
            say.push_str(": ");
            say.push_str(note);
        }
        decided("review".into(), outcome, "a decision by a person", say, place)
    }
}

/// A finding about a decision.
pub(super) fn decided(
    field: Box<str>,
    outcome: Outcome,
    expected: &'static str,
    say: String,
    place: Option<Origin>,
) -> Finding {
    Finding {
        check: Check::Decided,
        outcome,
        field,
        origin: place,
        expected: Cow::Borrowed(expected),
        found: None,
        say: Some(say.into()),
    }
}

impl Ruled {
    /// Takes masked values of the record out of what people wrote about it.
    pub(super) fn hide(&mut self, record: &Record, unread: &[Box<str>]) {
        let ended = match &mut self.end {
            Some(End::Rejected { said, .. } | End::Lapsed(said)) => Some(said),
            None => None,
        };
        let mut all = self.releases.iter_mut().map(|(_, said)| said).chain(ended).peekable();
        if all.peek().is_none() || !masks_any(&record.shape) && unread.is_empty() {
            return;
        }
        let secrets = Secrets::of(record, unread);
        for said in all {
            if said.note.as_ref().is_some_and(|it| secrets.are_in(it)) {
                said.note = Some(HIDDEN.into());
            }
            if secrets.are_in(&said.by) {
                said.by = HIDDEN.into();
            }
        }
    }

    /// What a person said about this record, as a finding.
    pub(crate) fn finding(&self, said: &Said, done: &str, outcome: Outcome) -> Finding {
        said.finding(done, outcome, self.place.clone())
    }

    /// What is said where nobody decided about it.
    pub(crate) fn too_late(&self, say: &str) -> Finding {
        let expected = "a decision by a person";
        decided("review".into(), Outcome::Note, expected, say.to_owned(), self.place.clone())
    }

    fn is_refused(&self) -> bool {
        matches!(self.end, Some(End::Rejected { is_named: true, .. }))
    }

    /// The first release by someone who could see an answer that came after so many decisions.
    pub(crate) fn released_since(&self, decisions: usize) -> Option<&Said> {
        self.releases.iter().find(|(number, _)| *number > decisions).map(|(_, said)| said)
    }

    /// Applies to what the gate found. A release lifts no rejection.
    pub(super) fn apply(&self, found: &mut Found, tally: &mut Tally) {
        if found.worst == Outcome::Review
            && let Some((_, said)) = self.releases.first()
        {
            found.lift();
            tally.add(found, self.finding(said, "released", Outcome::Note));
        }
        if let Some(End::Rejected { said, is_named }) = &self.end
            && found.worst < Outcome::Reject
            && (*is_named || found.worst == Outcome::Review)
        {
            tally.add(found, self.finding(said, "rejected", Outcome::Reject));
        }
    }
}

/// In one line that every format can hold, and not too long.
pub(super) fn plain(text: &str, longest: usize) -> Box<str> {
    let mut letters = text.trim().chars();
    let fit = |it: char| if it.is_control() || matches!(it, '\u{fffe}' | '\u{ffff}') { ' ' } else { it };
    let mut plain: String = letters.by_ref().take(longest).map(fit).collect();
    if letters.next().is_some() {
        plain.push('…');
    }
    plain.into()
}
