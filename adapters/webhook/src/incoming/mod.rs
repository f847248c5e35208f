//! Webhooks in: who posted is proven before anything of the body is read.

mod content;
mod form;
mod header;
mod hook;
mod multipart;
mod settings;
mod style;

pub use hook::{Webhook, probe};
