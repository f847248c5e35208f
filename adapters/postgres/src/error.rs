//! What goes wrong: when the store is opened, and when it is used. Classified by SQLSTATE, where that is still known.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_postgres::error::SqlState;
use vestibule_core::fault::{Fault, FaultCode, Recovery};

/// Why a store could not be opened; for the operator, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A setting that can not be.
    #[error("{0}")]
    Setting(String),
    /// The file with the authorities' certificates.
    #[error("the certificates in {path} can not be read")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server could not be reached, or refused.
    #[error("the job store in PostgreSQL at {place} can not be opened; {remedy}")]
    Refused {
        /// Host, port and database.
        place: String,
        /// What to do.
        remedy: &'static str,
        /// What happened.
        source: Trouble,
    },
    /// Written by a newer program.
    #[error(
        "the job store has schema version {found}; this program knows versions up to {known}: use a newer program"
    )]
    Newer {
        /// The store's version.
        found: i32,
        /// The newest of this program.
        known: i32,
    },
}

/// What PostgreSQL or the way to it did. Holds no value of any statement: only texts that the server makes of names.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The server refused.
    #[error("PostgreSQL refused with SQLSTATE {}{}", state.code(), said.as_deref().map(|it| format!(": {it}")).unwrap_or_default())]
    Refused {
        /// Its code.
        state: SqlState,
        /// Its words, for the classes that speak of names and settings alone.
        said: Option<String>,
    },
    /// The connection could not be made or is lost.
    #[error("no connection to PostgreSQL: {0}")]
    Connection(String),
    /// It took too long.
    #[error("PostgreSQL did not answer within {0:?}")]
    Slow(Duration),
    /// A row or a value is not what it must be.
    #[error("a value could not be moved to or from PostgreSQL: {0}")]
    Value(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return Self::refused(refusal.code().clone(), refusal.message());
        }
        let text = error.to_string();
        // The kinds of this error are private; its words are fixed.
        let is_value = ["serializing", "deserializing", "invalid column", "unexpected number"];
        if is_value.iter().any(|it| text.contains(it)) {
            return Self::Value(text);
        }
        let cause = std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
        Self::Connection(format!("{text}{cause}"))
    }
}

impl Trouble {
    /// What a server refused with. Of its words those are kept that quote no value.
    pub(crate) fn refused(state: SqlState, message: &str) -> Self {
        // Data exceptions and broken constraints quote what they are about; these classes do not.
        let speaks_of_names = ["08", "0A", "25", "28", "3D", "3F", "42", "53", "55", "57", "58"];
        let class = state.code().get(..2).unwrap_or_default();
        let said = speaks_of_names.contains(&class).then(|| message.to_owned());
        Self::Refused { state, said }
    }

    /// True where the connection is of no use any more.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Slow(_) => true,
            Self::Refused { state, .. } => state.code().starts_with("57P") || state.code().starts_with("08"),
            Self::Value(_) => false,
        }
    }

    /// True where the same changes may succeed at once: others were in the way.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { state, .. } if matches!(state.code(), "40001" | "40P01" | "55P03"))
    }

    /// The cause of two: what was refused because the transaction had failed already is none.
    pub(crate) fn first(before: Option<Self>, next: Self) -> Option<Self> {
        let is_consequence = |it: &Self| matches!(it, Self::Refused { state, .. } if state.code() == "25P02");
        Some(before.filter(|it| !is_consequence(it)).unwrap_or(next))
    }

    /// What may be done, and a text that is safe for callers.
    fn class(&self) -> (Recovery, &'static str) {
        const UNREACHABLE: &str = "the job store can not be reached now";
        let state = match self {
            Self::Refused { state, .. } => state.code(),
            Self::Connection(_) => return (Recovery::Retry, UNREACHABLE),
            Self::Slow(_) => return (Recovery::Retry, "the job store did not answer in time"),
            Self::Value(_) => return (Recovery::GiveUp, "a value does not fit the job store"),
        };
        match (state, state.get(..2).unwrap_or_default()) {
            ("53100", _) => (Recovery::Retry, "the disk of the job store is full"),
            ("25006", _) => (Recovery::Retry, "the job store is read-only now"),
            ("57014", _) => (Recovery::Retry, "the job store did not answer in time"),
            (_, "40" | "55") => (Recovery::Retry, "the job store is busy"),
            (_, "08" | "53" | "57") => (Recovery::Retry, UNREACHABLE),
            (_, "58") => (Recovery::Retry, "the job store can not be written now"),
            (_, "28") => (Recovery::GiveUp, "the job store does not let us in"),
            (_, "42" | "3D" | "3F") => {
                (Recovery::GiveUp, "the job store's tables are not as they must be, or not ours")
            }
            (_, "22" | "54") => (Recovery::GiveUp, "a value does not fit the job store"),
            _ => (Recovery::GiveUp, "the job store failed"),
        }
    }

    /// What an operator can do about it when the store is opened.
    pub(crate) fn remedy(&self) -> &'static str {
        let state = match self {
            Self::Refused { state, .. } => state.code(),
            Self::Connection(text) if text.contains("TLS") || text.contains("certificate") => {
                return "check `tls` and `ca`, and the name in the server's certificate";
            }
            Self::Connection(_) | Self::Slow(_) => return "is the server up, and host and port right?",
            Self::Value(_) => return "the tables may have been changed by hand",
        };
        match (state, state.get(..2).unwrap_or_default()) {
            ("3D000", _) => "make the database first: CREATE DATABASE",
            ("42501", _) => {
                "the role may not do this: let the owner run the SQL of docs/postgres.md, or grant what stands there"
            }
            (_, "28") => "check the role, its password and pg_hba.conf",
            ("53300", _) => "the server has no connection left: raise max_connections or lower `connections`",
            (_, "57") => "the server is starting or stopping: try again",
            _ => "see the server's log",
        }
    }
}

/// Why one change was not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The change is refused by the rules of the store; the others of its group are not concerned.
    Refused(Fault),
    /// Nothing of the group is certain.
    Database(Trouble),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Database(trouble)
    }
}

/// The refusal of a lease that another claim, a result or a burial has ended.
pub(crate) fn stale_lease() -> Failure {
    Failure::Refused(Fault::new(FaultCode::Store, "the lease of this job is not valid any more"))
}

/// A fault for callers. Shared, because one failed commit has many callers.
pub(crate) fn fault(trouble: &Arc<Trouble>) -> Fault {
    let (recovery, message) = trouble.class();
    Fault::new(FaultCode::Store, message).recovery(recovery).because(Arc::clone(trouble))
}

/// The store is closed or closing: nothing was changed.
pub(crate) fn closed() -> Fault {
    Fault::new(FaultCode::Unavailable, "the job store is closed").recovery(Recovery::Retry)
}
