//! A job: one accepted document on its way to one result.

mod checkpoint;
mod returning;
mod review;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ask::Usage,
    document::{Document, Hash},
    finding::{Finding, Outcome},
};

pub use checkpoint::Checkpoint;
pub use returning::{Delivery, Place, Purpose, ReturnAddress};
pub use review::{Decision, Hold, Ruling};

/// The name of a job; also the ticket that a caller gets. Sortable by time (UUID version 7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl JobId {
    /// A new, never used name.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The name as a store keeps it.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The name that a store kept.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A document that is to be accepted as a job of this flow.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// The mapping that reads it.
    pub flow: Arc<str>,
    /// The document, with its idempotency key.
    pub document: Document,
    /// Hash of what the key stands for: the business payload, so that a changed header is not a changed document.
    pub fingerprint: Hash,
    /// Whether the submitter works on it at once.
    pub start: Start,
    /// Jobs of one flow with the same text here are worked on one after the other, in the order of their acceptance,
    /// each until its result was handed back where it has a return address.
    pub order: Option<Arc<str>>,
    /// Where its result goes.
    pub return_to: Option<ReturnAddress>,
}

impl NewJob {
    /// A job that its submitter works on at once, and whose result a caller waits for.
    pub fn new(id: JobId, flow: Arc<str>, document: Document, fingerprint: Hash) -> Self {
        Self { id, flow, document, fingerprint, start: Start::Now, order: None, return_to: None }
    }
}

/// Whether the submitter works on a job at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is leased to the submitter.
    Now,
    /// It waits in the queue for whoever claims it.
    Later,
}

/// What became of a submission.
#[derive(Debug)]
pub enum Submission {
    /// It is durable and leased to the submitter.
    Accepted(Lease),
    /// It is durable and waits in the queue: it was to start later, or others of its order come first.
    Queued(JobId),
    /// The key is known, with the same fingerprint; the job as it stands.
    Known(Box<Job>),
    /// The key is known with another fingerprint.
    Conflict(JobId),
}

/// The right to end a job, once. Not `Clone`: who holds it is the only one.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The fencing token: a store refuses an older one.
    pub token: u64,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// Waits for a worker.
    Queued {
        /// How often it was tried.
        attempt: u32,
        /// Not to be tried before.
        not_before: Timestamp,
    },
    /// A worker is on it.
    Leased {
        /// How often it was tried, this time included.
        attempt: u32,
    },
    /// A person has to decide.
    InReview {
        /// What is said to those who ask in the meantime; it is not the result.
        reply: Reply,
        /// When the mapping's own way takes over; `None`: never.
        until: Option<Timestamp>,
        /// Who looks at it.
        hold: Option<Hold>,
    },
    /// There is a result; it may not have been handed back yet.
    Answered {
        /// The result.
        reply: Reply,
    },
    /// The result was handed back.
    Returned {
        /// The result.
        reply: Reply,
    },
    /// Given up; the cause says why.
    Dead {
        /// Safe text: a fault's code and message.
        cause: String,
        /// What the gate found, as far as it came.
        findings: Vec<Remark>,
    },
}

impl JobState {
    /// Every word of [`JobState::word`], in the order of a job's life.
    pub const WORDS: [&str; 6] = ["queued", "leased", "in-review", "answered", "returned", "dead"];

    /// The word on the command line and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Leased { .. } => "leased",
            Self::InReview { .. } => "in-review",
            Self::Answered { .. } => "answered",
            Self::Returned { .. } => "returned",
            Self::Dead { .. } => "dead",
        }
    }

    /// The result, where there is one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Answered { reply } | Self::Returned { reply } => Some(reply),
            Self::Queued { .. } | Self::Leased { .. } | Self::InReview { .. } | Self::Dead { .. } => None,
        }
    }

    /// True where nothing more happens to it but its way back.
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Returned { .. } | Self::Dead { .. })
    }
}

/// A job as the store holds it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The mapping that reads it.
    pub flow: Arc<str>,
    /// The document as received.
    pub document: Document,
    /// Where it stands.
    pub state: JobState,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When its state last changed.
    pub changed: Timestamp,
    /// What orders it among others of its flow.
    pub order: Option<Arc<str>>,
    /// Where its result goes.
    pub return_to: Option<ReturnAddress>,
    /// How far the way back is.
    pub delivery: Delivery,
    /// What people decided about it, in order.
    pub decisions: Vec<Decision>,
}

/// A job and the right to end it.
#[derive(Debug)]
pub struct Claimed {
    /// The right to end it.
    pub lease: Lease,
    /// The job.
    pub job: Job,
    /// What earlier attempts saved, in no order; at most one for each record.
    pub checkpoints: Vec<Checkpoint>,
}

/// What a job in review needs while it waits.
#[derive(Debug, Clone)]
pub struct Suspension {
    /// What is said to those who ask in the meantime.
    pub reply: Reply,
    /// When the mapping's own way takes over; `None`: never.
    pub until: Option<Timestamp>,
}

