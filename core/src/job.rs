//! A job: one accepted document on its way to one result.

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
}

/// What became of a submission.
#[derive(Debug)]
pub enum Submission {
    /// It is durable and leased to the submitter.
    Accepted(Lease),
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
    },
}

impl JobState {
    /// Every word of [`JobState::word`], in the order of a job's life.
    pub const WORDS: [&str; 5] = ["queued", "leased", "answered", "returned", "dead"];

    /// The word on the command line and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Leased { .. } => "leased",
            Self::Answered { .. } => "answered",
            Self::Returned { .. } => "returned",
            Self::Dead { .. } => "dead",
        }
    }

    /// The result, where there is one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Answered { reply } | Self::Returned { reply } => Some(reply),
            Self::Queued { .. } | Self::Leased { .. } | Self::Dead { .. } => None,
        }
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
}

/// A job and the right to end it.
#[derive(Debug)]
pub struct Claimed {
    /// The right to end it.
    pub lease: Lease,
    /// The job.
    pub job: Job,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only this state's word, one of [`JobState::WORDS`]; another word is a fault, not an empty list.
    pub state: Option<String>,
    /// Only this flow.
    pub flow: Option<String>,
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
    /// The same job without payloads, as [`crate::ports::JobStore::list`] shows it.
    #[must_use]
    pub fn without_payloads(mut self) -> Self {
        self.document.bytes = Bytes::new();
        if let JobState::Answered { reply } | JobState::Returned { reply } = &mut self.state
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
