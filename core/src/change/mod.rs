//! One change of one row of a database, as every database source hands it over: the document of `source.kind: cdc`.
//!
//! A value is kept as text in the spelling that the mapping language reads without a `format`: numbers with their scale,
//! dates and times as ISO 8601, bytes as base64, booleans as `true` and `false`. What a number can not say (`NaN`,
//! `infinity`) stays as it is, and becomes a finding where a mapping reads it as a number.

mod format;
mod json;

pub use self::{
    format::{ChangeFormat, Limits},
    json::{DEEPEST, MOST_CELLS},
};

use jiff::Timestamp;

/// The media type of a change as a document.
pub const MEDIA_TYPE: &str = "application/vnd.vestibule.change+json";

/// What happened to a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What.
    pub op: Op,
    /// The table with its schema, as the catalogue spells both: `public.orders`.
    pub table: Box<str>,
    /// When it was committed, where the database says so.
    pub at: Option<Timestamp>,
    /// Where it stands among all changes: an LSN (`0/16B3748`), a version number, the number of a row of an outbox.
    pub position: Box<str>,
    /// The transaction, where the database says so.
    pub txid: Option<Box<str>>,
    /// Names of the columns that make the row's key; empty where it has none.
    pub key: Vec<Box<str>>,
    /// The row after it; `None`: it is gone, or all rows are.
    pub after: Option<Row>,
    /// The row before it, as far as the database says: all columns, or only those of the key.
    pub before: Option<Row>,
}

/// What can happen to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It is new.
    Insert,
    /// It changed; its key too, where `before` has another one.
    Update,
    /// It is gone.
    Delete,
    /// All rows of the table are gone.
    Truncate,
    /// It is there: a row of a snapshot.
    Snapshot,
}

impl Op {
    /// Every operation with its word.
    pub const WORDS: [(Self, &'static str); 5] = [
        (Self::Insert, "insert"),
        (Self::Update, "update"),
        (Self::Delete, "delete"),
        (Self::Truncate, "truncate"),
        (Self::Snapshot, "snapshot"),
    ];

    /// The word of `meta op`.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }
}

/// Columns of a row in the table's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row(pub Vec<(Box<str>, Cell)>);

impl Row {
    /// The value of this column.
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(it, _)| &**it == name).map(|(_, cell)| cell)
    }
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// It did not change, and the database does not say what it is (TOAST).
    Unchanged,
    /// It could not be read or is longer than a document may be; why, without the value.
    Unreadable(Box<str>),
    /// Anything with one spelling.
    Text(Box<str>),
    /// A JSON value, as the database wrote it.
    Json(Box<str>),
    /// An array; of several dimensions: arrays inside each other.
    List(Vec<Cell>),
}
