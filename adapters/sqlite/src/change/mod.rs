//! Changes of the store: each is one small set of statements inside the transaction of its group.

mod claiming;
mod leased;
mod line;
mod operating;
mod position;
mod sending;
mod submit;

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;
use vestibule_core::{fault::Fault, job::Lease};

pub(crate) use claiming::{Claim, ClaimDeliveries, Renew, checkpoints_of};
#[cfg(test)]
pub(crate) use claiming::{DUE, TO_SEND};
pub(crate) use leased::{Answer, Bury, MarkReturned, Probe, Release, Save, Suspend};
#[cfg(test)]
pub(crate) use line::FIRST;
#[cfg(test)]
pub(crate) use operating::SWEPT;
pub(crate) use operating::{Cancel, Decide, Forget, Retry, TakeHold};
pub(crate) use position::KeepPosition;
pub(crate) use sending::{Delivered, Redeliver, Undeliverable};
pub(crate) use submit::{Submit, SubmitAll};

use crate::error::{Failure, fault};

/// When a group of changes happens, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// By the wall clock: what is shown.
    pub(crate) wall: i64,
    /// By a clock that only goes forward: what leases and delays are measured by. A wall clock that is set forward
    /// must not end every lease, for then a job is worked on twice.
    pub(crate) due: i64,
    news: &'a Cell<bool>,
}

impl Moment<'_> {
    /// There may be something new to claim.
    pub(crate) fn tell(&self) {
        self.news.set(true);
    }
}

/// Makes moments.
pub(crate) struct Clock {
    started: Instant,
    /// `None`: the clock of a visitor. What it makes due is due at once, whatever the owner's clock says: the two went
    /// different ways if the wall clock was set since the owner started.
    base: Option<i64>,
    news: Cell<bool>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let base = Some(Timestamp::now().as_microsecond());
        Self { started: Instant::now(), base, news: Cell::new(false) }
    }

    pub(crate) fn visiting() -> Self {
        Self { base: None, ..Self::start() }
    }

    pub(crate) fn now(&self) -> Moment<'_> {
        let due = self.base.map_or(0, |base| base.saturating_add(micros(self.started.elapsed())));
        Moment { wall: Timestamp::now().as_microsecond(), due, news: &self.news }
    }

    /// Whether there was news since the last time.
    pub(crate) fn take_news(&self) -> bool {
        self.news.take()
    }
}

/// A duration in microseconds.
pub(crate) fn micros(duration: std::time::Duration) -> i64 {
    // A century is as good as for ever, and stays a valid time when it is added to now.
    const CENTURY: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(CENTURY).min(CENTURY)
}

/// One change. May be applied more than once, each time to a store that has not seen it.
pub(crate) trait Change: Send + 'static {
    /// What the caller is told once the change is durable.
    type Output: Send + 'static;
    /// Makes the change inside the open transaction. A refusal must leave nothing changed.
    fn apply(&self, db: &Connection, at: Moment<'_>) -> Result<Self::Output, Failure>;
    /// Leases in an output that nobody waits for any more.
    fn undelivered(_output: Self::Output) -> Vec<Orphan> {
        Vec::new()
    }
}

/// A lease that nobody took delivery of.
pub(crate) enum Orphan {
    /// For work.
    Work(Lease),
    /// For a delivery.
    Delivery(Lease),
}

impl Orphan {
    /// Which job nobody holds.
    pub(crate) fn job(&self) -> vestibule_core::job::JobId {
        let (Self::Work(lease) | Self::Delivery(lease)) = self;
        lease.job
    }

    /// Gives the lease back, as if it had never been given out.
    pub(crate) fn put_back(self) -> Box<dyn Operation> {
        let (delay, untried) = (Duration::ZERO, true);
        match self {
            Self::Work(lease) => Call::unheard(Release { lease, delay, untried }),
            Self::Delivery(lease) => Call::unheard(Redeliver { lease, delay, untried }),
        }
    }
}

/// A change of any kind, with whoever waits for it.
pub(crate) trait Operation: Send {
    /// Applies the change. `Err` only for what concerns the whole group.
    fn apply(&mut self, db: &Connection, at: Moment<'_>) -> Result<(), rusqlite::Error>;
    /// Answers the caller, after the commit or its failure. Returns the leases that nobody took delivery of.
    fn finish(self: Box<Self>, committed: Result<(), &Arc<rusqlite::Error>>) -> Vec<Orphan>;
}

/// A change and its caller.
pub(crate) struct Call<C: Change> {
    change: C,
    result: Option<Result<C::Output, Fault>>,
    caller: Option<oneshot::Sender<Result<C::Output, Fault>>>,
}

impl<C: Change> Call<C> {
    /// A change whose result arrives at the receiver.
    pub(crate) fn new(change: C) -> (Box<Self>, oneshot::Receiver<Result<C::Output, Fault>>) {
        let (caller, receiver) = oneshot::channel();
        (Box::new(Self { change, result: None, caller: Some(caller) }), receiver)
    }

    /// A change that nobody waits for.
    pub(crate) fn unheard(change: C) -> Box<Self> {
        Box::new(Self { change, result: None, caller: None })
    }
}

impl<C: Change> Operation for Call<C> {
    fn apply(&mut self, db: &Connection, at: Moment<'_>) -> Result<(), rusqlite::Error> {
        self.result = Some(match self.change.apply(db, at) {
            Ok(output) => Ok(output),
            Err(Failure::Refused(fault)) => Err(fault),
            Err(Failure::Sqlite(error)) => return Err(error),
        });
        Ok(())
    }

    fn finish(mut self: Box<Self>, committed: Result<(), &Arc<rusqlite::Error>>) -> Vec<Orphan> {
        let result = match (committed, self.result.take()) {
            (Err(error), _) => Err(fault(error)),
            (Ok(()), Some(result)) => result,
            // Never applied and yet committed: the group was cut short, so nothing is promised.
            (Ok(()), None) => Err(crate::error::closed()),
        };
        let unheard = match self.caller.take() {
            Some(caller) => caller.send(result).err(),
            None => Some(result),
        };
        unheard.and_then(Result::ok).map(C::undelivered).unwrap_or_default()
    }
}
