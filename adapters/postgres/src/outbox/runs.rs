//! Snapshots that a source hands over among its events: the first one, and those that were asked for.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use vestibule_core::change::Change;

use crate::snapshot::{Mark, Piece, Snapshot};

/// Pieces that may be on their way at once.
const UNDER_WAY: usize = 2;

/// What is kept of them between two lives of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The cluster and the outbox that it belongs to: in others nothing was read yet.
    pub(super) system: String,
    pub(super) outbox: u32,
    /// The first one is done.
    pub(super) initial: bool,
    /// The last one, and how far it is.
    pub(super) run: String,
    pub(super) mark: Mark,
}

/// A reading under way.
pub(super) struct Run {
    pub(super) snapshot: Snapshot,
    /// Who asked for it; `None`: the mapping.
    pub(super) signal: Option<i64>,
    pub(super) rows: u64,
    pub(super) step: Step,
    pieces: VecDeque<Out>,
    last: u64,
}

/// What is done with a piece.
pub(super) enum Step {
    /// The next one is to be asked for.
    Idle,
    /// Its rows come.
    Reading(Piece, Vec<Change>),
    /// Its rows wait until all events that it saw are handed over.
    Waiting(Vec<Change>),
}

struct Out {
    number: u64,
    /// Rows that are not settled.
    left: usize,
    mark: Mark,
}

impl Run {
    pub fn new(snapshot: Snapshot, signal: Option<i64>) -> Self {
        Self { snapshot, signal, rows: 0, step: Step::Idle, pieces: VecDeque::new(), last: 0 }
    }

    /// A piece may be asked for.
    pub fn wants_more(&self) -> bool {
        matches!(self.step, Step::Idle) && *self.snapshot.mark() != Mark::End && self.pieces.len() < UNDER_WAY
    }

    /// Everything was read, and everything that was read is settled.
    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Idle) && *self.snapshot.mark() == Mark::End && self.pieces.is_empty()
    }

    /// The rows of a piece are handed over under this number.
    pub fn hand_over(&mut self, rows: usize) -> u64 {
        self.last += 1;
        self.rows = self.rows.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
        self.pieces.push_back(Out { number: self.last, left: rows, mark: self.snapshot.mark().clone() });
        self.last
    }

    /// One row of each of these pieces is settled. The new place, where there is one: all before it is settled.
    pub fn settle(&mut self, pieces: &[u64]) -> Option<Mark> {
        for number in pieces {
            if let Some(out) = self.pieces.iter_mut().find(|it| it.number == *number) {
                out.left = out.left.saturating_sub(1);
            }
        }
        let mut reached = None;
        while let Some(out) = self.pieces.pop_front_if(|it| it.left == 0) {
            reached = Some(out.mark);
        }
        reached
    }
}
