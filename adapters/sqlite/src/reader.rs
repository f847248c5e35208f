//! Reading, beside the writer and never in its way.

use std::{fs::OpenOptions, path::Path};

use rusqlite::{Connection, params};
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{Job, JobFilter, JobId, JobState},
};

use crate::{
    error::{StoreError, fault},
    ownership::private,
    row,
    schema::open_reader,
    settings::Settings,
};

/// Reads a store that this or another process writes. Blocks its thread; for the command line as it is.
pub struct Reader {
    db: Connection,
}

impl Reader {
    /// Opens the store at this path for reading. It may be in use by a server.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with_settings(path, &Settings::default())
    }

    pub(crate) fn with_settings(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { db: open_reader(path, settings)? })
    }

    /// One job, whole.
    pub fn find(&self, id: JobId) -> Result<Option<Job>, Fault> {
        row::by_id(&self.db, id).map_err(|error| fault(&error.into()))
    }

    /// Jobs, newest first, without their payloads.
    pub fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, Fault> {
        let sql = Self::list_sql(filter.state.as_deref())?;
        let limit = i64::try_from(filter.limit()).unwrap_or(i64::MAX);
        let select = || {
            let mut select = self.db.prepare_cached(&sql)?;
            select.query_map(params![filter.flow, limit], row::job)?.collect::<rusqlite::Result<_>>()
        };
        select().map_err(|error| fault(&error.into()))
    }

    /// The list of jobs in this state; its parameters are the flow, or null, and the limit.
    pub(crate) fn list_sql(state: Option<&str>) -> Result<String, Fault> {
        let (index, state) = state.map(state_condition).transpose()?.unwrap_or(("", "TRUE"));
        let columns = row::WITHOUT_PAYLOADS;
        Ok(format!(
            "{columns} FROM jobs j {index} LEFT JOIN replies r ON r.job = j.seq \
             WHERE {state} AND (?1 IS NULL OR j.flow = ?1) ORDER BY j.seq DESC LIMIT ?2"
        ))
    }

    /// Writes a consistent copy of the whole store to a new file, durably, while a server goes on. Only its owner may
    /// read it. The file must not exist.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let refused = |source| StoreError::Refused { path: path.to_path_buf(), source };
        let unwritable = |source| StoreError::Unwritable { path: path.to_path_buf(), source };
        let target =
            path.to_str().ok_or_else(|| refused(rusqlite::Error::InvalidPath(path.to_path_buf())))?;
        // SQLite fills an empty file, and leaves its rights as they are.
        let file = private(OpenOptions::new().write(true).create_new(true)).open(path).map_err(unwritable)?;
        self.db.execute("VACUUM INTO ?1", [target]).map_err(refused)?;
        file.sync_all().map_err(unwritable)
    }
}

/// The index to read and the condition as that partial index states it. Named, because without statistics SQLite
/// rather walks through all jobs in the order of the list.
fn state_condition(word: &str) -> Result<(&'static str, &'static str), Fault> {
    const OPEN: &str = "INDEXED BY jobs_open";
    const KEPT: &str = "INDEXED BY jobs_kept";
    match word {
        "queued" => Ok((OPEN, "j.state < 2 AND j.state = 0")),
        "leased" => Ok((OPEN, "j.state < 2 AND j.state = 1")),
        "answered" => Ok((KEPT, "j.state IN (2, 3) AND j.state = 2")),
        "dead" => Ok((KEPT, "j.state IN (2, 3) AND j.state = 3")),
        "returned" => Ok(("", "j.state = 4")),
        _ => {
            let known = JobState::WORDS.join(", ");
            Err(Fault::new(
                FaultCode::NotFound,
                format!("no job state is called {word:?}; there are {known}"),
            ))
        }
    }
}
