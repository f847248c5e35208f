//! From messages of the plugin to changes: which of them are events of the flow, and by which name each is known.
//!
//! Nothing here waits. What needs an answer of the database first is said by [`Step::Needs`]; the same message is given
//! again when the answer is there.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use vestibule_core::change::{Cell, Change, Op, Row};

use super::{
    pgoutput::{Message, Old, Relation, Tuple},
    position::Lsn,
    shape::{Fit, Known, Shape, fit},
};
use crate::{
    cell::Kind,
    database::{Receive, Unchanged},
};

/// The logical message by which a transaction says that it is a write-back of ours.
pub(super) const WRITEBACK: &str = "vestibule.writeback";
/// The logical message that stands before and after a reading of rows.
pub(super) const WATERMARK: &str = "vestibule.watermark";
/// Transactions that are remembered, to know whether a reading could have missed one.
const RECENT: usize = 8_192;

/// What the stream's messages are read with.
pub(super) struct Decoder {
    receive: std::sync::Arc<Receive>,
    table: Box<str>,
    shape: Option<Shape>,
    /// Columns as they were when they were seen last, also in an earlier life.
    pub(super) known: Known,
    /// What types are; grows by what the catalogue answered.
    kinds: HashMap<u32, Kind>,
    transaction: Option<Transaction>,
    /// Numbers of the last transactions that had events.
    recent: VecDeque<u32>,
    /// The answer to [`Need::Row`].
    row: Option<Option<Row>>,
    /// The key by which a reading wants to know which rows change; empty: nobody does.
    pub(super) watched: Vec<Box<str>>,
}

struct Transaction {
    commit: Lsn,
    at: Option<Timestamp>,
    xid: u32,
    /// Events of it so far.
    ordinal: u64,
    /// It is a write-back of ours: nothing of it is an event.
    is_ours: bool,
}

/// A change with the name of its event inside its server.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) commit: Lsn,
    pub(super) ordinal: u64,
    pub(super) change: Change,
    /// Which rows are concerned, where a reading wants to know.
    pub(super) touched: Touched,
}

/// Rows that a change is about, by the key that a reading has them by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// These.
    Keys(Vec<Vec<String>>),
    /// All of the table, or nobody asked.
    All,
    /// The log does not say.
    Unsaid,
}

/// What became of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Nothing,
    Event(Box<Event>),
    /// A transaction is over: all before this place was read.
    Committed(Lsn),
    /// A watermark of some reading, by its name.
    Watermark(String),
    Needs(Need),
}

/// What the database must answer first.
#[derive(Debug, PartialEq)]
pub(super) enum Need {
    /// What these types are.
    Kinds(Vec<u32>),
    /// The row with these values in its key, as it is now.
    Row(Vec<(Box<str>, String)>),
}

/// Why the stream can not be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("the stream is not what PostgreSQL writes")]
    Broken,
    #[error("the table {table} changed: {what}")]
    Changed { table: Box<str>, what: String },
}

impl Decoder {
    pub(super) fn new(receive: std::sync::Arc<Receive>, known: Known) -> Self {
        Self {
            table: receive.table.to_string().into(),
            receive,
            shape: None,
            known,
            kinds: HashMap::new(),
            transaction: None,
            recent: VecDeque::new(),
            row: None,
            watched: Vec::new(),
        }
    }

    /// True between a Begin and its Commit.
    pub(super) fn is_inside(&self) -> bool {
        self.transaction.is_some()
    }

    pub(super) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// The answer to [`Need::Kinds`].
    pub(super) fn learn(&mut self, kinds: HashMap<u32, Kind>) {
        self.kinds.extend(kinds);
    }

    /// The answer to [`Need::Row`]; `None`: it is not there.
    pub(super) fn found(&mut self, row: Option<Row>) {
        self.row = Some(row);
    }

    /// True where one of the last transactions with events is not visible to a snapshot: `xmin:xmax:xip,…` of
    /// `pg_current_snapshot()`.
    pub(super) fn has_unseen_by(&self, snapshot: &str) -> bool {
        let mut parts = snapshot.split(':');
        // Numbers of transactions in the log have lost their epoch.
        let number = |it: &str| it.parse::<u64>().ok().and_then(|it| u32::try_from(it & 0xFFFF_FFFF).ok());
        let (Some(_), Some(xmax)) = (parts.next(), parts.next().and_then(number)) else { return true };
        let running: Vec<u32> = parts.next().unwrap_or_default().split(',').filter_map(number).collect();
        let is_after = |it: u32| it.wrapping_sub(xmax) < 1 << 31;
        self.recent.iter().any(|it| is_after(*it) || running.contains(it))
    }

