//! Reading, beside the writer and never in its way.

use std::{collections::BTreeMap, fs::OpenOptions, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{Census, Checkpoint, Job, JobFilter, JobId, JobState},
};

use crate::{
    change::checkpoints_of,
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

    /// What is saved of a job's work, in the order of its records.
    pub fn checkpoints(&self, id: JobId) -> Result<Vec<Checkpoint>, Fault> {
        checkpoints_of(&self.db, id).map_err(|error| fault(&error.into()))
    }

    /// What a source kept under this name last.
    pub fn position(&self, name: &str) -> Result<Option<String>, Fault> {
        let kept = || {
            let mut select = self.db.prepare_cached("SELECT kept FROM positions WHERE name = ?1")?;
            select.query_row([name], |row| row.get(0)).optional()
        };
        kept().map_err(|error: rusqlite::Error| fault(&error.into()))
    }

    /// Jobs, newest first, without their payloads.
    pub fn list(&self, filter: &JobFilter) -> Result<Vec<Job>, Fault> {
        let sql = Self::list_sql(filter)?;
        let limit = i64::try_from(filter.limit()).unwrap_or(i64::MAX);
        let before = filter.before.map_or(i64::MAX, |it| it.as_microsecond());
        let since = filter.since.map_or(i64::MIN, |it| it.as_microsecond());
        let select = || {
            let mut select = self.db.prepare_cached(&sql)?;
            let parameters = params![filter.flow, limit, before, since, filter.cause];
            select.query_map(parameters, row::job)?.collect::<rusqlite::Result<_>>()
        };
        select().map_err(|error| fault(&error.into()))
    }

    /// The list of such jobs; its parameters are the flow, the limit, the times and the text of the cause.
    pub(crate) fn list_sql(filter: &JobFilter) -> Result<String, Fault> {
        let (mut index, state) = match (filter.state.as_deref(), &filter.cause) {
            (Some(word), _) => state_condition(word)?,
            // Only these have a cause.
            (None, Some(_)) => (ENDED, "j.state IN (2, 3)"),
            (None, None) => ("", "TRUE"),
        };
        let mut order = "j.seq DESC";
        if index.is_empty() && filter.flow.is_some() {
            (index, order) = ("INDEXED BY jobs_by_flow", "j.accepted DESC, j.seq DESC");
        }
        let flow = if filter.flow.is_some() { "j.flow = ?1" } else { "?1 IS NULL" };
        let cause = if filter.cause.is_some() {
            "(j.state = 3 AND instr(lower(j.cause), lower(?5)) \
              OR j.delivery = 4 AND instr(lower(j.undelivered), lower(?5)))"
        } else {
            "?5 IS NULL"
        };
        let (columns, beside) = (row::WITHOUT_PAYLOADS, row::BESIDE);
        Ok(format!(
            "{columns} FROM jobs j {index} {beside} \
             WHERE {state} AND {flow} AND j.accepted < ?3 AND j.accepted >= ?4 AND {cause} \
             ORDER BY {order} LIMIT ?2"
        ))
    }

    /// What waits, by flow.
    pub fn census(&self) -> Result<Vec<Census>, Fault> {
        self.counted().map_err(|error| fault(&error.into()))
    }

    fn counted(&self) -> rusqlite::Result<Vec<Census>> {
        let mut flows: BTreeMap<Arc<str>, Census> = BTreeMap::new();
        for (kind, sql) in COUNTS {
            let mut select = self.db.prepare_cached(sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let flow: Arc<str> = row.get::<_, String>(0)?.into();
                let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
                let entry =
                    flows.entry(Arc::clone(&flow)).or_insert_with(|| Census { flow, ..Census::default() });
                let number = match kind {
                    Counted::Queued => &mut entry.queued,
                    Counted::Leased => &mut entry.leased,
                    Counted::InReview => &mut entry.in_review,
                    Counted::Undelivered => &mut entry.undelivered,
                    Counted::Dead => &mut entry.dead,
                };
                *number = count;
                if let Counted::Queued | Counted::Leased = kind {
                    let oldest = row::moment(row, 2)?;
                    entry.oldest = Some(entry.oldest.map_or(oldest, |it| it.min(oldest)));
                }
            }
        }
        Ok(flows.into_values().collect())
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

const WAITING: &str = "INDEXED BY jobs_waiting";
const ENDED: &str = "INDEXED BY jobs_ended";

/// What a census counts.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    Queued,
    Leased,
    InReview,
    Undelivered,
    Dead,
}

/// Flow, number and the oldest, from the partial indexes alone.
pub(crate) const COUNTS: [(Counted, &str); 5] = [
    (
        Counted::Queued,
        "SELECT flow, count(*), min(accepted) FROM jobs INDEXED BY jobs_waiting \
         WHERE state < 2 AND state = 0 AND review = 0 GROUP BY flow",
    ),
    (
        Counted::Leased,
        "SELECT flow, count(*), min(accepted) FROM jobs INDEXED BY jobs_waiting \
         WHERE state < 2 AND state = 1 GROUP BY flow",
    ),
    (
        Counted::InReview,
        "SELECT flow, count(*) FROM jobs INDEXED BY jobs_waiting \
         WHERE state < 2 AND state = 0 AND review = 1 GROUP BY flow",
    ),
    (
        Counted::Undelivered,
        "SELECT flow, count(*) FROM jobs INDEXED BY jobs_sending WHERE delivery IN (1, 2) GROUP BY flow",
    ),
    (
        Counted::Dead,
        "SELECT flow, count(*) FROM jobs INDEXED BY jobs_ended WHERE state IN (2, 3) AND state = 3 GROUP BY flow",
    ),
];

/// The index to read and the condition as that partial index states it. Named, because without statistics SQLite
/// rather walks through all jobs in the order of the list.
fn state_condition(word: &str) -> Result<(&'static str, &'static str), Fault> {
    match word {
        "queued" => Ok((WAITING, "j.state < 2 AND j.state = 0 AND j.review = 0")),
        "leased" => Ok((WAITING, "j.state < 2 AND j.state = 1")),
        "in-review" => Ok((WAITING, "j.state < 2 AND j.state = 0 AND j.review = 1")),
        "answered" => Ok((ENDED, "j.state IN (2, 3) AND j.state = 2")),
        "dead" => Ok((ENDED, "j.state IN (2, 3) AND j.state = 3")),
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
