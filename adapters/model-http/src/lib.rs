//! Models behind HTTP: OpenAI-compatible chat completions.
//!
//! One request a question, with the answer's JSON Schema as `response_format`. Faults are classified here, where status
//! and error code are still known; nothing here retries. Prompts, answers and keys are never logged.

mod answer;
mod client;
mod error;
mod model;
mod request;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use vestibule_core::{
    mapping::diagnostic::Diagnostics,
    ports::{Model, ModelKind, ModelRequest},
};

pub use error::ChatError;
#[doc(hidden)]
pub use error::probe;

use crate::{client::Clients, model::ChatModel, settings::Settings};

/// Codes of mistakes in the settings, with what each means and how to mend it.
pub const CODES: [(&str, &str, &str); 3] = [
    (
        "A101",
        "the address of a model is not usable",
        "write the base address, e.g. https://api.openai.com/v1",
    ),
    (
        "A102",
        "the key of a model is not there",
        "set the environment variable that `key` names before the start",
    ),
    ("A103", "a setting of a model is outside its limits", "see docs/models.md for what each setting takes"),
];

/// The kind `openai`: chat completions as OpenAI, Azure (`/openai/v1`), vLLM, Ollama and many others speak them.
#[derive(Debug, Default)]
pub struct OpenAi {
    clients: Clients,
}

impl OpenAi {
    /// The kind, without any connection yet. Every model that it opens shares its connections.
    pub fn new() -> Self {
        Self::default()
    }
}

impl ModelKind for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn open(&self, request: ModelRequest<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Model>> {
        let settings = Settings::read(request.settings, request.secrets, diagnostics)?;
        match self.clients.for_url(&settings.url) {
            Ok(client) => Some(Arc::new(ChatModel::new(request.name, settings, client))),
            Err(error) => {
                diagnostics
                    .push(
                        "A101",
                        &request.settings.span,
                        "no connection can be made to this model",
                        error.to_string(),
                    )
                    .help(
                        "an https address needs the machine's certificates (Debian: package ca-certificates)",
                    );
                None
            }
        }
    }
}
