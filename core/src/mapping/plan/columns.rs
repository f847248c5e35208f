//! Which columns of a row a mapping reads.

use std::{collections::HashSet, sync::Arc};

use super::{Channel, From, Mapping, Shape};
use crate::mapping::address::{Address, Path};

impl Mapping {
    /// The columns that a mapping of `kind: cdc` reads, each once, in the order of their first use; those of the row as
    /// it was (`before X`) too. Empty for other kinds.
    pub fn columns(&self) -> Vec<Arc<str>> {
        let (now, before) = self.paths_of_columns();
        let mut all: Vec<(usize, &Arc<str>)> = now.into_iter().chain(before).collect();
        all.sort_by_key(|(at, _)| *at);
        once(all.into_iter().map(|(_, name)| name))
    }

    /// The columns that a mapping of `kind: cdc` reads of the row as it is, and of the row as it was.
    pub(crate) fn columns_by_side(&self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (now, before) = self.paths_of_columns();
        (once(now.into_iter().map(|(_, name)| name)), once(before.into_iter().map(|(_, name)| name)))
    }

    /// The columns that a source has to capture for this mapping: those that `receive` lists, or else those that the
    /// mapping reads; then the key of `receive`, and what `deliver` into the same connection finds its row by. Without
    /// a key in `receive` the table's own is still to be added.
    pub fn captured(&self, receive: &Channel) -> Vec<Arc<str>> {
        let listed: Vec<Arc<str>> = receive.all("columns").map(Into::into).collect();
        let mut all = if listed.is_empty() { self.columns() } else { listed };
        all.extend(receive.all("key").map(Into::into));
        let back = self
            .handling
            .deliver
            .as_ref()
            .filter(|it| it.kind == receive.kind && it.get("connection") == receive.get("connection"));
        if let Some(back) = back {
            all.extend(back.all("key").chain(back.get("version")).map(Into::into));
        }
        once(&all)
    }

    /// Columns with the position of their use, of the row as it is and of the row as it was.
    #[expect(clippy::type_complexity, reason = "two lists of one kind")]
    fn paths_of_columns(&self) -> (Vec<(usize, &Arc<str>)>, Vec<(usize, &Arc<str>)>) {
        let (mut now, mut before) = (Vec::new(), Vec::new());
        if &*self.source.kind == "cdc" {
            let mut used = 0;
            if let Some(column) = self.source.each.as_ref().and_then(Path::column) {
                now.push((used, column));
            }
            // Addresses inside of what repeats begin there, not at the row.
            let is_row = self.source.each.is_none();
            self.record.columns(is_row, &mut used, &mut now, &mut before);
        }
        (now, before)
    }
}

/// Names without doubles, in the order in which they came first.
fn once<'n>(names: impl IntoIterator<Item = &'n Arc<str>>) -> Vec<Arc<str>> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|it| seen.insert(&***it)).map(Arc::clone).collect()
}

impl Shape {
    fn columns<'s>(
        &'s self,
        is_row: bool,
        used: &mut usize,
        now: &mut Vec<(usize, &'s Arc<str>)>,
        before: &mut Vec<(usize, &'s Arc<str>)>,
    ) {
        for field in &self.fields {
            match &field.from {
                From::Addresses(addresses) => {
                    for address in addresses {
                        *used += 1;
                        match address {
                            Address::Path(path) if is_row => now.extend(path.column().map(|it| (*used, it))),
                            Address::Before(path) => before.extend(path.column().map(|it| (*used, it))),
                            Address::Path(_) | Address::Meta(_) | Address::Attribute(..) => {}
                        }
                    }
                }
                From::Each { path, shape } => {
                    *used += 1;
                    if is_row {
                        now.extend(path.column().map(|it| (*used, it)));
                    }
                    shape.columns(false, used, now, before);
                }
                From::Constant(_) | From::Computed(_) | From::Model => {}
            }
        }
    }
}
