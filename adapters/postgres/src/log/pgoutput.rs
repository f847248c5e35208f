//! Messages of the output plugin `pgoutput`, protocol 1, read in place.
//!
//! See "Logical Replication Message Formats" in PostgreSQL's documentation. Nothing is copied: a message lives as long as
//! the buffer that it was received into.

use jiff::Timestamp;

use super::bytes::Reader;

/// Seconds from 1970 to 2000, where PostgreSQL's clock begins.
const EPOCH: i64 = 946_684_800;
/// The most columns that a table can have.
const MOST_COLUMNS: u16 = 1_664;
/// Ours, in place of a value that was too long to be kept: its length was there, its bytes were dropped as they came.
pub(super) const TOO_LONG: u8 = b'x';

/// One message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Message<'a> {
    Begin {
        commit: u64,
        at: Option<Timestamp>,
        xid: u32,
    },
    Commit {
        end: u64,
    },
    Relation(Relation<'a>),
    Insert {
        relation: u32,
        after: Tuple<'a>,
    },
    Update {
        relation: u32,
        before: Option<Old<'a>>,
        after: Tuple<'a>,
    },
    Delete {
        relation: u32,
        before: Old<'a>,
    },
    Truncate {
        relations: Relations<'a>,
    },
    Emitted {
        prefix: &'a str,
        content: &'a [u8],
    },
    /// A type's name, or where a change came from first: nothing that a row needs.
    Aside,
}

/// A table as it was when the changes after it were made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Relation<'a> {
    pub(super) oid: u32,
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    columns: &'a [u8],
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column<'a> {
    pub(super) is_key: bool,
    pub(super) name: &'a str,
    pub(super) kind: u32,
}

/// The tables of a TRUNCATE.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Relations<'a>(&'a [u8]);

/// A row as it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Old<'a> {
    /// Only the columns of the replica identity say something; the others are null whatever they were.
    Key(Tuple<'a>),
    /// All of it.
    Whole(Tuple<'a>),
}

/// Values in the order of the relation's columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tuple<'a>(&'a [u8]);

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datum<'a> {
    Null,
    /// Stored apart, and not changed by this update.
    Unchanged,
    Text(&'a [u8]),
    /// It was longer than what is kept.
    TooLong,
}

/// Reads one message. `None`: it is none that this protocol has, or breaks off.
pub(super) fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let mut from = Reader::new(bytes);
    let message = match from.u8()? {
        b'B' => Message::Begin { commit: from.u64()?, at: instant(from.i64()?), xid: from.u32()? },
        b'C' => {
            from.take(9)?;
            let end = from.u64()?;
            from.take(8)?;
            Message::Commit { end }
        }
        b'R' => Message::Relation(relation(&mut from)?),
        b'I' => {
            let relation = from.u32()?;
            marked(&mut from, b'N')?;
            Message::Insert { relation, after: tuple(&mut from)? }
        }
        b'U' => update(&mut from)?,
        b'D' => {
            let relation = from.u32()?;
            let mark = from.u8()?;
            Message::Delete { relation, before: old(mark, &mut from)? }
        }
        b'T' => {
            let count = from.length()?;
            from.u8()?;
            let relations = from.take(count.checked_mul(4)?)?;
            Message::Truncate { relations: Relations(relations) }
        }
        b'M' => {
            from.take(9)?;
            let prefix = from.text()?;
            let length = from.length()?;
            Message::Emitted { prefix, content: from.take(length)? }
        }
        b'Y' | b'O' => return Some(Message::Aside),
        _ => return None,
    };
    from.is_empty().then_some(message)
}

fn update<'a>(from: &mut Reader<'a>) -> Option<Message<'a>> {
    let relation = from.u32()?;
    let mark = from.u8()?;
    let before = match mark {
        b'N' => None,
        _ => {
            let before = old(mark, from)?;
            marked(from, b'N')?;
            Some(before)
        }
    };
    Some(Message::Update { relation, before, after: tuple(from)? })
}

fn old<'a>(mark: u8, from: &mut Reader<'a>) -> Option<Old<'a>> {
    match mark {
        b'K' => Some(Old::Key(tuple(from)?)),
        b'O' => Some(Old::Whole(tuple(from)?)),
        _ => None,
    }
}

fn marked(from: &mut Reader<'_>, mark: u8) -> Option<()> {
    (from.u8()? == mark).then_some(())
}

fn relation<'a>(from: &mut Reader<'a>) -> Option<Relation<'a>> {
    let (oid, schema, name) = (from.u32()?, from.text()?, from.text()?);
    from.u8()?;
    let columns = from.rest();
    let count = from.u16().filter(|it| *it <= MOST_COLUMNS)?;
    for _ in 0..count {
        column(from)?;
    }
    let length = columns.len().checked_sub(from.rest().len())?;
    // Types of the catalogue itself come without their schema.
    let schema = if schema.is_empty() { "pg_catalog" } else { schema };
    Some(Relation { oid, schema, name, columns: columns.get(2..length)? })
}

fn column<'a>(from: &mut Reader<'a>) -> Option<Column<'a>> {
    let flags = from.u8()?;
    let (name, kind) = (from.text()?, from.u32()?);
    from.u32()?;
    Some(Column { is_key: flags & 1 == 1, name, kind })
}

fn tuple<'a>(from: &mut Reader<'a>) -> Option<Tuple<'a>> {
    let start = from.rest();
    let count = from.u16().filter(|it| *it <= MOST_COLUMNS)?;
    for _ in 0..count {
        datum(from)?;
    }
    let length = start.len().checked_sub(from.rest().len())?;
    Some(Tuple(start.get(2..length)?))
}

fn datum<'a>(from: &mut Reader<'a>) -> Option<Datum<'a>> {
    Some(match from.u8()? {
        b'n' => Datum::Null,
        b'u' => Datum::Unchanged,
        b't' => {
            let length = from.length()?;
            Datum::Text(from.take(length)?)
        }
        TOO_LONG => Datum::TooLong,
        // Binary values are never asked for.
        _ => return None,
    })
}

/// Microseconds since 2000; `None` outside of what a time stamp can be.
fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros.checked_add(EPOCH.checked_mul(1_000_000)?)?).ok()
}

impl<'a> Relation<'a> {
    /// Its columns in their order.
    pub(super) fn columns(self) -> impl Iterator<Item = Column<'a>> {
        let mut from = Reader::new(self.columns);
        std::iter::from_fn(move || column(&mut from))
    }
}

impl<'a> Tuple<'a> {
    /// Its values in their order.
    pub(super) fn values(self) -> impl Iterator<Item = Datum<'a>> {
        let mut from = Reader::new(self.0);
        std::iter::from_fn(move || datum(&mut from))
    }
}

impl Relations<'_> {
    pub(super) fn contains(self, oid: u32) -> bool {
        let mut from = Reader::new(self.0);
        std::iter::from_fn(move || from.u32()).any(|it| it == oid)
    }
}

impl<'a> Old<'a> {
    pub(super) fn tuple(self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Whole(tuple) => tuple,
        }
    }
}

/// For the fuzzer: reads a message and all that is in it.
pub fn probe(bytes: &[u8]) -> Option<usize> {
    Some(match read(bytes)? {
        Message::Relation(it) => it.columns().count(),
        Message::Insert { after, .. } => after.values().count(),
        Message::Update { before, after, .. } => {
            before.map_or(0, |it| it.tuple().values().count()) + after.values().count()
        }
        Message::Delete { before, .. } => before.tuple().values().count(),
        Message::Truncate { relations } => usize::from(relations.contains(0)),
        _ => 0,
    })
}
