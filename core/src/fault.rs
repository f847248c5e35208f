//! What goes wrong outside the record: one type that crosses every port.

use std::time::Duration;

use crate::job::JobId;

/// What the caller of a port may do about a fault. Adapters classify where the driver's own type is known; only
/// `ask` and the runner retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The same call may succeed later.
    Retry,
    /// The other side said how long to wait.
    RetryAfter(Duration),
    /// This way is closed; another model or server may do.
    FailOver,
    /// The same call will fail again.
    GiveUp,
}

/// Stable codes of faults. Callers may match on them; each has a page in `docs/faults.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// The body is not well-formed in its own format.
    Malformed,
    /// A limit on size, depth, number or time was passed.
    TooLarge,
    /// The message is well-formed but not one this service takes (unknown operation, wrong envelope).
    NotUnderstood,
    /// A header that must be understood is not.
    MustUnderstand,
    /// The record was refused by the gate; the findings say why.
    Refused,
    /// The idempotency key was used before with another body.
    KeyConflict,
    /// No such flow, job or service.
    NotFound,
    /// The deadline passed before there was a result.
    Deadline,
    /// A model refused, failed, or answered something that is not an answer.
    Model,
    /// The job store failed.
    Store,
    /// The service is shutting down or can take no more work now.
    Unavailable,
    /// The result can not be written in the legacy format.
    Unwritable,
    /// A mistake of ours.
    Internal,
    /// The sender is not who it must be: a signature, a token or a time stamp is wrong or missing.
    Unauthorized,
    /// An operator or a newer document gave the job up.
    Cancelled,
    /// A result could not be handed back.
    Undeliverable,
}

impl FaultCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::TooLarge,
        Self::NotUnderstood,
        Self::MustUnderstand,
        Self::Refused,
        Self::KeyConflict,
        Self::NotFound,
        Self::Deadline,
        Self::Model,
        Self::Store,
        Self::Unavailable,
        Self::Unwritable,
        Self::Internal,
        Self::Unauthorized,
        Self::Cancelled,
        Self::Undeliverable,
    ];

    /// The stable code, e.g. `V001`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "V001",
            Self::TooLarge => "V002",
            Self::NotUnderstood => "V003",
            Self::MustUnderstand => "V004",
            Self::Refused => "V005",
            Self::KeyConflict => "V006",
            Self::NotFound => "V007",
            Self::Deadline => "V008",
            Self::Model => "V009",
            Self::Store => "V010",
            Self::Unavailable => "V011",
            Self::Unwritable => "V012",
            Self::Internal => "V013",
            Self::Unauthorized => "V014",
            Self::Cancelled => "V015",
            Self::Undeliverable => "V016",
        }
    }

    /// The code that a stored cause begins with, as the text of a [`Fault`] does.
    pub fn leading(cause: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| cause.starts_with(it.code()))
    }

    /// A short name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "the document is not well-formed",
            Self::TooLarge => "the document passes a limit",
            Self::NotUnderstood => "the message is not one this service takes",
            Self::MustUnderstand => "a header that must be understood is not",
            Self::Refused => "the record was refused",
            Self::KeyConflict => "the idempotency key was used with another document",
            Self::NotFound => "not found",
            Self::Deadline => "the deadline passed",
            Self::Model => "no usable answer from the model",
            Self::Store => "the job store failed",
            Self::Unavailable => "not available now",
            Self::Unwritable => "the result does not fit the legacy format",
            Self::Internal => "internal error",
            Self::Unauthorized => "the sender is not who it must be",
            Self::Cancelled => "the job was cancelled",
            Self::Undeliverable => "the result could not be handed back",
        }
    }

    /// True where the caller must change something before it can succeed.
    pub fn is_callers(self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::TooLarge
                | Self::NotUnderstood
                | Self::MustUnderstand
                | Self::Refused
                | Self::KeyConflict
                | Self::NotFound
                | Self::Unauthorized
        )
    }
}

/// A fault that crosses a port: a code and text that are safe for the caller, the cause for the log.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", code.code())]
pub struct Fault {
    /// The stable code.
    pub code: FaultCode,
    /// What may be done about it.
    pub recovery: Recovery,
    /// Safe for the caller: never a payload value, a secret or an internal path.
    pub message: String,
    /// Where in the document, as `line:column` or an address, where that is known.
    pub place: Option<String>,
    /// The job that it is about, where one was accepted: its result can be asked for later.
    pub ticket: Option<JobId>,
    /// What happened inside; for the log only.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault that will not go away by itself.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self {
            code,
            recovery: Recovery::GiveUp,
            message: message.into(),
            place: None,
            ticket: None,
            source: None,
        }
    }

    /// What may be done about it.
    #[must_use]
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = recovery;
        self
    }

    /// Where in the document.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The job that it is about.
    #[must_use]
    pub fn about(mut self, job: JobId) -> Self {
        self.ticket = Some(job);
        self
    }

    /// The cause, kept for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
