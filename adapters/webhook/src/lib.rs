//! Webhooks: signed documents in, signed results out.

mod incoming;
mod outgoing;
mod signature;

pub use incoming::{Webhook, probe};
#[doc(hidden)]
pub use outgoing::probe as probe_answer;
pub use outgoing::{Callbacks, Post, PostError, Poster, place};
pub use signature::Secret;
