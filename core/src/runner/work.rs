//! One document on its way.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::served::Served;
use crate::{
    document::{Document, Hash, IdempotencyKey},
    fault::{Fault, FaultCode, Recovery},
    finding::Outcome,
    flow::{Ended, Flow, Progress, Save},
    job::{
        Checkpoint, Claimed, Decision, Delivery, Job, JobId, JobState, Lease, NewJob, ReturnAddress, Start,
        Submission,
    },
    ports::{Extraction, JobStore},
};

/// How many refused documents may stand before the one that is right, under one key of the mapping.
pub(super) const CORRECTIONS: u32 = 100;

/// One document on its way.
pub(super) struct Work {
    pub served: Arc<Served>,
    pub document: Document,
    pub extraction: Extraction,
    pub fingerprint: Hash,
    /// When its caller is gone; `None`: nobody waits, and its time begins with the work.
    pub until: Option<Instant>,
    /// The key, where the mapping's `key` made it and not the caller.
    pub own_key: Option<IdempotencyKey>,
    pub order: Option<Arc<str>>,
    pub return_to: Option<ReturnAddress>,
    pub accepted: Timestamp,
    pub attempt: u32,
    pub decisions: Vec<Decision>,
    pub saved: Vec<Checkpoint>,
}

impl Work {
    /// A document that was just received and read.
    pub(super) fn received(
        served: &Arc<Served>,
        mut document: Document,
        extraction: Extraction,
        return_to: Option<ReturnAddress>,
    ) -> Self {
        let own_key = if document.key.is_none() { served.flow.key_of(&extraction) } else { None };
        if own_key.is_some() {
            document.key.clone_from(&own_key);
        }
        Self {
            order: served.flow.order_of(&extraction),
            fingerprint: extraction.payload.unwrap_or_else(|| document.digest()),
            return_to: served.return_to(return_to),
            served: Arc::clone(served),
            document,
            extraction,
            until: None,
            own_key,
            accepted: Timestamp::now(),
            attempt: 1,
            decisions: Vec::new(),
            saved: Vec::new(),
        }
    }

    /// A job of the store, and the right to end it.
    pub(super) fn claimed(served: &Arc<Served>, claimed: Claimed, extraction: Extraction) -> (Lease, Self) {
        let Claimed { lease, job, checkpoints } = claimed;
        let work = Self {
            served: Arc::clone(served),
            extraction,
            // It was submitted before: nothing asks for it again.
            fingerprint: Hash([0; 32]),
            until: None,
            own_key: None,
            attempt: attempts(&job.state),
            document: job.document,
            order: job.order,
            return_to: job.return_to,
            accepted: job.accepted,
            decisions: job.decisions,
            saved: checkpoints,
        };
        (lease, work)
    }

    /// The job to submit for it.
    pub(super) fn job(&self, id: JobId, start: Start) -> NewJob {
        NewJob {
            start,
            order: self.order.clone(),
            return_to: self.return_to.clone(),
            ..NewJob::new(id, Arc::clone(self.served.name()), self.document.clone(), self.fingerprint)
        }
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
    pub(super) async fn run(&mut self, ticket: JobId, save: Option<&dyn Save>) -> Result<Ended, Fault> {
        let flow = Arc::clone(&self.served.flow);
        let reserve = (flow.mapping.deadline / 20).min(Duration::from_millis(200));
        let until = self.until.unwrap_or_else(|| Instant::now() + flow.mapping.deadline);
        let progress = Progress {
            ticket,
            deadline: until - reserve,
            decisions: &self.decisions,
            saved: std::mem::take(&mut self.saved),
            save,
        };
        let running = flow.run(&self.document, std::mem::take(&mut self.extraction), progress);
        // What a panic leaves behind is dropped with the future; flows share nothing that it could have broken.
        AssertUnwindSafe(running).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(job = %ticket, flow = %flow.mapping.name, "the work on a document panicked");
            let fault = Fault::new(FaultCode::Internal, "the work on this document ended without a result");
            Err(fault.recovery(Recovery::Retry))
        })
    }

    /// The job as it stands at its end, to be handed back.
    pub(super) fn into_finished(self, id: JobId, state: JobState) -> Job {
        let now = Timestamp::now();
        Job {
            id,
            flow: Arc::clone(self.served.name()),
            document: self.document,
            state,
            accepted: self.accepted,
            changed: now,
            order: self.order,
            return_to: self.return_to,
            delivery: Delivery::Due { attempt: 1, not_before: now },
            decisions: self.decisions,
        }
    }
}

/// Reads a document. A reader that panics has met a document that it will never read.
pub(super) fn read(flow: &Flow, document: &Document) -> Result<Extraction, Fault> {
    std::panic::catch_unwind(AssertUnwindSafe(|| flow.extract(document))).unwrap_or_else(|_| {
        tracing::error!(flow = %flow.mapping.name, "the reader of a document panicked");
        Err(Fault::new(FaultCode::Internal, "the reader of this document ended without a result"))
    })
}

/// How often a job was tried.
pub(super) fn attempts(state: &JobState) -> u32 {
    match state {
        JobState::Leased { attempt } | JobState::Queued { attempt, .. } => *attempt,
        _ => 1,
    }
}

/// Submits the work under its key, or under the next one where the documents before it were refused or given up.
pub(super) async fn submit(
    store: &dyn JobStore,
    id: JobId,
    start: Start,
    work: &mut Work,
) -> Result<Submission, Fault> {
    let mut refused = 0_u32;
    loop {
        let submission = store.submit(work.job(id, start)).await?;
        refused = refused.saturating_add(1);
        if !is_closed(store, &submission, work).await? || !work.succeed(refused) {
            return Ok(submission);
        }
    }
}

/// Whether what stands under the key was refused or given up: then the next document may take its place.
async fn is_closed(store: &dyn JobStore, submission: &Submission, work: &Work) -> Result<bool, Fault> {
    Ok(match submission {
        Submission::Accepted(_) | Submission::Queued(_) => false,
        // Without a result there is nothing to give twice: the document may be sent again. But a message that a broker only
        // delivers again, because it did not hear of our acknowledgement, has its dead letter already.
        Submission::Known(job) => matches!(job.state, JobState::Dead { .. }) && !is_same_message(job, work),
        Submission::Conflict(other) => store.find(*other).await?.is_some_and(|job| match &job.state {
            JobState::Dead { .. } => true,
            state => state.reply().is_some_and(|reply| reply.outcome == Outcome::Reject),
        }),
    })
}

/// Whether its sender's own name for it is that of the job.
fn is_same_message(job: &Job, work: &Work) -> bool {
    let name = |it: &Option<ReturnAddress>| it.as_ref().and_then(|it| it.message.clone());
    name(&work.return_to).is_some_and(|it| name(&job.return_to) == Some(it))
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

pub(super) fn late(id: JobId) -> Fault {
    Fault::new(FaultCode::Deadline, format!("no result inside the deadline; the ticket is {id}"))
        .recovery(Recovery::Retry)
        .about(id)
}

pub(super) fn conflict(id: JobId) -> Fault {
    Fault::new(FaultCode::KeyConflict, format!("the key belongs to the job {id}, which has another document"))
        .about(id)
}
