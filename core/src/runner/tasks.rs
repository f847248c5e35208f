//! Tasks that are counted, so that a drain knows when the last one ended.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::backoff::Doubling;
use crate::fault::{Fault, FaultCode};

/// Pauses before a loop that panicked is begun again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// All tasks of the process.
#[derive(Default)]
pub(super) struct Tasks {
    alive: AtomicUsize,
    ended: Notify,
    stop: AtomicBool,
    stopped: Notify,
    closed: AtomicBool,
    closing: Notify,
}

impl Tasks {
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns: every task is counted here")]
    pub(super) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let alive = Alive::new(self);
        tokio::spawn(async move {
            work.await;
            drop(alive);
        });
    }

    /// A loop that the process can not do without: one that panics is begun again, for nobody would see that it is gone.
    pub(super) fn keep<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        what: &'static str,
        work: impl Fn() -> F + Send + 'static,
    ) {
        let tasks = Arc::clone(self);
        self.spawn(async move {
            let mut pauses = Doubling::new(AGAIN.0, AGAIN.1);
            // What a panic leaves behind is dropped with the future; what loops share is whole after each step.
            while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
                tracing::error!(what, "a loop of the process panicked; it is begun again");
                // Cancel-safe: both only wait.
                tokio::select! { () = sleep(pauses.pause()) => {}, () = tasks.draining() => return }
            }
        });
    }

    /// Counts something as a task for as long as it lives.
    pub(super) fn alive(self: &Arc<Self>) -> Alive {
        Alive::new(self)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends when a drain begins.
    pub(super) async fn draining(&self) {
        loop {
            let mut stopped = std::pin::pin!(self.stopped.notified());
            // Registered before the look: `notify_waiters` tells only those who wait.
            stopped.as_mut().enable();
            if self.is_draining() {
                return;
            }
            stopped.await;
        }
    }

    /// Sources take nothing more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
    }

    /// Ends when sources are to take nothing more.
    pub(super) async fn closed(&self) {
        loop {
            let mut closing = std::pin::pin!(self.closing.notified());
            closing.as_mut().enable();
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            closing.await;
        }
    }

    pub(super) async fn drain(&self, within: Duration) -> bool {
        self.close();
        self.stop.store(true, Ordering::Release);
        self.stopped.notify_waiters();
        timeout(within, self.all_ended()).await.is_ok()
    }

    async fn all_ended(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.alive.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Counts a task for as long as it lives, panics included.
pub(super) struct Alive(Arc<Tasks>);

impl Alive {
    fn new(tasks: &Arc<Tasks>) -> Self {
        tasks.alive.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(tasks))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if self.0.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// A task that nobody waits for: it ends by itself once what it drives is dropped.
#[allow(
    clippy::disallowed_methods,
    reason = "the runner spawns; a driver is not work that a drain could wait for"
)]
pub(super) fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// A thread for blocking work that ends by itself.
pub(super) fn on_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, Fault> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|error| Fault::new(FaultCode::Internal, "a thread could not be started").because(error))
}
