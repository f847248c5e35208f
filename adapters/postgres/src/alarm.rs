//! What slows a healthy-looking store: snapshots that are held, so that dead rows stay, and dead rows that pile up.
//!
//! Seen: one transaction that was left open made a claim of one job touch 4,311 buffers instead of 73.

use std::time::Duration;

use tokio_postgres::Row;

use crate::{connection::Session, error::Trouble};

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[HELD, HELD_BY_OTHERS, DEAD_ROWS, SEES_OTHERS];

/// Sessions, prepared transactions, slots and standbys that hold back vacuum, with their age in seconds.
const HELD: &str = "
    SELECT 'session ' || pid || ' of role ' || coalesce(usename, '?') || ' (' || left(coalesce(application_name, ''), 40)
        || ', ' || coalesce(state, '?') || ') has a transaction open' AS what,
        extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
    UNION ALL
    SELECT 'the prepared transaction ' || left(gid, 40) || ' is neither committed nor rolled back',
        extract(epoch FROM clock_timestamp() - prepared)::float8
    FROM pg_prepared_xacts WHERE database = current_database()";
const HELD_BY_OTHERS: &str = "
    SELECT 'the replication slot ' || left(slot_name, 40) || ' holds back vacuum and nobody reads it' AS what,
        age(coalesce(xmin, catalog_xmin))::bigint AS old, false AS wal
    FROM pg_replication_slots WHERE NOT active AND coalesce(xmin, catalog_xmin) IS NOT NULL
    UNION ALL
    SELECT 'the replication slot ' || left(slot_name, 40) || ' keeps write-ahead log that nobody reads',
        pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, true
    FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL
    UNION ALL
    SELECT 'the standby ' || left(coalesce(application_name, '?'), 40) || ' holds back vacuum by its feedback',
        age(backend_xmin)::bigint, false
    FROM pg_stat_replication WHERE backend_xmin IS NOT NULL";
const DEAD_ROWS: &str = "
    SELECT n_dead_tup AS dead, n_live_tup AS live FROM pg_stat_user_tables
    WHERE schemaname = $1 AND relname = 'jobs'";
const SEES_OTHERS: &str = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') OR rolsuper
    FROM pg_roles WHERE rolname = current_user";

/// Transactions that a slot or a standby may be behind.
const BEHIND: i64 = 1_000_000;
/// Bytes of log that a slot may keep: 4 GiB.
const KEPT: i64 = 4 << 30;

/// One line for each thing that an operator should know.
pub(crate) async fn warnings(
    session: &Session,
    schema: &str,
    held: Duration,
) -> Result<Vec<String>, Trouble> {
    let mut warnings = Vec::new();
    for row in session.query(HELD, &[]).await? {
        let age: Option<f64> = row.try_get("age")?;
        if let Some(age) = age.filter(|it| *it >= held.as_secs_f64()) {
            warnings.push(format!(
                "{} for {age:.0} s: finished jobs slow down claims until it ends",
                what(&row)?
            ));
        }
    }
    for row in session.query(HELD_BY_OTHERS, &[]).await? {
        let (old, wal): (Option<i64>, bool) = (row.try_get("old")?, row.try_get("wal")?);
        match old {
            Some(bytes) if wal && bytes > KEPT => {
                warnings.push(format!("{}: {} MiB", what(&row)?, bytes >> 20))
            }
            Some(old) if !wal && old > BEHIND => {
                warnings.push(format!("{}: {old} transactions behind", what(&row)?));
            }
            _ => {}
        }
    }
    for row in session.query(DEAD_ROWS, &[&schema]).await? {
        let (dead, live): (i64, i64) = (row.try_get("dead")?, row.try_get("live")?);
        // Well past the point at which the table's own settings ask for a vacuum.
        if dead > 20_000 + live / 20 {
            warnings.push(format!(
                "the table jobs has {dead} dead rows beside {live}: vacuum does not keep up, or something holds it back"
            ));
        }
    }
    let sees = session.query_opt(SEES_OTHERS, &[]).await?;
    if !sees.map(|row| row.try_get::<_, Option<bool>>(0)).transpose()?.flatten().unwrap_or(false) {
        warnings.push(
            "snapshots that other roles hold are not seen: grant pg_read_all_stats to the role of the store"
                .into(),
        );
    }
    Ok(warnings)
}

fn what(row: &Row) -> Result<String, Trouble> {
    let text: &str = row.try_get("what")?;
    // Names are other people's text, and this goes to a log.
    Ok(text.chars().map(|it| if it.is_control() { '?' } else { it }).collect())
}
