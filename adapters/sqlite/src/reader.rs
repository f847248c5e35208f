//! Reading, beside the writer and never in its way.

use std::path::Path;

use rusqlite::{Connection, params};
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{Job, JobFilter, JobId, JobState},
};

use crate::{
    error::{StoreError, fault},
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
        let state = state.map(state_condition).transpose()?.unwrap_or("TRUE");
        let columns = row::WITHOUT_PAYLOADS;
        Ok(format!("{columns} WHERE {state} AND (?1 IS NULL OR j.flow = ?1) ORDER BY j.seq DESC LIMIT ?2"))
    }

    /// Writes a consistent copy of the whole store to a new file, while a server goes on. The file must not exist.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let refused = |source| StoreError::Refused { path: path.to_path_buf(), source };
        let target =
            path.to_str().ok_or_else(|| refused(rusqlite::Error::InvalidPath(path.to_path_buf())))?;
        self.db.execute("VACUUM INTO ?1", [target]).map_err(refused)?;
        Ok(())
    }
}

/// Conditions as the partial indexes state them, so that SQLite can use these.
fn state_condition(word: &str) -> Result<&'static str, Fault> {
    match word {
        "queued" => Ok("j.state < 2 AND j.state = 0"),
        "leased" => Ok("j.state < 2 AND j.state = 1"),
        "answered" => Ok("j.state IN (2, 3) AND j.state = 2"),
        "dead" => Ok("j.state IN (2, 3) AND j.state = 3"),
        "returned" => Ok("j.state = 4"),
        _ => {
            let known = JobState::WORDS.join(", ");
            Err(Fault::new(
                FaultCode::NotFound,
                format!("no job state is called {word:?}; there are {known}"),
            ))
        }
    }
}
