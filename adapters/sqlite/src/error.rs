//! What goes wrong: when the store is opened, and when it is used.

use std::{path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;
use vestibule_core::fault::{Fault, FaultCode, Recovery};

/// Why a store could not be opened. Each names the path; for the operator, never for a caller.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory is not there and could not be made.
    #[error(
        "the job store's directory {path} is not there and could not be made (only its last part is made)"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be made or opened for writing.
    #[error("the job store {path} can not be written")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the store.
    #[error("the job store {path} is in use by another process{}", owner_of(.owner))]
    InUse {
        /// The file.
        path: PathBuf,
        /// What that process wrote of itself.
        owner: Option<u32>,
    },
    /// There is no store to read.
    #[error("there is no job store at {path}")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not a database, or a damaged one.
    #[error(
        "the job store {path} is damaged or not a SQLite database; restore it from a backup, or move it away"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Someone else's database.
    #[error("{path} is a SQLite database, but not a job store of Vestibule")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer program.
    #[error(
        "the job store {path} has schema {found}; this program knows schemas up to {known}: use a newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// Written by an older program, and this one only reads.
    #[error(
        "the job store {path} has the older schema {found}; start the server once to bring it to {known}"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this program.
        known: i64,
    },
    /// Anything else that SQLite refused.
    #[error("the job store {path} could not be opened")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

fn owner_of(owner: &Option<u32>) -> String {
    owner.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl StoreError {
    /// Classifies what SQLite said while this file was being opened.
    pub(crate) fn opening(path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            _ => Self::Refused { path, source },
        }
    }
}

/// Why one change was not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The change is refused by the rules of the store; the others of its group are not concerned.
    Refused(Fault),
    /// SQLite failed; nothing of the group is certain.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The refusal of a lease that another claim, a result or a burial has ended.
pub(crate) fn stale_lease() -> Failure {
    Failure::Refused(Fault::new(FaultCode::Store, "the lease of this job is not valid any more"))
}

/// A fault for callers: classified by SQLite's own code. Shared, because one failed commit has many callers.
pub(crate) fn fault(error: &Arc<rusqlite::Error>) -> Fault {
    let (recovery, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (Recovery::Retry, "the disk of the job store is full"),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::CannotOpen
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => (Recovery::Retry, "the job store can not be written now"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Recovery::GiveUp, "the job store is read-only")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (Recovery::GiveUp, "the job store is damaged")
        }
        _ => (Recovery::GiveUp, "the job store failed"),
    };
    Fault::new(FaultCode::Store, message).recovery(recovery).because(Arc::clone(error))
}

/// The store is closed or closing: nothing was changed.
pub(crate) fn closed() -> Fault {
    Fault::new(FaultCode::Unavailable, "the job store is closed").recovery(Recovery::Retry)
}
