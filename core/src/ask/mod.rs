//! The way to a model: one deadline, the models of the route in order, then the flow's fallback list.
//!
//! Adapters classify what went wrong; this module alone decides whether the same model is asked once more, the next
//! one is asked, or a fallback answers. Every answer is checked against the flow's strict schema before anyone sees it,
//! and a remote model sees masked values only. Nothing here spawns: a caller that goes away ends the asking with it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{fault::Fault, mapping::plan::Mapping};

mod asker;
mod breaker;
mod check;
mod memory;
mod prompt;
mod question;
mod turn;

#[cfg(test)]
mod tests;

pub use asker::{Asked, Asker};
pub use breaker::{Breaker, Breakers, Permit};
pub use check::{AnswerCheck, Misfit};
pub use turn::{Attempt, Ending};

/// What a model is asked: one flow's question about one record.
pub struct Task<'a> {
    /// The flow.
    pub mapping: &'a Mapping,
    /// Renders the prompt with the (masked) record. Called by models that read prompts; decision tables do not.
    pub prompt: &'a (dyn Fn() -> Result<String, Fault> + Send + Sync),
    /// JSON Schema of the answer as given to a model.
    pub schema: &'a Arc<Value>,
    /// Now, for rules that ask for today.
    pub now: jiff::Timestamp,
    /// `<ticket>-<record>`, the same for every attempt of one model at the same record of the same job: what a server that
    /// knows idempotency keys needs in order not to bill a repeated question twice. The models after the first have their
    /// position behind it (`-2`), a record that a person corrected how often (`-c1`): those are other questions. Empty
    /// where there is no job.
    pub request_id: &'a str,
}

/// What a model said, before it is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The answer's fields.
    pub answer: Map<String, Value>,
    /// What it used.
    pub usage: Usage,
}

/// Tokens as the model's server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// Of these, read from the server's cache.
    pub cached_input: u64,
    /// Tokens of the answer.
    pub output: u64,
}
