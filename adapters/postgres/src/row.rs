//! Rows to jobs and back.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, types::Json};
use vestibule_core::{
    ask::Usage,
    document::{Attribute, Document, IdempotencyKey},
    finding::Outcome,
    job::{
        Checkpoint, Decision, Delivery, Hold, Job, JobId, JobState, Remark, Reply, ReplyBody, ReturnAddress,
    },
};

use crate::{connection::Session, error::Trouble};

pub(crate) const QUEUED: i16 = 0;
pub(crate) const LEASED: i16 = 1;
pub(crate) const IN_REVIEW: i16 = 2;
pub(crate) const ANSWERED: i16 = 3;
pub(crate) const RETURNED: i16 = 4;
pub(crate) const DEAD: i16 = 5;

pub(crate) const NOTHING: i16 = 0;
pub(crate) const DUE: i16 = 1;
pub(crate) const DELIVERING: i16 = 2;
pub(crate) const DELIVERED: i16 = 3;
pub(crate) const GIVEN_UP: i16 = 4;

macro_rules! whole {
    ($document:literal, $reply:literal, $($rest:literal),+) => {
        concat!(
            "SELECT j.seq, j.id, j.flow, j.key, j.state, j.attempt, j.due, j.accepted, j.changed, j.ordered_by, \
             j.delivery, j.deliveries, j.held_by, j.held_until, d.received, d.facts AS document, d.return_to, ",
            $document,
            " AS document_bytes, r.outcome, r.facts AS reply, ",
            $reply,
            " AS reply_bytes, e.cause, e.findings, e.undeliverable, \
             (SELECT json_agg(x.decision ORDER BY x.number) FROM {s}.decisions x WHERE x.job = j.seq) AS decisions \
             FROM {s}.jobs j JOIN {s}.documents d ON d.job = j.seq \
             LEFT JOIN {s}.replies r ON r.job = j.seq LEFT JOIN {s}.ends e ON e.job = j.seq ",
            $($rest),+
        )
    };
}

pub(crate) const WHOLE_BY_SEQ: &str = whole!("d.bytes", "r.bytes", "WHERE j.seq = ANY ($1::bigint[])");
pub(crate) const WHOLE_BY_ID: &str = whole!("d.bytes", "r.bytes", "WHERE j.id = $1");
macro_rules! list {
    ($state:literal) => {
        whole!(
            "''::bytea",
            "CASE WHEN r.bytes IS NOT NULL THEN ''::bytea END",
            $state,
            " AND ($1::text IS NULL OR j.flow = $1) \
             AND ($2::timestamptz IS NULL OR j.accepted < $2) AND ($3::timestamptz IS NULL OR j.accepted >= $3) \
             AND ($4::text IS NULL \
                 OR (j.state = 5 AND position($4 IN lower(e.cause COLLATE \"C\")) > 0) \
                 OR (j.delivery = 4 AND position($4 IN lower(e.undeliverable COLLATE \"C\")) > 0)) \
             ORDER BY j.seq DESC LIMIT $5"
        )
    };
}

/// Newest first, without payloads, which are then not read from the disk. A condition that is null is none.
pub(crate) const LIST: &str = list!("WHERE true");
/// The same for each state by its number: written out, so that the planner sees which partial index holds it.
pub(crate) const LISTS: [&str; 6] = [
    list!("WHERE j.state <= 2 AND j.state = 0"),
    list!("WHERE j.state <= 2 AND j.state = 1"),
    list!("WHERE j.state <= 2 AND j.state = 2"),
    list!("WHERE j.state = 3"),
    list!("WHERE j.state = 4"),
    list!("WHERE j.state = 5"),
];
pub(crate) const CHECKPOINTS_BY_SEQ: &str =
    "SELECT job, saved FROM {s}.checkpoints WHERE job = ANY ($1::bigint[]) ORDER BY job, record";