/// Finished jobs that are to be forgotten, documents, replies, keys and all.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Of this flow.
    pub flow: Arc<str>,
    /// With a result, and nothing left to hand back, not changed since this time. `None`: none of them.
    pub finished_before: Option<Timestamp>,
    /// Dead, and not changed since this time. `None`: none of them.
    pub dead_before: Option<Timestamp>,
    /// At most so many at once, so that nobody waits for it.
    pub most: usize,
}

/// What waits in a store, by flow. Counted from unfinished and dead jobs alone, whatever else the store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Census {
    /// The flow.
    pub flow: Arc<str>,
    /// Jobs that wait in the queue, those not yet due included.
    pub queued: u64,
    /// Jobs that are worked on.
    pub leased: u64,
    /// Jobs that wait for a person.
    pub in_review: u64,
    /// Finished jobs whose result or dead letter is to be handed back.
    pub undelivered: u64,
    /// Dead jobs.
    pub dead: u64,
    /// When the oldest job that is queued or leased was accepted.
    pub oldest: Option<Timestamp>,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only this state's word, one of [`JobState::WORDS`]; another word is a fault, not an empty list.
    pub state: Option<String>,
    /// Only this flow.
    pub flow: Option<String>,
    /// Only jobs accepted before this time.
    pub before: Option<Timestamp>,
    /// Only jobs accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Only jobs that were given up, or whose delivery was, with this text in the cause, in any case of letters (ASCII).
    pub cause: Option<String>,
    /// At most so many; 0 means 100. Never more than [`JobFilter::MOST`].
    pub most: usize,
}

impl JobFilter {
    /// The longest list that a store makes.
    pub const MOST: usize = 10_000;

    /// How many jobs the list may have: `most` with its default and its limit applied.
    pub fn limit(&self) -> usize {
        if self.most == 0 { 100 } else { self.most.min(Self::MOST) }
    }
}

/// The end of a job: stored once, handed back byte for byte as often as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// What goes back.
    pub body: ReplyBody,
    /// What the gate found, ready to be shown: masked where the field is.
    pub findings: Vec<Remark>,
    /// Which model or fallback answered; empty where none was asked.
    pub answered_by: Box<str>,
    /// Tokens of all its records' answers, refused ones included; zero where no model counts them.
    pub usage: Usage,
    /// Version of the mapping that made it: with the document it leads from each value back to its place.
    pub flow_version: u32,
}

/// What goes back to the caller.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplyBody {
    /// The document that `return` wrote; protocol envelopes are put around it at the edge.
    Written {
        /// Its media type.
        media_type: Arc<str>,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The record was refused and the form has no way to say so: a fault in the caller's protocol.
    Refused,
}

/// A finding as it is shown and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// Stable code, e.g. `G101`.
    pub code: String,
    /// The check's word, e.g. `required`.
    pub check: String,
    /// What it led to.
    pub outcome: Outcome,
    /// Clean name of the field, or the rule's text.
    pub field: String,
    /// XPath over local names, where the finding has a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xpath: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What was found; absent where nothing was; `***` where the field is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The mapping's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
}

impl Job {
    /// What is to be sent now that it is finished: the result to the reply address, and the document of a refused or dead
    /// job to the dead-letter address. Empty while it is not finished.
    pub fn parcels(&self) -> Vec<(Purpose, &Place)> {
        let Some(address) = self.return_to.as_ref().filter(|_| self.state.is_finished()) else {
            return Vec::new();
        };
        let is_refused = match &self.state {
            JobState::Dead { .. } => true,
            state => state.reply().is_some_and(|reply| reply.outcome == Outcome::Reject),
        };
        let result = address.reply.iter().map(|place| (Purpose::Result, place));
        let dead_letter = address.dead_letter.iter().filter(|_| is_refused);
        result.chain(dead_letter.map(|place| (Purpose::DeadLetter, place))).collect()
    }

    /// Whether a job with this return address has something to send once it ends like this. A store asks when it ends a
    /// job.
    pub fn sends(return_to: Option<&ReturnAddress>, is_refused: bool) -> bool {
        return_to.is_some_and(|it| it.reply.is_some() || (is_refused && it.dead_letter.is_some()))
    }

    /// The same job without payloads, as [`crate::ports::JobStore::list`] shows it.
    #[must_use]
    pub fn without_payloads(mut self) -> Self {
        self.document.bytes = Bytes::new();
        if let JobState::Answered { reply } | JobState::Returned { reply } | JobState::InReview { reply, .. } =
            &mut self.state
            && let ReplyBody::Written { bytes, .. } = &mut reply.body
        {
            *bytes = Bytes::new();
        }
        self
    }
}

impl From<&Finding> for Remark {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.check.code().into(),
            check: finding.check.word().into(),
            outcome: finding.outcome,
            field: finding.field.to_string(),
            xpath: finding.origin.as_ref().and_then(crate::origin::Origin::xpath),
            expected: finding.expected.to_string(),
            found: finding.found.as_ref().map(ToString::to_string),
            say: finding.say.as_ref().map(ToString::to_string),
        }
    }
}
