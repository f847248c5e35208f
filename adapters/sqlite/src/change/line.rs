//! Lines: jobs of one flow and order, of which only the first is worked on.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Moment;

/// The line that a job stands in.
pub(crate) struct Line {
    flow: String,
    order: String,
}

/// The condition of the index, word by word: without it SQLite does not see that the index holds what is asked for.
macro_rules! in_line {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM jobs INDEXED BY jobs_in_line \
             WHERE line IS NOT NULL AND (state < 2 OR delivery IN (1, 2)) AND flow = ?1 AND line = ?2 ",
            $rest
        )
    };
}

/// The first of a line.
pub(crate) const FIRST: &str = in_line!("seq, behind", "ORDER BY seq LIMIT 1");
/// Whom a job that starts again has to wait for.
const BEFORE: &str = in_line!("1", "AND seq <> ?3 AND (seq < ?3 OR state = 1 OR delivery IN (1, 2)) LIMIT 1");
/// Those that do not wait, but for one.
const AHEAD: &str = in_line!("seq", "AND behind = 0 AND seq <> ?3");

impl Line {
    /// The columns `flow` and `line` from this one on; `None`: the job has no order.
    pub(crate) fn of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Self>> {
        let Some(order) = row.get(column + 1)? else { return Ok(None) };
        Ok(Some(Self { flow: row.get(column)?, order }))
    }

    /// True while somebody stands in this line.
    pub(crate) fn is_taken(db: &Connection, flow: &str, order: &str) -> rusqlite::Result<bool> {
        db.prepare_cached(FIRST)?.exists([flow, order])
    }

    /// After somebody may have left the line: the first goes.
    pub(crate) fn advance(&self, db: &Connection, at: Moment<'_>) -> rusqlite::Result<()> {
        let first: Option<(i64, bool)> = db
            .prepare_cached(FIRST)?
            .query_row([&self.flow, &self.order], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((seq, true)) = first {
            db.prepare_cached("UPDATE jobs SET behind = 0 WHERE seq = ?1")?.execute([seq])?;
            at.tell();
        }
        Ok(())
    }

    /// A job that left the line stands in it again, where it stood before. What is under way is finished first.
    pub(crate) fn rejoin(&self, db: &Connection, seq: i64) -> rusqlite::Result<()> {
        let place = params![self.flow, self.order, seq];
        let waits = db.prepare_cached(BEFORE)?.exists(place)?;
        db.prepare_cached("UPDATE jobs SET behind = ?2 WHERE seq = ?1")?.execute(params![seq, waits])?;
        if !waits {
            let ahead: Vec<i64> = db
                .prepare_cached(AHEAD)?
                .query_map(place, |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for other in ahead {
                db.prepare_cached("UPDATE jobs SET behind = 1 WHERE seq = ?1")?.execute([other])?;
            }
        }
        Ok(())
    }
}
