//! What was handed over and not heard of yet, and how far the log is durable here because of what was.

use std::collections::VecDeque;

use vestibule_core::ports::Receipt;

use super::position::Lsn;

/// Documents in the order of their receipts, and the places that are reached when those before are settled.
#[derive(Debug)]
pub(super) struct Ledger<T> {
    /// The receipt of the first document that is not settled.
    base: u64,
    /// From there on: whether each is settled.
    settled: VecDeque<bool>,
    /// Places with the number of documents that were handed out before each.
    marks: VecDeque<(u64, T)>,
}

/// A place that was reached.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mark {
    /// The end of a transaction, or of what was skipped.
    Log(Lsn),
    /// A row of a reading, by its key.
    Row(Vec<String>),
    /// A reading is complete.
    Read,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { base: 0, settled: VecDeque::new(), marks: VecDeque::new() }
    }
}

impl<T> Ledger<T> {
    /// The receipt of one more document.
    pub(super) fn hand_out(&mut self) -> Receipt {
        self.settled.push_back(false);
        Receipt(self.next() - 1)
    }

    fn next(&self) -> u64 {
        self.base + u64::try_from(self.settled.len()).unwrap_or(u64::MAX)
    }

    /// All that was handed out until now makes up to this place.
    pub(super) fn mark(&mut self, place: T) {
        self.marks.push_back((self.next(), place));
    }

    /// The last place, where nothing was handed out since: to be moved on.
    pub(super) fn last_mark(&mut self) -> Option<&mut T> {
        let next = self.next();
        self.marks.back_mut().filter(|(at, _)| *at == next).map(|(_, place)| place)
    }

    /// This one is durable. Unknown ones are nothing.
    pub(super) fn settle(&mut self, receipt: &Receipt) {
        let at = receipt.0.checked_sub(self.base).and_then(|it| usize::try_from(it).ok());
        if let Some(settled) = at.and_then(|it| self.settled.get_mut(it)) {
            *settled = true;
        }
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.base += 1;
        }
    }

    /// The next place that was reached.
    pub(super) fn reached(&mut self) -> Option<T> {
        self.marks.pop_front_if(|(at, _)| *at <= self.base).map(|(_, place)| place)
    }

    /// Documents that are not heard of yet.
    pub(super) fn waiting(&self) -> usize {
        self.settled.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_reached_when_all_before_it_is_settled_in_whatever_order() {
        let mut ledger = Ledger::<&str>::default();
        let receipts: Vec<Receipt> = (0..3).map(|_| ledger.hand_out()).collect();
        ledger.mark("one");
        let late = ledger.hand_out();
        ledger.mark("two");
        for receipt in [&receipts[2], &receipts[0], &late] {
            ledger.settle(receipt);
            assert_eq!(ledger.reached(), None, "{receipt:?}");
        }
        ledger.settle(&receipts[1]);
        assert_eq!([ledger.reached(), ledger.reached(), ledger.reached()], [Some("one"), Some("two"), None]);
        assert_eq!(ledger.waiting(), 0);
        ledger.settle(&receipts[1]);
        ledger.settle(&Receipt(99));
        assert_eq!(ledger.waiting(), 0);
    }

    #[test]
    fn what_comes_behind_nothing_is_reached_at_once() {
        let mut ledger = Ledger::<&str>::default();
        ledger.mark("here");
        assert_eq!(ledger.reached(), Some("here"));
    }
}
