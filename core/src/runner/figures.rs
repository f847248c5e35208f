//! What is counted, for metrics: plain numbers, cheap to count and to read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    fault::{Fault, FaultCode},
    finding::Outcome,
};

/// What was counted since the start of the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// One for each flow, in their order.
    pub flows: Vec<FlowFigures>,
    /// One for each source, in their order.
    pub sources: Vec<SourceFigures>,
}

/// What was counted of one flow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowFigures {
    /// The flow.
    pub flow: Arc<str>,
    /// Documents accepted.
    pub accepted: u64,
    /// Documents refused because there was no room in time.
    pub busy: u64,
    /// Documents under a known key with the same content.
    pub duplicates: u64,
    /// Documents under a known key with other content.
    pub conflicts: u64,
    /// Documents that ended with a result, by the outcome's word.
    pub ended: Vec<(&'static str, u64)>,
    /// Faults in the work on documents, by code; those that never happened are left out.
    pub faults: Vec<(&'static str, u64)>,
    /// Jobs put back to be tried again.
    pub retries: u64,
    /// Jobs given up.
    pub dead: u64,
    /// Jobs left to a person.
    pub reviews: u64,
    /// Results and dead letters handed back.
    pub delivered: u64,
    /// Results and dead letters that could not be handed back at the first or a later try.
    pub delivery_failures: u64,
    /// How long the work on a document took.
    pub duration: Durations,
    /// How much is worked on at once, at most.
    pub width: usize,
    /// How much is worked on now.
    pub busy_now: usize,
    /// How much waits for room in this process.
    pub waiting: usize,
    /// New work is refused because a threshold is passed.
    pub is_shedding: bool,
}

/// What was counted of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceFigures {
    /// The source's name.
    pub name: String,
    /// The flow that it feeds.
    pub flow: Arc<str>,
    /// It is open.
    pub is_up: bool,
    /// How often it was opened again.
    pub reconnects: u64,
    /// Documents received, those delivered again included.
    pub received: u64,
    /// Why it can not go on before somebody does something, safe to show; `None`: it works, or is tried again soon.
    pub stopped: Option<Arc<str>>,
    /// It is open, and receives nothing because too many jobs are in the queue.
    pub is_held: bool,
}

/// A histogram of durations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// How many lasted at most [`Durations::BOUNDS`] seconds, each bound's own, not added up; the last is for longer ones.
    pub counts: [u64; 14],
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Durations {
    /// Upper bounds in seconds.
    pub const BOUNDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The counters of one flow.
#[derive(Default)]
pub(super) struct Tally {
    pub accepted: Count,
    pub busy: Count,
    pub duplicates: Count,
    pub conflicts: Count,
    pub retries: Count,
    pub dead: Count,
    pub reviews: Count,
    pub delivered: Count,
    pub delivery_failures: Count,
    outcomes: [Count; 3],
    faults: [Count; FaultCode::ALL.len()],
    buckets: [Count; 14],
    nanoseconds: Count,
}

/// One counter.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    pub(super) fn ended(&self, outcome: Outcome) {
        let at = match outcome {
            Outcome::Pass | Outcome::Note => 0,
            Outcome::Review => 1,
            Outcome::Reject => 2,
        };
        if let Some(count) = self.outcomes.get(at) {
            count.one();
        }
    }

    pub(super) fn failed(&self, fault: &Fault) {
        let at = FaultCode::ALL.iter().position(|it| *it == fault.code);
        if let Some(count) = at.and_then(|at| self.faults.get(at)) {
            count.one();
        }
    }

    pub(super) fn lasted(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = Durations::BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.buckets.get(at.unwrap_or(Durations::BOUNDS.len())) {
            count.one();
        }
        self.nanoseconds.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The numbers; the lane's and the flow's own are added by who knows them.
    pub(super) fn read(&self) -> FlowFigures {
        let words = [Outcome::Pass, Outcome::Review, Outcome::Reject].map(Outcome::word);
        let mut counts = [0; 14];
        counts.iter_mut().zip(&self.buckets).for_each(|(to, from)| *to = from.get());
        let faults = FaultCode::ALL.iter().zip(&self.faults).map(|(code, count)| (code.code(), count.get()));
        FlowFigures {
            accepted: self.accepted.get(),
            busy: self.busy.get(),
            duplicates: self.duplicates.get(),
            conflicts: self.conflicts.get(),
            ended: words.into_iter().zip(self.outcomes.iter().map(Count::get)).collect(),
            faults: faults.filter(|(_, count)| *count > 0).collect(),
            retries: self.retries.get(),
            dead: self.dead.get(),
            reviews: self.reviews.get(),
            delivered: self.delivered.get(),
            delivery_failures: self.delivery_failures.get(),
            duration: Durations { counts, sum: Duration::from_nanos(self.nanoseconds.get()).as_secs_f64() },
            ..FlowFigures::default()
        }
    }
}

/// The counters of one source.
#[derive(Default)]
pub(super) struct Pulse {
    is_up: AtomicBool,
    is_held: AtomicBool,
    stopped: Mutex<Option<Arc<str>>>,
    pub opened: Count,
    pub received: Count,
}

/// A source that is open; it is not any more once this is dropped, by a panic even.
pub(super) struct Up<'a>(&'a Pulse);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.is_up.store(false, Ordering::Relaxed);
        self.0.is_held.store(false, Ordering::Relaxed);
    }
}

impl Pulse {
    pub(super) fn up(&self) -> Up<'_> {
        self.is_up.store(true, Ordering::Relaxed);
        self.stop(None);
        Up(self)
    }

    pub(super) fn stop(&self, why: Option<Arc<str>>) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// True where that is a change.
    pub(super) fn hold(&self, holds: bool) -> bool {
        self.is_held.swap(holds, Ordering::Relaxed) != holds
    }

    pub(super) fn read(&self, name: &str, flow: &Arc<str>) -> SourceFigures {
        SourceFigures {
            name: name.into(),
            flow: Arc::clone(flow),
            is_up: self.is_up.load(Ordering::Relaxed),
            reconnects: self.opened.get().saturating_sub(1),
            received: self.received.get(),
            stopped: self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            is_held: self.is_held.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_once_at_its_bound() {
        let tally = Tally::default();
        for millis in [0, 5, 6, 60_000, 60_001] {
            tally.lasted(Duration::from_millis(millis));
        }
        let duration = tally.read().duration;
        assert_eq!(duration.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((duration.count(), duration.sum), (5, 120.012));
    }
}
