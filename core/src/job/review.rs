//! A person's part: what waits for one, who holds it, and what was decided.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who looks at a job in review, so that two people do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The reviewer's name.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

/// What was decided about a job in review. Decisions are kept with the job, in their order; the document itself is never
/// changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which record of the document, from 0; `None`: all that wait for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u32>,
    /// What.
    pub ruling: Ruling,
    /// Who: a reviewer's name, or `vestibule` where the time was over.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A ruling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// What was found is accepted as it is: findings of the outcome `review` are notes from now on.
    Release,
    /// Fields by their clean name with the legacy text that should have stood there; empty text: nothing. The record
    /// passes the gate again.
    Correct(BTreeMap<String, String>),
    /// The record is refused.
    Reject,
    /// Nobody decided in time: what the mapping says for that case happens.
    Lapse,
}

impl Ruling {
    /// The word on the command line and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Correct(_) => "correct",
            Self::Reject => "reject",
            Self::Lapse => "lapse",
        }
    }
}
