//! Where a result goes: the return address of a job, and how far its way back is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A place that a returner can reach: a queue, an exchange with a routing key, a URL. Never a secret: it is stored with
/// the job and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name of the returner, [`crate::ports::Returner::name`].
    pub returner: Box<str>,
    /// What that returner needs to know, in its own words.
    pub to: BTreeMap<String, String>,
}

/// The return address of a job (Enterprise Integration Patterns). Made when the document is accepted, so that a result
/// finds its way whatever has changed in between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnAddress {
    /// Where the result goes; `None`: a caller waits for it or polls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Place>,
    /// Where a document goes that was refused or given up, with what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<Place>,
    /// The sender's own name for its message; the result carries it as its message-id, so that a receiver can tell a
    /// result that was sent twice. `None`: the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<str>>,
    /// What the sender correlates the answer by, where that is not its message's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Box<str>>,
}

impl ReturnAddress {
    /// True where nothing is ever sent.
    pub fn is_empty(&self) -> bool {
        self.reply.is_none() && self.dead_letter.is_none()
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The result, to the reply address: the document that `return` wrote, or word of a refusal or of a job that was
    /// given up, in the transport's own way.
    Result,
    /// The document as it was received, with what was found, to the dead-letter address.
    DeadLetter,
}

/// How far the way back of a job with a return address is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Delivery {
    /// Nothing is to be sent: there is no return address, or no result yet.
    #[default]
    Nothing,
    /// To be sent.
    Due {
        /// How often it was tried.
        attempt: u32,
        /// Not to be tried before.
        not_before: Timestamp,
    },
    /// The other side has taken it.
    Done,
    /// Given up; `vestibule jobs retry` starts again.
    GivenUp {
        /// Safe text: a fault's code and message.
        cause: String,
    },
}
