//! The tables, their versions, and how a connection is set up.

use std::{
    fs::{DirBuilder, OpenOptions},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{error::StoreError, ownership::private, settings::Settings};

/// Marks a SQLite file as ours ("VSTB").
const APPLICATION_ID: i64 = 0x5653_5442;

/// One entry a version, in order. An entry that was released is never changed.
///
/// Documents and replies stand apart from the jobs: a change of state must not rewrite a payload. The partial indexes
/// hold unfinished jobs only, so that a million finished ones cost a claim nothing. `state`: 0 queued, 1 leased,
/// 2 answered, 3 dead, 4 returned. `due` is when a queued job may be tried, or when a lease runs out. All times are
/// microseconds since 1970, UTC.
///
/// Version 3: a job in review is a queued one with `review` 1, due when its time is over; its interim reply is in
/// `replies`. `line` is the order; `behind` 1 says that others of the line come first, so that a claim never looks at
/// those that have to wait. `sends`: 2 whatever ends it has something to send, 1 only a refusal has. `delivery`:
/// 0 nothing, 1 due, 2 leased, 3 done, 4 given up; `due` is then about the delivery, `sent` counts its attempts.
///
/// Version 4: where sources are, in their own words.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
        flow TEXT NOT NULL,
        key TEXT,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
        state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
        attempt INTEGER NOT NULL,
        token INTEGER NOT NULL,
        due INTEGER NOT NULL,
        accepted INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        received INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        charset TEXT,
        name TEXT,
        cause TEXT
    ) STRICT;
    CREATE UNIQUE INDEX jobs_by_key ON jobs (flow, key) WHERE key IS NOT NULL;
    CREATE INDEX jobs_open ON jobs (due) WHERE state < 2;
    CREATE INDEX jobs_kept ON jobs (state) WHERE state IN (2, 3);
    CREATE TABLE documents (job INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE replies (
        job INTEGER PRIMARY KEY,
        outcome INTEGER NOT NULL,
        media_type TEXT,
        bytes BLOB,
        findings TEXT NOT NULL,
        answered_by TEXT NOT NULL,
        CHECK ((media_type IS NULL) = (bytes IS NULL))
    ) STRICT;
",
    "
    ALTER TABLE replies ADD COLUMN input_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE replies ADD COLUMN cached_input_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE replies ADD COLUMN output_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE replies ADD COLUMN flow_version INTEGER NOT NULL DEFAULT 1;
",
    "
    ALTER TABLE jobs ADD COLUMN review INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN held_by TEXT;
    ALTER TABLE jobs ADD COLUMN held_until INTEGER;
    ALTER TABLE jobs ADD COLUMN line TEXT;
    ALTER TABLE jobs ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN sends INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN delivery INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN undelivered TEXT;
    DROP INDEX jobs_open;
    DROP INDEX jobs_kept;
    CREATE INDEX jobs_waiting ON jobs (flow, behind, due, state, review, accepted) WHERE state < 2;
    CREATE INDEX jobs_ended ON jobs (state, flow) WHERE state IN (2, 3);
    CREATE INDEX jobs_sending ON jobs (due, flow, delivery) WHERE delivery IN (1, 2);
    CREATE INDEX jobs_in_line ON jobs (flow, line)
        WHERE line IS NOT NULL AND (state < 2 OR delivery IN (1, 2));
    CREATE INDEX jobs_by_flow ON jobs (flow, accepted);
    CREATE TABLE surroundings (job INTEGER PRIMARY KEY, attributes TEXT, return_to TEXT) STRICT;
    CREATE TABLE burials (job INTEGER PRIMARY KEY, findings TEXT NOT NULL) STRICT;
    CREATE TABLE decisions (job INTEGER PRIMARY KEY, list TEXT NOT NULL) STRICT;
    CREATE TABLE checkpoints (
        job INTEGER NOT NULL,
        record INTEGER NOT NULL,
        saved TEXT NOT NULL,
        PRIMARY KEY (job, record)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE positions (name TEXT PRIMARY KEY, kept TEXT NOT NULL, changed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
];

/// The newest schema of this program.
pub(crate) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Makes the last part of the store's directory and the store's file where they are missing. Not the whole path: a
/// mistyped one must not start an empty store elsewhere.
pub(crate) fn prepare_files(path: &Path) -> Result<(), StoreError> {
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty() && !it.is_dir()) {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(directory)
            .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
    }
    Ok(())
}

/// The connection that writes. The caller owns the store.
pub(crate) fn open_writer(path: &Path, settings: &Settings) -> Result<Connection, StoreError> {
    // SQLite gives the log and the index beside it the rights of this file.
    private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(path)
        .map_err(|source| StoreError::Unwritable { path: path.to_path_buf(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opening = |source| StoreError::opening(path, source);
    let mut db = Connection::open_with_flags(path, flags).map_err(opening)?;
    db.busy_timeout(settings.busy_timeout).map_err(opening)?;
    let version = version(&db, path)?;
    tune_writer(&db, settings).map_err(opening)?;
    migrate(&mut db, version).map_err(opening)?;
    Ok(db)
}

/// A connection that writes beside the owner of the store.
pub(crate) fn open_visitor(path: &Path, settings: &Settings) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Absent { path: path.to_path_buf() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opening = |source| StoreError::opening(path, source);
    let db = Connection::open_with_flags(path, flags).map_err(opening)?;
    db.busy_timeout(settings.busy_timeout).map_err(opening)?;
    known_version(&db, path)?;
    tune_writer(&db, settings).map_err(opening)?;
    Ok(db)
}

/// A connection that reads beside the writer, whichever process that is in.
pub(crate) fn open_reader(path: &Path, settings: &Settings) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Absent { path: path.to_path_buf() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opening = |source| StoreError::opening(path, source);
    let db = Connection::open_with_flags(path, flags).map_err(opening)?;
    db.busy_timeout(settings.busy_timeout).map_err(opening)?;
    known_version(&db, path)?;
    db.pragma_update(None, "cache_size", -i64::from(settings.cache_kib / 4)).map_err(opening)?;
    db.set_prepared_statement_cache_capacity(16);
    Ok(db)
}

/// Only its owner brings a store to the newest schema.
fn known_version(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(db, path)?;
    if found < newest() {
        return Err(StoreError::Older { path: path.to_path_buf(), found, known: newest() });
    }
    Ok(())
}

/// The schema of a store of ours; 0 for an empty file.
fn version(db: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || -> rusqlite::Result<_> {
        let tables = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    let (application, found, tables) = read().map_err(|source| StoreError::opening(path, source))?;
    if application != APPLICATION_ID && (application != 0 || tables != 0 || found != 0) {
        return Err(StoreError::Foreign { path: path.to_path_buf() });
    }
    if found > newest() {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known: newest() });
    }
    Ok(found)
}

fn tune_writer(db: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(
            mode,
            "the file system of the job store does not allow a write-ahead log; it will be slow"
        );
    }
    db.pragma_update(None, "synchronous", settings.synchronous())?;
    db.pragma_update(None, "wal_autocheckpoint", settings.checkpoint_pages)?;
    db.pragma_update(None, "journal_size_limit", settings.wal_limit_bytes)?;
    db.pragma_update(None, "cache_size", -i64::from(settings.cache_kib))?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(db: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for (sql, number) in MIGRATIONS.iter().zip(1_i64..).skip(done) {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(sql)?;
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", number)?;
        change.commit()?;
    }
    Ok(())
}
