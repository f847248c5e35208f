//! A row as a tree.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::{
    super::{Cell, Row},
    doc,
};
use crate::tree::{Tree, TreeBuilder};

/// The name of what has none: an array inside of an array.
pub(super) const ITEM: &str = "item";
/// More columns than this are found by hash.
const FEW_COLUMNS: usize = 16;

/// What is said of a value that did not change.
const UNCHANGED: &str = "it did not change, and the database did not say what it is";
/// What is said of a column that the row does not have.
const UNSAID: &str = "the database did not say this column";

/// The columns of a row that are read, each as a child of a root without a name. Without a row there is none. `None`:
/// there is no room for so many nodes.
pub(super) fn of_row<'r>(
    row: Option<&'r Row>,
    columns: &'r [Arc<str>],
    deepest: usize,
    room: &mut usize,
) -> Option<Tree<'r>> {
    let mut building = Building { builder: TreeBuilder::with_capacity(columns.len() + 1), deepest, room };
    building.open(Cow::Borrowed(""))?;
    if let Some(row) = row {
        let by_name: Option<HashMap<&str, &Cell>> =
            (columns.len() > FEW_COLUMNS).then(|| row.0.iter().map(|(name, cell)| (&**name, cell)).collect());
        for name in columns {
            let cell = match &by_name {
                Some(found) => found.get(&**name).copied(),
                None => row.get(name),
            };
            building.column(name, cell)?;
        }
    }
    building.builder.close(0);
    Some(building.builder.finish())
}

/// A tree in the making, with its limits.
pub(super) struct Building<'r, 'l> {
    pub(super) builder: TreeBuilder<'r>,
    /// Deepest nesting inside of a column.
    pub(super) deepest: usize,
    room: &'l mut usize,
}

impl<'r> Building<'r, '_> {
    /// Begins a node; `None`: there is no room for it.
    pub(super) fn open(&mut self, name: Cow<'r, str>) -> Option<()> {
        *self.room = self.room.checked_sub(1)?;
        self.builder.open("", name, 0);
        Some(())
    }

    fn column(&mut self, name: &'r str, cell: Option<&'r Cell>) -> Option<()> {
        match cell {
            // A node of its own: a column that nobody reads costs nothing, one that is read is never silent.
            None => self.leaf(name, |builder| builder.unread(Cow::Borrowed(UNSAID))),
            Some(Cell::List(items)) => items.iter().try_for_each(|it| self.value(name, it)),
            Some(Cell::Json(text)) => match doc::is_bounded(text, self.deepest, *self.room) {
                Ok(()) => doc::member(self, Cow::Borrowed(name), text),
                Err(why) => self.leaf(name, |builder| builder.unread(Cow::Borrowed(why))),
            },
            Some(cell) => self.value(name, cell),
        }
    }

    /// One node; arrays inside of arrays repeat a node [`ITEM`]. They are no deeper than a change may be.
    fn value(&mut self, name: &'r str, cell: &'r Cell) -> Option<()> {
        match cell {
            Cell::Null => self.leaf(name, TreeBuilder::nil),
            Cell::Unchanged => self.leaf(name, |builder| builder.unread(Cow::Borrowed(UNCHANGED))),
            Cell::Unreadable(why) => self.leaf(name, |builder| builder.unread(Cow::Borrowed(why))),
            Cell::Text(text) => self.leaf(name, |builder| builder.text(Cow::Borrowed(text))),
            Cell::Json(text) => match doc::is_bounded(text, self.deepest, *self.room) {
                Ok(()) => doc::node(self, Cow::Borrowed(name), text),
                Err(why) => self.leaf(name, |builder| builder.unread(Cow::Borrowed(why))),
            },
            Cell::List(items) => {
                self.open(Cow::Borrowed(name))?;
                items.iter().try_for_each(|it| self.value(ITEM, it))?;
                self.builder.close(0);
                Some(())
            }
        }
    }

    fn leaf(&mut self, name: &'r str, fill: impl FnOnce(&mut TreeBuilder<'r>)) -> Option<()> {
        self.open(Cow::Borrowed(name))?;
        fill(&mut self.builder);
        self.builder.close(0);
        Some(())
    }
}