pub(crate) const CHECKPOINTS_BY_ID: &str = "SELECT c.saved FROM {s}.checkpoints c JOIN {s}.jobs j ON j.seq = c.job WHERE j.id = $1 ORDER BY c.record";
pub(crate) const STANDS: &str = "SELECT token, state, delivery FROM {s}.jobs WHERE id = $1";

/// What is known of a document besides its bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Facts<'a> {
    media_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    attributes: Cow<'a, [Attribute]>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(document: &'a Document) -> Self {
        Self {
            media_type: Cow::Borrowed(&document.media_type),
            charset: document.charset.as_deref().map(Cow::Borrowed),
            name: document.name.as_deref().map(Cow::Borrowed),
            attributes: Cow::Borrowed(&document.attributes),
        }
    }
}

/// What a driver may print of a parameter: nothing.
impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for ReplyFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is known of a reply besides its outcome and its bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReplyFacts<'a> {
    /// Of what was written; absent in a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<Cow<'a, str>>,
    findings: Cow<'a, [Remark]>,
    answered_by: Cow<'a, str>,
    usage: Usage,
    flow_version: u32,
}

impl<'a> ReplyFacts<'a> {
    pub(crate) fn of(reply: &'a Reply) -> Self {
        let media_type = match &reply.body {
            ReplyBody::Written { media_type, .. } => Some(Cow::Borrowed(&**media_type)),
            ReplyBody::Refused => None,
        };
        Self {
            media_type,
            findings: Cow::Borrowed(&reply.findings),
            answered_by: Cow::Borrowed(&reply.answered_by),
            usage: reply.usage,
            flow_version: reply.flow_version,
        }
    }
}

