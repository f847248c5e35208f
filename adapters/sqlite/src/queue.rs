//! The bounded queue between async callers and one blocking loop.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

/// Most items that wait for company; past it they are taken by themselves, and past twice as many they are dropped.
const LATER_MOST: usize = 1024;
/// How long items wait for company.
const LINGER: Duration = Duration::from_millis(500);

/// Callers push without blocking a thread; one loop takes all that waits. Items that nobody waits for ride along.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
    room: Semaphore,
}

struct State<T> {
    waiting: Vec<T>,
    later: Vec<T>,
    closed: bool,
}

/// The queue takes nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<T> Queue<T> {
    /// An empty queue in which so many items may wait.
    pub(crate) fn new(room: usize) -> Self {
        let state = State { waiting: Vec::new(), later: Vec::new(), closed: false };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            room: Semaphore::new(room.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Adds an item; waits for room. Cancel-safe: dropped before it ends, nothing was added.
    pub(crate) async fn push(&self, item: T) -> Result<(), Closed> {
        let permit = self.room.acquire().await.map_err(|_| Closed)?;
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.waiting.push(item);
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
        // The loop must hear of the first (it sets its clock) and of the one that makes them enough.
        let heard = state.later.len() == 1 || state.later.len() >= LATER_MOST;
        drop(state);
        if heard {
            self.wake.notify_one();
        }
        true
    }

    /// Waits for items and takes at most so many in their order, and all that ride along. `None`: closed and empty.
    pub(crate) fn take(&self, most: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        let mut lingered = false;
        loop {
            let company = lingered || state.closed || state.later.len() >= LATER_MOST;
            if !state.waiting.is_empty() || (company && !state.later.is_empty()) {
                return Some(self.drain(&mut state, most));
            }
            if state.closed {
                return None;
            }
            if state.later.is_empty() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let woken = self.wake.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
                lingered = woken.1.timed_out();
                state = woken.0;
            }
        }
    }

    fn drain(&self, state: &mut State<T>, most: usize) -> Vec<T> {
        let count = state.waiting.len().min(most);
        self.room.add_permits(count);
        let mut taken: Vec<T> = state.waiting.drain(..count).collect();
        taken.append(&mut state.later);
        taken
    }

    /// Takes nothing more; what waits is still taken by the loop.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.wake.notify_all();
    }

    /// True once nothing is taken any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The loop is gone: drops what waits, so that no caller waits for ever.
    pub(crate) fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        let dropped = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.later));
        drop(state);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
