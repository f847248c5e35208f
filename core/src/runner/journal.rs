//! Journaled sources: the other side pays for what waits, so what it has is made durable whether there is room to work on
//! it or not.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    Runner,
    figures::Pulse,
    intake::{Accepting, Left, poll},
    served::Served,
};
use crate::ports::{Intake, JobStore, Received};

/// Most documents that are made durable together: enough that the commit costs each of them nothing.
const BATCH: usize = 1024;
/// How often it is looked whether the queue is short enough again.
const HELD: Duration = Duration::from_millis(500);

impl Runner {
    /// Takes documents from an open source as fast as the store takes them. Those for which there is room are begun at
    /// once; the others wait in the store, in their order, and hold no task and no memory here. While one batch is made
    /// durable, the next is received.
    pub(super) async fn journal(
        self: &Arc<Self>,
        intake: &mut dyn Intake,
        store: &Arc<dyn JobStore>,
        served: &Arc<Served>,
        pulse: &Pulse,
    ) -> Left {
        let mut accepting: Option<Accepting<'_>> = None;
        let mut waiting: Option<Vec<Received>> = None;
        let mut is_closed = false;
        loop {
            if accepting.is_none()
                && let Some(batch) = waiting.take()
            {
                let now = begins(served);
                accepting = Some(Box::pin(self.accept(store, served, batch, now)));
            }
            if is_closed && accepting.is_none() {
                return Left::Closed;
            }
            let takes = waiting.is_none() && !is_closed;
            let is_held = takes && self.is_full(served, pulse);
            // Cancel-safe: `next` keeps what it did not hand over, `accepting` is kept outside.
            let result = tokio::select! {
                biased;
                () = self.tasks.closed(), if !is_closed => { is_closed = true; Ok(()) }
                done = poll(&mut accepting) => { accepting = None; intake.settle(done).await }
                () = sleep(HELD), if is_held => Ok(()),
                next = intake.next(BATCH), if takes && !is_held => next.map(|batch| {
                    pulse.received.add(u64::try_from(batch.len()).unwrap_or(0));
                    waiting = Some(batch);
                }),
            };
            if let Err(fault) = result {
                // What is being stored is stored; its sender is not told, and delivers it again to no effect.
                if let Some(accepting) = accepting {
                    accepting.await;
                }
                return Left::Over(fault);
            }
        }
    }

    /// Whether too many jobs of this flow are in the queue. Said once, when it begins and when it is over.
    fn is_full(&self, served: &Served, pulse: &Pulse) -> bool {
        let (queued, most) = (served.backlog(), self.settings.most_queued);
        let is_full = queued >= most;
        if pulse.hold(is_full) {
            match is_full {
                true => {
                    tracing::warn!(flow = %served.name(), queued, most, "a source is not read: too much waits already");
                }
                false => tracing::info!(flow = %served.name(), queued, "a source is read again"),
            }
        }
        is_full
    }
}

/// How many documents begin at once. None while others wait: they were here before.
fn begins(served: &Served) -> usize {
    if served.backlog() > 0 || served.lane.waiting() > 0 || served.is_shedding() {
        return 0;
    }
    served.lane.room()
}
