//! How the work on a leased job ends: stored, put back or given up.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{ATTEMPTS, RENEWAL, STORE_AGAIN, STORE_TRIES};
use crate::{
    fault::{Fault, Recovery},
    flow::may_be_retried,
    job::{JobState, Lease, Reply},
    ports::JobStore,
};

/// Stores a result. A store that is full or locked for a moment gets a few more tries, longer than a caller may wait:
/// the answer is paid for.
pub(super) async fn keep(store: &dyn JobStore, lease: Lease, reply: &Reply) -> Result<(), Fault> {
    let Lease { job, token } = lease;
    let (mut pause, mut tries) = (STORE_AGAIN, 1);
    let fault = loop {
        match store.answer(Lease { job, token }, reply.clone()).await {
            Ok(_) => return Ok(()),
            Err(fault) if !may_be_retried(&fault) || tries >= STORE_TRIES => break fault,
            Err(fault) => tracing::warn!(%job, %fault, tries, "a result is not stored yet"),
        }
        sleep(pause).await;
        (pause, tries) = (pause * 2, tries + 1);
    };
    // A try that failed may have stored it all the same; then the next one is refused.
    let known = if tries > 1 { store.find(job).await.ok().flatten() } else { None };
    let is_stored = known.is_some_and(|job| job.state.reply() == Some(reply));
    if is_stored { Ok(()) } else { Err(fault) }
}

/// Puts a job back or gives it up, as its fault and the number of its attempts say.
pub(super) async fn end(store: &dyn JobStore, lease: Lease, attempt: u32, fault: &Fault) {
    let id = lease.job;
    let ended = if may_be_retried(fault) && attempt < ATTEMPTS {
        store.release(lease, backoff(attempt, fault.recovery), false).await
    } else {
        store.bury(lease, fault.to_string(), Vec::new()).await.map(drop)
    };
    if let Err(fault) = ended {
        tracing::error!(job = %id, %fault, "the end of a job could not be stored");
    }
}

/// Ends when the lease is lost; until then it is renewed.
pub(super) async fn lose(store: &Arc<dyn JobStore>, lease: &Lease) -> Fault {
    loop {
        sleep(RENEWAL).await;
        match store.renew(lease).await {
            Ok(()) => {}
            Err(fault) if may_be_retried(&fault) => {
                tracing::warn!(job = %lease.job, %fault, "lease not renewed yet")
            }
            Err(fault) => return fault,
        }
    }
}

pub(super) fn attempts(state: &JobState) -> u32 {
    match state {
        JobState::Leased { attempt } | JobState::Queued { attempt, .. } => *attempt,
        _ => 1,
    }
}

/// 1 s, 4 s, 16 s, 64 s; longer where the other side said so.
pub(super) fn backoff(attempt: u32, recovery: Recovery) -> Duration {
    let own = Duration::from_secs(4_u64.saturating_pow(attempt.saturating_sub(1).min(3)));
    match recovery {
        Recovery::RetryAfter(asked) => own.max(asked),
        Recovery::Retry | Recovery::FailOver | Recovery::GiveUp => own,
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
