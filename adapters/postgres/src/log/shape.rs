//! The table as the log describes it, and rows of it as cells.

use std::collections::HashMap;

use vestibule_core::change::{Cell, Row};

use super::pgoutput::{Datum, Old, Relation, Tuple};
use crate::{
    cell::{self, Kind},
    database::Receive,
};

/// One table of the stream, as its changes are from here on.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) oid: u32,
    columns: Vec<Column>,
    /// Names of the columns of the key.
    pub(super) key: Vec<Box<str>>,
}

#[derive(Debug)]
struct Column {
    name: Box<str>,
    kind: Kind,
    /// It is of the replica identity: what is said of an old row.
    is_identity: bool,
    /// The mapping wants it.
    is_wanted: bool,
}

/// The columns that a flow wants, with the numbers of their types.
pub(super) type Known = Vec<(Box<str>, u32)>;

/// What is known of a table before its shape can be made.
#[derive(Debug, PartialEq)]
pub(super) enum Fit {
    /// Its columns of the flow, with their types.
    Same(Known),
    /// What is not as it was, for people: names and no values.
    Changed(String),
}

/// Whether the flow can go on with this table. `known`: as it was before; empty: never seen.
pub(super) fn fit(relation: Relation<'_>, receive: &Receive, known: &Known) -> Fit {
    let found: HashMap<&str, u32> = relation.columns().map(|it| (it.name, it.kind)).collect();
    let mut now = Known::new();
    for name in &receive.columns {
        let Some(kind) = found.get(name.as_str()) else {
            return Fit::Changed(format!("the column {name:?} is not in the log any more"));
        };
        let before = known.iter().find(|(it, _)| **it == **name).map(|(_, kind)| kind);
        if before.is_some_and(|it| it != kind) {
            return Fit::Changed(format!("the column {name:?} has another type now"));
        }
        now.push((name.as_str().into(), *kind));
    }
    Fit::Same(now)
}

impl Shape {
    pub(super) fn new(relation: Relation<'_>, receive: &Receive, kinds: &HashMap<u32, Kind>) -> Self {
        let columns: Vec<Column> = relation
            .columns()
            .map(|it| Column {
                name: it.name.into(),
                kind: kinds.get(&it.kind).cloned().unwrap_or_default(),
                is_identity: it.is_key,
                is_wanted: receive.columns.iter().any(|name| name == it.name),
            })
            .collect();
        let key = if receive.key.is_empty() {
            // Where the whole row is its identity, no column of it is a key.
            let is_whole = columns.iter().all(|it| it.is_identity);
            let identity = columns.iter().filter(|it| it.is_identity && !is_whole);
            identity.map(|it| it.name.clone()).collect()
        } else {
            receive.key.iter().map(|it| it.as_str().into()).collect()
        };
        Self { oid: relation.oid, columns, key }
    }

    /// The row before a change: as far as the log says.
    pub(super) fn before(&self, old: Old<'_>) -> Row {
        let is_key = matches!(old, Old::Key(_));
        let values = self.columns.iter().zip(old.tuple().values());
        let said = values.filter(|(it, _)| it.is_identity || it.is_wanted && !is_key);
        Row(said.map(|(column, datum)| (column.name.clone(), column.cell(datum))).collect())
    }

    /// The row after it.
    pub(super) fn after(&self, tuple: Tuple<'_>) -> Row {
        let wanted = self.columns.iter().zip(tuple.values()).filter(|(it, _)| it.is_wanted);
        Row(wanted.map(|(column, datum)| (column.name.clone(), column.cell(datum))).collect())
    }

    /// The texts of these columns in this tuple, as the database spells them; `None`: one of them is not said.
    pub(super) fn texts(&self, names: &[Box<str>], tuple: Tuple<'_>) -> Option<Vec<String>> {
        let mut texts = vec![None; names.len()];
        for (column, datum) in self.columns.iter().zip(tuple.values()) {
            if let Some(at) = names.iter().position(|it| *it == column.name)
                && let Datum::Text(text) = datum
                && let Some(place) = texts.get_mut(at)
            {
                *place = Some(String::from_utf8_lossy(text).into_owned());
            }
        }
        texts.into_iter().collect()
    }

    /// True where a change of one of these columns shows in the row before.
    pub(super) fn identifies(&self, names: &[Box<str>]) -> bool {
        names.iter().all(|name| self.columns.iter().any(|it| it.name == *name && it.is_identity))
    }
}

impl Column {
    fn cell(&self, datum: Datum<'_>) -> Cell {
        match datum {
            Datum::Null => Cell::Null,
            Datum::Unchanged => Cell::Unchanged,
            Datum::Text(text) => cell::cell(text, &self.kind),
            Datum::TooLong => Cell::Unreadable("too long for a document".into()),
        }
    }
}
