//! What was found in one document: the first findings in full, the rest as one finding that counts them. A document of
//! which every line is wrong must not become a reply that is larger than itself.

use std::borrow::Cow;

use crate::finding::{Check, Finding, Outcome};

/// Findings of one document that are listed.
pub(crate) const MOST_LISTED: usize = 1_000;

/// What was found in one record.
#[derive(Debug)]
pub(crate) struct Found {
    /// Those that are listed, in the order of the checks.
    pub listed: Vec<Finding>,
    /// The worst of all, also of those that are not listed.
    pub worst: Outcome,
    /// Texts of masked fields that could not be read: they are in no record, and must not be shown either.
    pub(super) unread: Vec<Box<str>>,
}

impl Default for Found {
    fn default() -> Self {
        Self { listed: Vec::new(), worst: Outcome::Pass, unread: Vec::new() }
    }
}

impl Found {
    /// What a verdict says.
    pub(crate) fn of(listed: Vec<Finding>, worst: Outcome) -> Self {
        Self { listed, worst, unread: Vec::new() }
    }

    /// What was left to a person is a note from now on. A rejection stays.
    pub(crate) fn lift(&mut self) {
        if self.worst == Outcome::Review {
            self.worst = Outcome::Note;
        }
        for finding in self.listed.iter_mut().filter(|it| it.outcome == Outcome::Review) {
            finding.outcome = Outcome::Note;
        }
    }

    /// True where something that decides is not listed.
    pub(crate) fn hides_worst(&self) -> bool {
        self.worst > Outcome::Note && self.listed.iter().all(|it| it.outcome < self.worst)
    }
}

/// How many findings of a document are listed, and what the others are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    listed: usize,
    rest: Option<Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    count: u64,
    outcome: Outcome,
    /// Of the worst; of several, one about the document's form, for that decides how a refusal is told.
    check: Check,
}

impl Tally {
    /// Adds a finding to its record: listed while there is room, counted in any case.
    pub(crate) fn add(&mut self, found: &mut Found, finding: Finding) {
        found.worst = found.worst.max(finding.outcome);
        if self.listed < MOST_LISTED {
            self.listed += 1;
            found.listed.push(finding);
        } else {
            self.count(&finding);
        }
    }

    /// Adds what is true of the document to each of its records: to the first in any case, to the others while there
    /// is room.
    pub(crate) fn share(&mut self, all: &mut [Found], finding: &Finding) {
        for (position, found) in all.iter_mut().enumerate() {
            found.worst = found.worst.max(finding.outcome);
            if position == 0 || self.listed < MOST_LISTED {
                self.listed = self.listed.saturating_add(1);
                found.listed.push(finding.clone());
            }
        }
    }

    /// Counts a finding that is not listed.
    pub(super) fn count(&mut self, finding: &Finding) {
        let rest = self.rest.get_or_insert(Rest { count: 0, outcome: finding.outcome, check: finding.check });
        rest.count = rest.count.saturating_add(1);
        let is_worse =
            (finding.outcome, finding.check.is_about_form()) > (rest.outcome, rest.check.is_about_form());
        if is_worse {
            (rest.outcome, rest.check) = (finding.outcome, finding.check);
        }
    }

    /// One finding for all that are not listed.
    pub(crate) fn rest(&self) -> Option<Finding> {
        let rest = self.rest?;
        Some(Finding {
            check: rest.check,
            outcome: rest.outcome,
            field: "more findings".into(),
            origin: None,
            expected: Cow::Borrowed("a document with fewer defects: not all are listed"),
            found: Some(format!("{} more", rest.count).into()),
            say: None,
        })
    }
}
