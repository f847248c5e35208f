//! How the jobs of a flow are handled: durability, tickets, reviews.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::WriteEntry;

/// Whether an accepted document survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It is stored before a model is asked
    Full,
    /// It is in memory only
    None,
}

/// When a caller gets a ticket instead of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Tickets {
    /// yes: always; no: never
    Flag(bool),
    /// late: when the deadline passes without a result
    Late(LateWord),
}

/// The word `late`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LateWord {
    /// When the deadline passes without a result
    Late,
}

/// What is written to a caller who gets a ticket.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-partial" = true))]
pub struct Pending {
    /// Name of the reply's root element
    pub into: Option<String>,
    /// WSDL or XSD of the reply, where it is not the source's
    pub contract: Option<String>,
    /// Left is the legacy place, right is ticket, flow.name, flow.version or a fixed text
    #[schemars(required)]
    pub write: Option<IndexMap<String, WriteEntry>>,
}

/// How a person decides what the checks or `accept` left to one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// How long a person has: 48h; for ever when left out
    pub within: Option<String>,
    /// What happens then: fallback (when left out), review or reject
    pub lapse: Option<Lapse>,
}

/// What happens when nobody decides in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lapse {
    /// The fallback of `ask` answers
    Fallback,
    /// It is answered as `review`
    Review,
    /// It is refused
    Reject,
}
