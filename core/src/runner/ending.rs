//! How the work on a leased job ends: stored, left to a person, put back or given up.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{ATTEMPTS, RENEW_AGAIN, RENEWAL, STORE_AGAIN, STORE_TRIES, backoff, figures::Tally};
use crate::{
    fault::Fault,
    flow::{Save, may_be_retried},
    job::{Checkpoint, JobId, Lease, Reply, Suspension},
    ports::JobStore,
};

/// Makes a change under a lease. A store that is full or locked for a moment gets a few more tries, longer than a caller
/// may wait: the work is paid for. Also how often it was tried.
async fn stubbornly<'s, T>(
    lease: Lease,
    what: &str,
    mut change: impl FnMut(Lease) -> BoxFuture<'s, Result<T, Fault>>,
) -> (Result<T, Fault>, u32) {
    let Lease { job, token } = lease;
    let (mut pause, mut tries) = (STORE_AGAIN, 1);
    loop {
        match change(Lease { job, token }).await {
            Err(fault) if may_be_retried(&fault) && tries < STORE_TRIES => {
                tracing::warn!(%job, %fault, tries, "{what} is not stored yet");
            }
            ended => return (ended, tries),
        }
        sleep(pause).await;
        (pause, tries) = (pause * 2, tries + 1);
    }
}

/// Stores a result. The lease goes on where it is to be handed back.
pub(super) async fn keep(store: &dyn JobStore, lease: Lease, reply: &Reply) -> Result<Option<Lease>, Fault> {
    let job = lease.job;
    let (ended, tries) = stubbornly(lease, "a result", |lease| store.answer(lease, reply.clone())).await;
    let Err(fault) = ended else { return ended };
    // A try that failed may have stored it all the same; then the next one is refused. What is to be handed back is
    // claimed for that once its lease has run out.
    let known = if tries > 1 { store.find(job).await.ok().flatten() } else { None };
    let is_stored = known.is_some_and(|job| job.state.reply() == Some(reply));
    if is_stored { Ok(None) } else { Err(fault) }
}

/// Leaves a job to a person.
pub(super) async fn suspend(store: &dyn JobStore, lease: Lease, held: &Suspension) -> Result<(), Fault> {
    stubbornly(lease, "a question to a person", |lease| store.suspend(lease, held.clone())).await.0
}

/// What became of a job that failed.
pub(super) enum After {
    /// It is tried again.
    GoesOn,
    /// It was given up; the lease is the right to send its dead letter.
    Dead(Option<Lease>),
    /// The store did not say: the lease runs out, and the job is claimed.
    Unknown,
}

/// Puts a job back or gives it up, as its fault and the number of its attempts say.
pub(super) async fn end(
    store: &dyn JobStore,
    tally: &Tally,
    lease: Lease,
    attempt: u32,
    fault: &Fault,
) -> After {
    let id = lease.job;
    let ended = if may_be_retried(fault) && attempt < ATTEMPTS {
        let delay = backoff::of_work(attempt, fault.recovery);
        tally.retries.one();
        store.release(lease, delay, false).await.map(|()| After::GoesOn)
    } else {
        let bury = |lease| store.bury(lease, fault.to_string(), Vec::new());
        let (buried, _) = stubbornly(lease, "the end of a job", bury).await;
        if buried.is_ok() {
            tally.dead.one();
        }
        buried.map(After::Dead)
    };
    ended.unwrap_or_else(|fault| {
        tracing::error!(job = %id, %fault, "the end of a job could not be stored");
        After::Unknown
    })
}

/// Puts back a job whose work never began, because of us.
pub(super) async fn put_back(store: &dyn JobStore, lease: Lease) {
    let id = lease.job;
    if let Err(fault) = store.release(lease, Duration::ZERO, true).await {
        tracing::warn!(job = %id, %fault, "a job that was not begun could not be put back: its lease runs out");
    }
}

/// Ends when the lease is lost; until then it is renewed.
pub(super) async fn lose(store: &Arc<dyn JobStore>, lease: &Lease) -> Fault {
    let mut pause = RENEWAL;
    loop {
        sleep(pause).await;
        pause = match store.renew(lease).await {
            Ok(()) => RENEWAL,
            Err(fault) if may_be_retried(&fault) => {
                tracing::warn!(job = %lease.job, %fault, "lease not renewed yet");
                // It may have run out meanwhile, and is still good until somebody claims.
                RENEW_AGAIN
            }
            Err(fault) => return fault,
        };
    }
}

/// Saves answers under the lease of their job. Answers that come together share a commit of the store.
pub(super) struct Saves<'a> {
    pub store: &'a dyn JobStore,
    pub lease: &'a Lease,
}

impl Save for Saves<'_> {
    fn save(&self, answer: Checkpoint) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let (mut pause, mut tries) = (STORE_AGAIN, 1);
            loop {
                match self.store.checkpoint(self.lease, vec![answer.clone()]).await {
                    Err(fault) if may_be_retried(&fault) && tries < STORE_TRIES => {
                        tracing::warn!(job = %self.lease.job, %fault, tries, "an answer is not saved yet");
                    }
                    ended => return ended,
                }
                sleep(pause).await;
                (pause, tries) = (pause * 2, tries + 1);
            }
        })
    }
}

/// The chain of causes, for the log.
pub(super) fn cause(fault: &Fault) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(fault);
    while let Some(error) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Says in the log that the work on a job failed.
pub(super) fn say_failed(id: JobId, flow: &str, attempt: u32, fault: &Fault) {
    tracing::warn!(job = %id, %flow, attempt, %fault, cause = cause(fault), "a job failed");
}