    /// Reads one message.
    pub(super) fn step(&mut self, message: Message<'_>) -> Result<Step, Stop> {
        match message {
            Message::Begin { commit, at, xid } => {
                self.transaction =
                    Some(Transaction { commit: Lsn(commit), at, xid, ordinal: 0, is_ours: false });
                Ok(Step::Nothing)
            }
            Message::Commit { end } => {
                if let Some(over) = self.transaction.take().filter(|it| it.ordinal > 0) {
                    if self.recent.len() >= RECENT {
                        self.recent.pop_front();
                    }
                    self.recent.push_back(over.xid);
                }
                Ok(Step::Committed(Lsn(end)))
            }
            Message::Emitted { prefix: WRITEBACK, .. } => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.is_ours = true;
                }
                Ok(Step::Nothing)
            }
            Message::Emitted { prefix: WATERMARK, content } => {
                Ok(Step::Watermark(String::from_utf8_lossy(content).into_owned()))
            }
            Message::Emitted { .. } | Message::Aside => Ok(Step::Nothing),
            Message::Relation(relation) => self.relation(relation),
            Message::Truncate { relations } => {
                let is_ours = self.shape.as_ref().is_some_and(|it| relations.contains(it.oid));
                if is_ours { self.event(Op::Truncate, None, None, Touched::All) } else { Ok(Step::Nothing) }
            }
            Message::Insert { relation, after } => self.change(relation, Op::Insert, None, Some(after)),
            Message::Update { relation, before, after } => {
                self.change(relation, Op::Update, before, Some(after))
            }
            Message::Delete { relation, before } => self.change(relation, Op::Delete, Some(before), None),
        }
    }

    fn relation(&mut self, relation: Relation<'_>) -> Result<Step, Stop> {
        let wanted = &self.receive.table;
        if relation.schema != wanted.schema || relation.name != wanted.name {
            return Ok(Step::Nothing);
        }
        let unknown: Vec<u32> =
            relation.columns().map(|it| it.kind).filter(|it| !self.kinds.contains_key(it)).collect();
        if !unknown.is_empty() {
            return Ok(Step::Needs(Need::Kinds(unknown)));
        }
        match fit(relation, &self.receive, &self.known) {
            Fit::Same(known) => self.known = known,
            Fit::Changed(what) => return Err(Stop::Changed { table: self.table.clone(), what }),
        }
        self.shape = Some(Shape::new(relation, &self.receive, &self.kinds));
        Ok(Step::Nothing)
    }

    fn change(
        &mut self,
        relation: u32,
        op: Op,
        before: Option<Old<'_>>,
        after: Option<Tuple<'_>>,
    ) -> Result<Step, Stop> {
        let Some(shape) = self.shape.as_ref().filter(|it| it.oid == relation) else {
            return Ok(Step::Nothing);
        };
        let Some(transaction) = &self.transaction else { return Err(Stop::Broken) };
        if transaction.is_ours {
            return Ok(Step::Nothing);
        }
        let old = before.map(|it| shape.before(it));
        let mut new = after.map(|it| shape.after(it));
        if let Some(row) = &mut new {
            complete(row, old.as_ref(), self.receive.unchanged);
            let is_open = row.0.iter().any(|(_, cell)| *cell == Cell::Unchanged);
            if is_open && self.receive.unchanged == Unchanged::Read {
                let key = after.and_then(|it| shape.texts(&shape.key, it)).filter(|it| !it.is_empty());
                match (self.row.take(), key) {
                    (None, Some(key)) => {
                        let named = shape.key.iter().cloned().zip(key).collect();
                        return Ok(Step::Needs(Need::Row(named)));
                    }
                    (Some(Some(now)), _) => complete(row, Some(&now), Unchanged::Before),
                    _ => {}
                }
            }
        }
        let touched = self.touched(op, shape, before, after);
        self.event(op, old, new, touched)
    }

    fn touched(&self, op: Op, shape: &Shape, before: Option<Old<'_>>, after: Option<Tuple<'_>>) -> Touched {
        let names = &self.watched;
        if names.is_empty() {
            return Touched::All;
        }
        // Without a word of the row before its key is as it was: if the replica identity covers it.
        if op == Op::Update && before.is_none() && !shape.identifies(names) {
            return Touched::Unsaid;
        }
        let tuples = before.map(Old::tuple).into_iter().chain(after);
        let keys: Option<Vec<_>> = tuples.map(|it| shape.texts(names, it)).collect();
        keys.map_or(Touched::Unsaid, Touched::Keys)
    }

    fn event(
        &mut self,
        op: Op,
        before: Option<Row>,
        after: Option<Row>,
        touched: Touched,
    ) -> Result<Step, Stop> {
        let Some(transaction) = &mut self.transaction else { return Err(Stop::Broken) };
        if transaction.is_ours {
            return Ok(Step::Nothing);
        }
        transaction.ordinal += 1;
        let change = Change {
            op,
            table: self.table.clone(),
            at: transaction.at,
            position: transaction.commit.to_string().into(),
            txid: Some(transaction.xid.to_string().into()),
            key: self.shape.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            after,
            before,
        };
        let event = Event { commit: transaction.commit, ordinal: transaction.ordinal, change, touched };
        Ok(Step::Event(Box::new(event)))
    }
}

/// Takes what did not change from the row before, where the mapping wants it so.
fn complete(row: &mut Row, before: Option<&Row>, unchanged: Unchanged) {
    if unchanged == Unchanged::Finding {
        return;
    }
    for (name, cell) in row.0.iter_mut().filter(|(_, cell)| *cell == Cell::Unchanged) {
        if let Some(old) = before.and_then(|it| it.get(name)) {
            *cell = old.clone();
        }
    }
}
