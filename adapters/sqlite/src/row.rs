//! Rows to jobs and back.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use vestibule_core::{
    ask::Usage,
    document::{Document, IdempotencyKey},
    finding::Outcome,
    job::{Checkpoint, Delivery, Hold, Job, JobId, JobState, Remark, Reply, ReplyBody},
};

pub(crate) const QUEUED: i64 = 0;
pub(crate) const LEASED: i64 = 1;
pub(crate) const ANSWERED: i64 = 2;
pub(crate) const DEAD: i64 = 3;
pub(crate) const RETURNED: i64 = 4;

/// Columns of a whole job; [`job`] reads them.
pub(crate) const WHOLE: &str = "SELECT j.id, j.flow, j.key, j.state, j.attempt, j.due, j.accepted, j.changed, \
     j.received, j.media_type, j.charset, j.name, j.cause, d.bytes, \
     r.outcome, r.media_type, r.bytes, r.findings, r.answered_by, \
     r.input_tokens, r.cached_input_tokens, r.output_tokens, r.flow_version, \
     j.review, j.held_by, j.held_until, j.line, j.delivery, j.sent, j.undelivered, \
     s.attributes, s.return_to, b.findings, c.list \
     FROM jobs j JOIN documents d ON d.job = j.seq LEFT JOIN replies r ON r.job = j.seq \
     LEFT JOIN surroundings s ON s.job = j.seq LEFT JOIN burials b ON b.job = j.seq \
     LEFT JOIN decisions c ON c.job = j.seq ";

/// The same columns with empty payloads, which SQLite then does not read from the disk. Needs jobs `j` and what
/// [`BESIDE`] joins.
pub(crate) const WITHOUT_PAYLOADS: &str = "SELECT j.id, j.flow, j.key, j.state, j.attempt, j.due, j.accepted, \
     j.changed, j.received, j.media_type, j.charset, j.name, j.cause, x'', \
     r.outcome, r.media_type, iif(r.media_type IS NULL, NULL, x''), r.findings, r.answered_by, \
     r.input_tokens, r.cached_input_tokens, r.output_tokens, r.flow_version, \
     j.review, j.held_by, j.held_until, j.line, j.delivery, j.sent, j.undelivered, \
     s.attributes, s.return_to, b.findings, c.list ";

/// What stands beside jobs `j` for [`WITHOUT_PAYLOADS`].
pub(crate) const BESIDE: &str = "LEFT JOIN replies r ON r.job = j.seq LEFT JOIN surroundings s ON s.job = j.seq \
     LEFT JOIN burials b ON b.job = j.seq LEFT JOIN decisions c ON c.job = j.seq ";

pub(crate) const DUE: i64 = 1;
pub(crate) const SENDING: i64 = 2;
pub(crate) const DONE: i64 = 3;
pub(crate) const GIVEN_UP: i64 = 4;

/// The time of what is never due.
pub(crate) const NEVER: i64 = i64::MAX;

/// The whole job of this row number.
pub(crate) fn by_seq(db: &Connection, seq: i64) -> rusqlite::Result<Job> {
    cached(db, WHOLE, "WHERE j.seq = ?1")?.query_row([seq], job)
}

/// The whole job of this name.
pub(crate) fn by_id(db: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    cached(db, WHOLE, "WHERE j.id = ?1")?.query_row([id.as_bytes()], job).optional()
}

/// True where one row is damaged, and not the whole store.
pub(crate) fn is_about_row(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    match error {
        E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) => true,
        E::Utf8Error(..) | E::QueryReturnedNoRows => true,
        E::SqliteFailure(failure, _) => failure.code == rusqlite::ErrorCode::DatabaseCorrupt,
        _ => false,
    }
}

fn cached<'a>(db: &'a Connection, columns: &str, condition: &str) -> rusqlite::Result<CachedStatement<'a>> {
    db.prepare_cached(&format!("{columns}{condition}"))
}

/// Reads the columns of [`WHOLE`].
pub(crate) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let key: Option<String> = row.get(2)?;
    let document = Document {
        bytes: Bytes::from(row.get::<_, Vec<u8>>(13)?),
        media_type: text(row, 9)?,
        charset: row.get::<_, Option<String>>(10)?.map(Arc::from),
        name: row.get::<_, Option<String>>(11)?.map(Arc::from),
        received: moment(row, 8)?,
        key: key.as_deref().and_then(IdempotencyKey::new),
        attributes: json(row, 30)?.unwrap_or_default(),
    };
    Ok(Job {
        id: id(row, 0)?,
        flow: text(row, 1)?,
        document,
        state: state(row)?,
        accepted: moment(row, 6)?,
        changed: moment(row, 7)?,
        order: row.get::<_, Option<String>>(26)?.map(Arc::from),
        return_to: json(row, 31)?,
        delivery: delivery(row)?,
        decisions: json(row, 33)?.unwrap_or_default(),
    })
}

