//! Why a result is not written. No text holds a value.

use tokio_postgres::error::DbError;
use vestibule_core::fault::{Fault, FaultCode, Recovery};

use crate::error::Trouble;

/// Why a result is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is nothing that could be written.
    #[error("D114: nothing can be written: {0}")]
    Nothing(&'static str),
    /// The row's key is not known.
    #[error("D114: nothing can be written: the row's key is not known; see `key`")]
    NoKey,
    /// The version was not read.
    #[error("D114: nothing can be written: the column of `version` was not read; add it to `columns`")]
    NoVersion,
    /// Nobody has installed what writing back needs.
    #[error("D112: {schema} is not installed in this database: let a DBA run `vestibule db install`")]
    NotInstalled {
        /// Our schema.
        schema: String,
    },
    /// The catalogue says otherwise than the mapping.
    #[error("D113: {target} is not as the mapping says: {what}")]
    Target {
        /// The table or function.
        target: String,
        /// What is not there.
        what: String,
    },
    /// The row is not as it was read.
    #[error("D111: {target} was not written: {}", if *.gone { "the row is gone" } else { "the row changed since it was read" })]
    Conflict {
        /// The table.
        target: String,
        /// There is no row of this key.
        gone: bool,
    },
    /// The database refuses these values.
    #[error("D115: {target} refuses what was to be written{constraint}: {trouble}")]
    Values {
        /// The table or function.
        target: String,
        /// The name of what is broken.
        constraint: String,
        /// What it said, without values.
        #[source]
        trouble: Trouble,
    },
    /// The server, or the way to it.
    #[error("{target} could not be written: {trouble}")]
    Trouble {
        /// The table or function.
        target: String,
        /// What happened.
        #[source]
        trouble: Trouble,
    },
}

impl Refusal {
    /// What became of a statement.
    pub(super) fn of(target: &str, error: tokio_postgres::Error) -> Self {
        let constraint = error.as_db_error().map(broken).unwrap_or_default();
        Self::of_trouble(target, error.into(), constraint)
    }

    pub(super) fn of_trouble(target: &str, trouble: Trouble, constraint: String) -> Self {
        let target = target.to_owned();
        let class = match &trouble {
            Trouble::Refused { state, .. } => state.code().get(..2).unwrap_or_default(),
            Trouble::Connection(_) | Trouble::Slow(_) => return Self::Trouble { target, trouble },
            Trouble::Value(_) => "22",
        };
        match class {
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => Self::Trouble { target, trouble },
            _ => Self::Values { target, constraint, trouble },
        }
    }

    /// True where the catalogue may have changed since it was read: names, and what values must look like.
    pub(super) fn may_be_outdated(&self) -> bool {
        match self {
            Self::Target { .. } => true,
            Self::Values { trouble: Trouble::Refused { state, .. }, .. } => {
                matches!(state.code().get(..2), Some("22" | "42" | "0A" | "26"))
            }
            _ => false,
        }
    }

    /// True where the connection is of no use any more.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Trouble { trouble, .. } if trouble.is_fatal())
    }

    /// For the runner, which tries again what may pass.
    pub(super) fn into_fault(self) -> Fault {
        let text = self.to_string();
        match self {
            Self::Trouble { .. } => Fault::new(FaultCode::Unavailable, text).recovery(Recovery::Retry),
            _ => Fault::new(FaultCode::Undeliverable, text).recovery(Recovery::GiveUp),
        }
    }
}

/// ` (constraint orders_risk_check)`: a name, never a value.
fn broken(error: &DbError) -> String {
    match (error.constraint(), error.column()) {
        (Some(name), _) => format!(" (constraint {name})"),
        (None, Some(name)) => format!(" (column {name})"),
        (None, None) => String::new(),
    }
}
