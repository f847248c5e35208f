//! What is to be written of a finished job: the columns that `return` wrote, and the row that it is about.

use serde_json::Value;
use vestibule_core::{
    change::{self, Cell, Change, Row},
    job::{JobState, Purpose, ReplyBody},
    ports::Parcel,
};

use super::{
    deliver::{Deliver, Mode},
    refusal::Refusal,
};

/// Longest name of a result in the ledger; a longer one gives way to the ticket.
const LONGEST_MESSAGE: usize = 500;
/// Most columns that PostgreSQL has in a table.
const MOST_COLUMNS: usize = 1_600;

/// A column's name and its value as text; `None`: NULL.
pub(super) type Valued = (String, Option<String>);

/// One result, ready to be written.
#[derive(Debug)]
pub(super) struct Intent {
    pub deliver: Deliver,
    /// Its name in the ledger: the same each time.
    pub message: String,
    /// What is written.
    pub set: Vec<Valued>,
    /// The row's key.
    pub key: Vec<Valued>,
    /// The version that was read.
    pub version: Option<Valued>,
}

/// What this parcel writes.
pub(super) fn intent(parcel: &Parcel) -> Result<Intent, Refusal> {
    if parcel.purpose == Purpose::DeadLetter {
        return Err(Refusal::Nothing("a table takes no dead letters"));
    }
    let deliver = Deliver::of_place(&parcel.place).ok_or(Refusal::Nothing("its place is not one of ours"))?;
    let mut set = written(parcel)?;
    let own = parcel.message_id();
    let name =
        if own.len() <= LONGEST_MESSAGE && !own.contains('\0') { own } else { parcel.job.id.to_string() };
    let message = format!("{} {name}", deliver.flow);
    let (mut key, mut version) = (Vec::new(), None);
    if deliver.mode == Mode::Update {
        let row = is_row(parcel).then(|| Change::from_bytes(&parcel.job.document.bytes)).transpose();
        let row = row.map_err(|_| Refusal::Nothing("its document is no row"))?;
        (key, version) = match &row {
            Some(change) => of_change(&deliver, change)?,
            None => of_written(&deliver, &mut set)?,
        };
    }
    if set.is_empty() && deliver.mode != Mode::Call {
        return Err(Refusal::Nothing("there is no column to write besides the key"));
    }
    Ok(Intent { deliver, message, set, key, version })
}

fn is_row(parcel: &Parcel) -> bool {
    &*parcel.job.document.media_type == change::MEDIA_TYPE
}

fn written(parcel: &Parcel) -> Result<Vec<Valued>, Refusal> {
    let reply = match &parcel.job.state {
        JobState::Answered { reply } | JobState::Returned { reply } | JobState::InReview { reply, .. } => {
            reply
        }
        JobState::Dead { .. } => return Err(Refusal::Nothing("the job was given up")),
        JobState::Queued { .. } | JobState::Leased { .. } => {
            return Err(Refusal::Nothing("the job is not finished"));
        }
    };
    let ReplyBody::Written { bytes, .. } = &reply.body else {
        return Err(Refusal::Nothing(
            "the document was refused, and `return` has no way to say so: see `faults` in docs/write-back.md",
        ));
    };
    let object = match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) if object.len() <= MOST_COLUMNS => object,
        _ => return Err(Refusal::Nothing("`return` wrote no columns: a list or a text is no row")),
    };
    let text = |(name, value): (String, Value)| match value {
        Value::Null => Ok((name, None)),
        Value::String(text) => Ok((name, Some(text))),
        Value::Number(number) => Ok((name, Some(number.to_string()))),
        Value::Bool(it) => Ok((name, Some(it.to_string()))),
        Value::Array(_) | Value::Object(_) => {
            Err(Refusal::Nothing("`return` wrote a list or an object where a column is"))
        }
    };
    object.into_iter().map(text).collect()
}

type Found = (Vec<Valued>, Option<Valued>);

/// The row as it was read says its own key and version; one that changed its key is found by the new one.
fn of_change(deliver: &Deliver, change: &Change) -> Result<Found, Refusal> {
    let rows: Vec<&Row> = change.after.iter().chain(&change.before).collect();
    let cell = |name: &str| rows.iter().find_map(|row| row.get(name));
    let names: Vec<&str> = match deliver.key.is_empty() {
        true => change.key.iter().map(|it| &**it).collect(),
        false => deliver.key.iter().map(String::as_str).collect(),
    };
    if names.is_empty() {
        return Err(Refusal::NoKey);
    }
    let mut key = Vec::with_capacity(names.len());
    for name in names {
        let text = cell(name).and_then(text_of).flatten().ok_or(Refusal::NoKey)?;
        key.push((name.to_owned(), Some(text)));
    }
    let version = match &deliver.version {
        None => None,
        Some(name) => {
            let value = cell(name).and_then(text_of).ok_or(Refusal::NoVersion)?;
            Some((name.clone(), value))
        }
    };
    Ok((key, version))
}

/// The document is no row: what `return` writes to the key's columns finds the row, and is not written.
fn of_written(deliver: &Deliver, set: &mut Vec<Valued>) -> Result<Found, Refusal> {
    let mut take = |name: &str| {
        let at = set.iter().position(|(it, _)| it == name)?;
        Some(set.remove(at))
    };
    let mut key = Vec::with_capacity(deliver.key.len());
    for name in &deliver.key {
        key.push(take(name).filter(|(_, value)| value.is_some()).ok_or(Refusal::NoKey)?);
    }
    if key.is_empty() {
        return Err(Refusal::NoKey);
    }
    let version = match &deliver.version {
        None => None,
        Some(name) => Some(take(name).ok_or(Refusal::NoVersion)?),
    };
    Ok((key, version))
}

/// A value that can be compared; `Some(None)` is NULL.
#[allow(clippy::option_option, reason = "no value, NULL and a text are three things")]
fn text_of(cell: &Cell) -> Option<Option<String>> {
    match cell {
        Cell::Null => Some(None),
        Cell::Text(text) | Cell::Json(text) => Some(Some(text.to_string())),
        Cell::Unchanged | Cell::Unreadable(_) | Cell::List(_) => None,
    }
}
