//! The tables and their versions.

use crate::{
    connection::{Session, written},
    error::{StoreError, Trouble},
};

/// One entry a version, in order. An entry that was released is never changed.
const MIGRATIONS: &[&str] = &[include_str!("0001-jobs.sql"), include_str!("0002-positions.sql")];

/// `CREATE SCHEMA IF NOT EXISTS` asks for a right that is not needed where the schema is there.
const VERSIONS: &str = "DO $$ BEGIN
    IF to_regnamespace('{s}') IS NULL THEN CREATE SCHEMA {s}; END IF;
END $$;
CREATE TABLE IF NOT EXISTS {s}.versions (
    number integer PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL DEFAULT session_user
);
";

/// Any number of processes may start at once: the second waits here and finds the work done. The number is "VSTB".
const LOCK: &str = "SELECT pg_advisory_xact_lock(1448301634, hashtext('{s}'));
";

const GRANTS: &str = "
-- A role that only works with the store, and can not change its tables (its name is an example):
--   GRANT USAGE ON SCHEMA {s} TO vestibule_app;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {s} TO vestibule_app;
--   GRANT pg_read_all_stats TO vestibule_app;   -- to warn of snapshots that other roles hold
-- Identity columns need no grant on their sequences.
";

/// The newest version of this program.
pub(crate) fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Everything that makes a store, or brings an older one to this version, for a person who lets no program change tables.
pub(crate) fn script(schema: &str) -> String {
    let mut script = format!("BEGIN;\n{LOCK}{VERSIONS}");
    for (sql, number) in MIGRATIONS.iter().zip(1..) {
        script.push_str(&step_where_missing(sql, number));
    }
    script.push_str("COMMIT;\n");
    script.push_str(GRANTS);
    written(&script, schema)
}

fn step(sql: &str, number: i32) -> String {
    format!("{sql}INSERT INTO {{s}}.versions (number) VALUES ({number});\n")
}

fn step_where_missing(sql: &str, number: i32) -> String {
    let missing = format!("NOT EXISTS (SELECT FROM {{s}}.versions WHERE number = {number})");
    format!("DO $step$ BEGIN IF {missing} THEN\n{}END IF; END $step$;\n", step(sql, number))
}

/// Why the tables are not as this program needs them.
pub(crate) enum Unfit {
    /// They are newer.
    Newer(StoreError),
    /// They could not be read or changed.
    Trouble(Trouble),
}

impl From<Trouble> for Unfit {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Brings the tables to the newest version. A role that may not change them needs them to be there.
pub(crate) async fn migrate(session: &Session) -> Result<(), Unfit> {
    let mut found = version(session).await?;
    if found < newest() {
        found = change(session).await?;
    }
    if found > newest() {
        return Err(Unfit::Newer(StoreError::Newer { found, known: newest() }));
    }
    Ok(())
}

/// 0 where there is no store.
async fn version(session: &Session) -> Result<i32, Trouble> {
    let versions = session.text("{s}.versions");
    let there = session.client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&versions]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let sql = session.text("SELECT coalesce(max(number), 0) FROM {s}.versions");
    Ok(session.client.query_one(&sql, &[]).await?.try_get(0)?)
}

async fn change(session: &Session) -> Result<i32, Trouble> {
    let begun = session.text(&format!("BEGIN;\n{LOCK}{VERSIONS}"));
    session.client.batch_execute(&begun).await?;
    // Another process may have been here while this one waited for the lock.
    let found = version(session).await?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    for (sql, number) in MIGRATIONS.iter().zip(1..).skip(done) {
        session.client.batch_execute(&session.text(&step(sql, number))).await?;
        tracing::info!(version = number, "the tables of the job store were changed");
    }
    session.client.batch_execute("COMMIT").await?;
    Ok(found.max(newest()))
}
