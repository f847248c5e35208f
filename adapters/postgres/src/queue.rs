//! The bounded queue between callers and the drivers.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};

/// Most items that wait for company; past it they are taken by themselves, and past twice as many they are dropped.
const LATER_MOST: usize = 256;
/// How long items wait for company.
const LINGER: Duration = Duration::from_millis(250);

/// Callers push; drivers take all that waits, up to a group. Items that nobody waits for ride along.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
    room: Semaphore,
}

struct State<T> {
    waiting: std::collections::VecDeque<T>,
    later: Vec<T>,
    /// When the oldest of `later` came.
    since: Option<Instant>,
    closed: bool,
}

/// The queue takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<T> Queue<T> {
    /// An empty queue in which so many items may wait.
    pub(crate) fn new(room: usize) -> Self {
        let state = State { waiting: Default::default(), later: Vec::new(), since: None, closed: false };
        Self { state: Mutex::new(state), wake: Notify::new(), room: Semaphore::new(room) }
    }

    /// Adds an item; waits for room. Cancel-safe: dropped before it ends, nothing was added.
    pub(crate) async fn push(&self, item: T) -> Result<(), Closed> {
        let permit = self.room.acquire().await.map_err(|_| Closed)?;
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.waiting.push_back(item);
        drop(state);
        permit.forget();
        self.wake.notify_one();
        Ok(())
    }

    /// Adds an item that is taken with the next one, or after a moment. False when there was no room for it.
    pub(crate) fn push_later(&self, item: T) -> bool {
        let mut state = self.lock();
        if state.closed || state.later.len() >= 2 * LATER_MOST {
            return false;
        }
        state.later.push(item);
        let first = state.since.is_none();
        state.since.get_or_insert_with(Instant::now);
        let many = state.later.len() >= LATER_MOST;
        drop(state);
        if first || many {
            self.wake.notify_one();
        }
        true
    }

    /// Waits for items and takes at most so many in their order, and what rides along. `None`: closed and empty.
    /// Cancel-safe: items are taken in the last step.
    pub(crate) async fn take(&self, most: usize) -> Option<Vec<T>> {
        loop {
            let lingers = {
                let mut state = self.lock();
                let ripe = state.since.is_some_and(|it| it.elapsed() >= LINGER);
                let company = ripe || state.closed || state.later.len() >= LATER_MOST;
                if !state.waiting.is_empty() || (company && !state.later.is_empty()) {
                    return Some(self.drain(&mut state, most));
                }
                if state.closed {
                    // The other drivers end as well.
                    self.wake.notify_one();
                    return None;
                }
                state.since
            };
            match lingers {
                Some(since) => timeout_at(since + LINGER, self.wake.notified()).await.unwrap_or_default(),
                None => self.wake.notified().await,
            }
        }
    }

    /// All that waits now, without waiting for it.
    pub(crate) fn rest(&self) -> Vec<T> {
        let mut state = self.lock();
        self.drain(&mut state, usize::MAX)
    }

    fn drain(&self, state: &mut State<T>, most: usize) -> Vec<T> {
        let count = state.waiting.len().min(most);
        self.room.add_permits(count);
        let mut taken: Vec<T> = state.waiting.drain(..count).collect();
        taken.append(&mut state.later);
        state.since = None;
        if !state.waiting.is_empty() || state.closed {
            // The next driver goes on with the rest, and a closed queue ends all of them.
            self.wake.notify_one();
        }
        taken
    }

    /// Takes nothing more; what waits is still taken by the drivers.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// True after [`Queue::close`].
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
