//! One document on its way, and who waits for it.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::waiting::{Watcher, landed};
use crate::{
    document::{Document, Hash, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    flow::{Ended, Flow, Progress},
    job::{JobId, JobState, NewJob, Reply, Submission, Suspension},
    ports::{Extraction, JobStore},
};

/// How many refused documents may stand before the one that is right, under one key of the mapping.
pub(super) const CORRECTIONS: u32 = 100;

/// One document on its way.
pub(super) struct Work {
    pub(super) flow: Arc<Flow>,
    pub(super) document: Document,
    pub(super) extraction: Extraction,
    pub(super) until: Instant,
    /// The key, where the mapping's `key` made it and not the caller.
    pub(super) own_key: Option<IdempotencyKey>,
    /// Held for as long as the work lasts: it bounds how much is under way.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Work {
    pub(super) fn fingerprint(&self) -> Hash {
        self.extraction.payload.unwrap_or_else(|| self.document.digest())
    }

    /// Takes the key of the next document after so many refused ones: who corrects a refused claim sends it under the
    /// same business key. A caller's own key has no successor: there, another document is a mistake.
    pub(super) fn succeed(&mut self, refused: u32) -> bool {
        let Some(base) = self.own_key.as_ref().filter(|_| refused < CORRECTIONS) else { return false };
        let next = format!("{}#{}", base.as_str(), refused.saturating_add(1));
        self.document.key = Some(IdempotencyKey::or_hash(&next));
        true
    }

    /// The pipeline, with a little of the time kept back to store and send what it gave.
    pub(super) async fn run(self, ticket: JobId) -> Result<Reply, Fault> {
        let reserve = (self.flow.mapping.deadline / 20).min(Duration::from_millis(200));
        let Self { flow, document, extraction, until, permit, .. } = self;
        let running = flow.run(&document, extraction, Progress::fresh(ticket, until - reserve));
        // What a panic leaves behind is dropped with the future; flows share nothing that it could have broken.
        let result = AssertUnwindSafe(running).catch_unwind().await;
        drop(permit);
        let result = result.map(|it| {
            it.map(|ended| match ended {
                Ended::Reply(reply) | Ended::Review(Suspension { reply, .. }) => reply,
            })
        });
        result.unwrap_or_else(|_| {
            tracing::error!(job = %ticket, flow = %flow.mapping.name, "the work on a document panicked");
            let fault = Fault::new(FaultCode::Internal, "the work on this document ended without a result");
            Err(fault.recovery(Recovery::Retry))
        })
    }
}

/// Submits the work under its key, or under the next one where the documents before it were refused or given up.
pub(super) async fn submit(
    store: &dyn JobStore,
    id: JobId,
    mut work: Work,
) -> Result<(Submission, Work), Fault> {
    let mut refused = 0_u32;
    let fingerprint = work.fingerprint();
    loop {
        let job = NewJob::new(id, Arc::clone(&work.flow.mapping.name), work.document.clone(), fingerprint);
        let submission = within(work.until, store.submit(job)).await?;
        refused = refused.saturating_add(1);
        let is_closed = match &submission {
            Submission::Accepted(_) | Submission::Queued(_) => false,
            // Without a result there is nothing to give twice: the document may be sent again.
            Submission::Known(job) => matches!(job.state, JobState::Dead { .. }),
            Submission::Conflict(other) => {
                let before = within(work.until, store.find(*other)).await?;
                before.is_some_and(|job| match &job.state {
                    JobState::Dead { .. } => true,
                    state => state.reply().is_some_and(|reply| reply.outcome == Outcome::Reject),
                })
            }
        };
        if !is_closed || !work.succeed(refused) {
            return Ok((submission, work));
        }
    }
}

/// The result, or a fault once the time is over.
pub(super) async fn within<T>(
    until: Instant,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout_at(until, work).await.unwrap_or_else(|_| {
        Err(Fault::new(FaultCode::Deadline, "no result inside the deadline").recovery(Recovery::Retry))
    })
}

pub(super) async fn wait(watcher: Watcher, until: Instant, id: JobId) -> Result<Arc<Reply>, Fault> {
    timeout_at(until, landed(watcher)).await.unwrap_or_else(|_| Err(late(id)))
}

pub(super) fn late(id: JobId) -> Fault {
    Fault::new(FaultCode::Deadline, format!("no result inside the deadline; the ticket is {id}"))
        .recovery(Recovery::Retry)
}

pub(super) fn conflict(id: JobId) -> Fault {
    Fault::new(FaultCode::KeyConflict, format!("the key belongs to the job {id}, which has another document"))
}