/// Text as a column of text takes it: no zero character.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A time as a column of times holds it: microseconds, as every store keeps.
pub(crate) fn stored_time(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// The whole jobs of these row numbers that are there, in no order. One that can not be read is an error of its own.
pub(crate) async fn by_seqs(
    session: &Session,
    seqs: &[i64],
) -> Result<Vec<(i64, Result<Job, Trouble>)>, Trouble> {
    let rows = session.query(WHOLE_BY_SEQ, &[&seqs]).await?;
    rows.iter().map(|row| Ok((row.try_get("seq")?, job(row)))).collect()
}

/// Reads the columns of a whole job.
pub(crate) fn job(row: &Row) -> Result<Job, Trouble> {
    let Json(facts) = row.try_get::<_, Json<Facts<'static>>>("document")?;
    let key: Option<&str> = row.try_get("key")?;
    let bytes: &[u8] = row.try_get("document_bytes")?;
    let document = Document {
        bytes: Bytes::copy_from_slice(bytes),
        media_type: facts.media_type.into(),
        charset: facts.charset.map(Arc::from),
        name: facts.name.map(Arc::from),
        received: row.try_get("received")?,
        key: key.and_then(IdempotencyKey::new),
        attributes: facts.attributes.into_owned(),
    };
    let decisions: Option<Json<Vec<Decision>>> = row.try_get("decisions")?;
    let return_to: Option<Json<ReturnAddress>> = row.try_get("return_to")?;
    Ok(Job {
        id: JobId(row.try_get("id")?),
        flow: row.try_get::<_, &str>("flow")?.into(),
        document,
        state: state(row)?,
        accepted: row.try_get("accepted")?,
        changed: row.try_get("changed")?,
        order: row.try_get::<_, Option<&str>>("ordered_by")?.map(Arc::from),
        return_to: return_to.map(|it| it.0),
        delivery: delivery(row)?,
        decisions: decisions.map(|it| it.0).unwrap_or_default(),
    })
}

fn state(row: &Row) -> Result<JobState, Trouble> {
    match row.try_get::<_, i16>("state")? {
        QUEUED => Ok(JobState::Queued { attempt: count(row, "attempt")?, not_before: due(row)? }),
        LEASED => Ok(JobState::Leased { attempt: count(row, "attempt")? }),
        IN_REVIEW => {
            let until = row.try_get("due")?;
            Ok(JobState::InReview { reply: reply(row)?, until, hold: hold(row)? })
        }
        ANSWERED => Ok(JobState::Answered { reply: reply(row)? }),
        RETURNED => Ok(JobState::Returned { reply: reply(row)? }),
        DEAD => {
            let findings: Option<Json<Vec<Remark>>> = row.try_get("findings")?;
            let cause: Option<String> = row.try_get("cause")?;
            Ok(JobState::Dead {
                cause: cause.unwrap_or_default(),
                findings: findings.map(|it| it.0).unwrap_or_default(),
            })
        }
        other => Err(Trouble::Value(format!("{other} is not a state of a job"))),
    }
}

fn delivery(row: &Row) -> Result<Delivery, Trouble> {
    match row.try_get::<_, i16>("delivery")? {
        NOTHING => Ok(Delivery::Nothing),
        DUE | DELIVERING => Ok(Delivery::Due { attempt: count(row, "deliveries")?, not_before: due(row)? }),
        DELIVERED => Ok(Delivery::Done),
        GIVEN_UP => {
            let cause: Option<String> = row.try_get("undeliverable")?;
            Ok(Delivery::GivenUp { cause: cause.unwrap_or_default() })
        }
        other => Err(Trouble::Value(format!("{other} is not a state of a delivery"))),
    }
}

fn count(row: &Row, column: &str) -> Result<u32, Trouble> {
    Ok(u32::try_from(row.try_get::<_, i32>(column)?).unwrap_or_default())
}

fn due(row: &Row) -> Result<Timestamp, Trouble> {
    Ok(row.try_get::<_, Option<Timestamp>>("due")?.unwrap_or(Timestamp::MAX))
}

fn hold(row: &Row) -> Result<Option<Hold>, Trouble> {
    let by: Option<String> = row.try_get("held_by")?;
    let until: Option<Timestamp> = row.try_get("held_until")?;
    Ok(by.zip(until).map(|(by, until)| Hold { by, until }))
}

fn reply(row: &Row) -> Result<Reply, Trouble> {
    let Json(facts) = row.try_get::<_, Json<ReplyFacts<'static>>>("reply")?;
    let bytes: Option<&[u8]> = row.try_get("reply_bytes")?;
    let body = match (facts.media_type, bytes) {
        (Some(media_type), Some(bytes)) => {
            ReplyBody::Written { media_type: media_type.into(), bytes: Bytes::copy_from_slice(bytes) }
        }
        (None, None) => ReplyBody::Refused,
        _ => return Err(Trouble::Value("a reply has a type or bytes, not both".into())),
    };
    let number: i16 = row.try_get("outcome")?;
    let outcome = outcome(number).ok_or_else(|| Trouble::Value(format!("{number} is not an outcome")))?;
    Ok(Reply {
        outcome,
        body,
        findings: facts.findings.into_owned(),
        answered_by: facts.answered_by.into(),
        usage: facts.usage,
        flow_version: facts.flow_version,
    })
}

fn outcome(number: i16) -> Option<Outcome> {
    let all = [Outcome::Pass, Outcome::Note, Outcome::Review, Outcome::Reject];
    all.into_iter().find(|it| outcome_number(*it) == number)
}

/// An outcome as it is stored.
pub(crate) fn outcome_number(outcome: Outcome) -> i16 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Note => 1,
        Outcome::Review => 2,
        Outcome::Reject => 3,
    }
}

/// The list of the jobs in the state of this word; `None`: there is no such state.
pub(crate) fn list_of(word: &str) -> Option<&'static str> {
    LISTS.get(JobState::WORDS.iter().position(|it| *it == word)?).copied()
}

/// Reads what was saved of a job's work.
pub(crate) fn checkpoint(row: &Row) -> Result<Checkpoint, Trouble> {
    Ok(row.try_get::<_, Json<Checkpoint>>("saved")?.0)
}
