//! What was received and is not settled yet.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use vestibule_core::{
    document::Document,
    ports::{Receipt, Received, Settlement},
};

/// What a document was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A row of the outbox, by its number.
    Event(i64),
    /// A row of this piece of a snapshot.
    Piece(u64),
}

/// A document with what it was made of.
pub(super) struct Held {
    pub(super) document: Document,
    pub(super) of: Of,
}

/// What settlements ask for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Done {
    /// Rows of the outbox that may go.
    pub(super) events: Vec<i64>,
    /// Rows of the outbox that are to be set aside, each with why.
    pub(super) refused: Vec<(i64, String)>,
    /// Pieces, once for each row of them that is settled.
    pub(super) pieces: Vec<u64>,
}

/// Documents between the database and the runner. Bounded by who fills it: it is filled again only when `ready` is empty.
#[derive(Default)]
pub(super) struct Hands {
    ready: VecDeque<Held>,
    /// Handed over, by receipt.
    out: BTreeMap<u64, (Held, u32)>,
    /// Receipts of those that wait for their time, the first to be due in front.
    later: VecDeque<(Instant, u64)>,
    last: u64,
}

impl Hands {
    pub fn push(&mut self, held: Held) {
        self.ready.push_back(held);
    }

    /// When something that was put back is due.
    pub fn due(&self) -> Option<Instant> {
        self.later.front().map(|(at, _)| *at)
    }

    /// Rows of the outbox that are in here.
    pub fn events(&self) -> Vec<i64> {
        let of = self.ready.iter().chain(self.out.values().map(|(held, _)| held)).map(|it| it.of);
        of.filter_map(|it| if let Of::Event(id) = it { Some(id) } else { None }).collect()
    }

    /// At most so many, in their order; what is due again comes first.
    pub fn hand_over(&mut self, most: usize) -> Vec<Received> {
        let now = Instant::now();
        let mut batch = Vec::with_capacity(most.min(self.ready.len()));
        while batch.len() < most
            && let Some((_, receipt)) = self.later.pop_front_if(|(at, _)| *at <= now)
        {
            if let Some((held, tries)) = self.out.get_mut(&receipt) {
                *tries = tries.saturating_add(1);
                batch.push(received(receipt, held, *tries));
            }
        }
        while batch.len() < most
            && let Some(held) = self.ready.pop_front()
        {
            self.last += 1;
            batch.push(received(self.last, &held, 0));
            self.out.insert(self.last, (held, 0));
        }
        batch
    }

    /// Takes settlements in; a receipt that is not known, or was settled before, is nothing.
    pub fn settle(&mut self, settled: Vec<(Receipt, Settlement)>) -> Done {
        let mut done = Done::default();
        for (Receipt(receipt), settlement) in settled {
            if let Settlement::Later(delay) = settlement {
                self.wait(receipt, delay);
                continue;
            }
            let Some((held, _)) = self.out.remove(&receipt) else { continue };
            match (held.of, settlement) {
                (Of::Event(id), Settlement::DeadLetter { cause, .. }) => done.refused.push((id, cause)),
                (Of::Event(id), _) => done.events.push(id),
                (Of::Piece(piece), settlement) => {
                    if let Settlement::DeadLetter { cause, .. } = settlement {
                        tracing::warn!(cause, "a row of a snapshot can not be worked on");
                    }
                    done.pieces.push(piece);
                }
            }
        }
        done.events.sort_unstable();
        done
    }

    fn wait(&mut self, receipt: u64, delay: Duration) {
        if self.out.contains_key(&receipt) {
            let until = Instant::now() + delay.min(Duration::from_secs(3600));
            let place = self.later.partition_point(|(at, _)| *at <= until);
            self.later.insert(place, (until, receipt));
        }
    }
}

fn received(receipt: u64, held: &Held, redelivered: u32) -> Received {
    Received { document: held.document.clone(), return_to: None, redelivered, receipt: Receipt(receipt) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn held(of: Of) -> Held {
        Held { document: Document::new("x", "text/plain", Timestamp::UNIX_EPOCH), of }
    }

    #[test]
    fn everything_is_settled_once_and_what_waits_comes_again() {
        let mut hands = Hands::default();
        (1..=3).for_each(|id| hands.push(held(Of::Event(id))));
        hands.push(held(Of::Piece(9)));
        let batch = hands.hand_over(10);
        assert_eq!(batch.iter().map(|it| it.receipt.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(hands.events(), [1, 2, 3]);
        let refusal = Settlement::DeadLetter { cause: "V003".into(), findings: Vec::new() };
        let done = hands.settle(vec![
            (Receipt(3), Settlement::Accepted),
            (Receipt(3), Settlement::Accepted),
            (Receipt(1), Settlement::Later(Duration::ZERO)),
            (Receipt(2), refusal),
            (Receipt(4), Settlement::Accepted),
            (Receipt(77), Settlement::Accepted),
        ]);
        assert_eq!(done, Done { events: vec![3], refused: vec![(2, "V003".into())], pieces: vec![9] });
        let again = hands.hand_over(10);
        assert_eq!(again.iter().map(|it| (it.receipt.0, it.redelivered)).collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!(hands.settle(vec![(Receipt(1), Settlement::Accepted)]).events, [1]);
        assert!(hands.events().is_empty());
    }
}