fn state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let attempt = || row.get::<_, u32>(4);
    match row.get::<_, i64>(3)? {
        QUEUED if row.get::<_, bool>(23)? => in_review(row),
        QUEUED => Ok(JobState::Queued { attempt: attempt()?, not_before: not_before(row)? }),
        LEASED => Ok(JobState::Leased { attempt: attempt()? }),
        ANSWERED => Ok(JobState::Answered { reply: reply(row)? }),
        DEAD => Ok(JobState::Dead {
            cause: row.get::<_, Option<String>>(12)?.unwrap_or_default(),
            findings: json(row, 32)?.unwrap_or_default(),
        }),
        RETURNED => Ok(JobState::Returned { reply: reply(row)? }),
        _ => Err(unreadable(3, Type::Integer, "not a state of a job")),
    }
}

fn in_review(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let until = if row.get::<_, i64>(5)? == NEVER { None } else { Some(moment(row, 5)?) };
    let hold = match row.get::<_, Option<String>>(24)? {
        Some(by) => Some(Hold { by, until: moment(row, 25)? }),
        None => None,
    };
    Ok(JobState::InReview { reply: reply(row)?, until, hold })
}

/// What a visitor made due at once was due before it was there.
fn not_before(row: &Row<'_>) -> rusqlite::Result<Timestamp> {
    Ok(moment(row, 5)?.max(moment(row, 6)?))
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    match row.get::<_, i64>(27)? {
        0 => Ok(Delivery::Nothing),
        DUE | SENDING => Ok(Delivery::Due { attempt: row.get(28)?, not_before: not_before(row)? }),
        DONE => Ok(Delivery::Done),
        GIVEN_UP => Ok(Delivery::GivenUp { cause: row.get::<_, Option<String>>(29)?.unwrap_or_default() }),
        _ => Err(unreadable(27, Type::Integer, "not a state of a delivery")),
    }
}

/// A value that was stored as JSON.
fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    let read = serde_json::from_str(text);
    read.map(Some)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// A value as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// What is saved of the work on the job of this row number, in the order of its records.
pub(crate) fn checkpoints(db: &Connection, seq: i64) -> rusqlite::Result<Vec<Checkpoint>> {
    db.prepare_cached("SELECT saved FROM checkpoints WHERE job = ?1 ORDER BY record")?
        .query_map([seq], |row| json(row, 0)?.ok_or_else(|| unreadable(0, Type::Null, "not a checkpoint")))?
        .collect()
}

fn reply(row: &Row<'_>) -> rusqlite::Result<Reply> {
    let media_type: Option<String> = row.get(15)?;
    let body = match media_type {
        None => ReplyBody::Refused,
        Some(media_type) => {
            ReplyBody::Written { media_type: media_type.into(), bytes: row.get::<_, Vec<u8>>(16)?.into() }
        }
    };
    let findings: Vec<Remark> = json(row, 17)?.unwrap_or_default();
    let outcome = outcome(row.get(14)?).ok_or_else(|| unreadable(14, Type::Integer, "not an outcome"))?;
    let tokens = |column| row.get::<_, i64>(column).map(|it| u64::try_from(it).unwrap_or_default());
    let usage = Usage { input: tokens(19)?, cached_input: tokens(20)?, output: tokens(21)? };
    let answered_by = row.get::<_, String>(18)?.into();
    Ok(Reply { outcome, body, findings, answered_by, usage, flow_version: row.get(22)? })
}

fn outcome(number: i64) -> Option<Outcome> {
    let all = [Outcome::Pass, Outcome::Note, Outcome::Review, Outcome::Reject];
    all.into_iter().find(|it| outcome_number(*it) == number)
}

/// An outcome as it is stored.
pub(crate) fn outcome_number(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Note => 1,
        Outcome::Review => 2,
        Outcome::Reject => 3,
    }
}

/// A job's name.
pub(crate) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    row.get(column).map(JobId::from_bytes)
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    row.get_ref(column)?.as_str().map(Arc::from).map_err(Into::into)
}

/// A time.
pub(crate) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(column)?;
    Timestamp::from_microsecond(micros).map_err(|_| unreadable(column, Type::Integer, "not a time"))
}

fn unreadable(column: usize, kind: Type, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, what.into())
}
