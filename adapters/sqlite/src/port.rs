//! The port over changes and questions.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, Lease, NewJob, Remark, Reply, Start,
        Submission, Suspension, Sweep,
    },
    ports::{JobStore, may_be_kept},
};

use crate::{
    SqliteStore,
    change::{
        Answer, Bury, Call, Cancel, Claim, ClaimDeliveries, Decide, Delivered, Forget, KeepPosition,
        MarkReturned, Probe, Redeliver, Release, Renew, Retry, Save, Submit, SubmitAll, Suspend, TakeHold,
        Undeliverable,
    },
    error::closed,
};

impl SqliteStore {
    fn submission(&self, job: NewJob) -> Submit {
        let start = if self.shared.owns { job.start } else { Start::Later };
        Submit { job: NewJob { start, ..job }, lease: self.shared.lease }
    }

    /// A visitor's lease would be measured by another clock than the owner's.
    fn may_claim(&self) -> Result<(), Fault> {
        if self.shared.owns {
            return Ok(());
        }
        Err(Fault::new(FaultCode::Store, "only the process that owns the job store works on its jobs"))
    }
}

/// The port takes it by reference.
fn copy(lease: &Lease) -> Lease {
    Lease { job: lease.job, token: lease.token }
}

impl JobStore for SqliteStore {
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        Box::pin(self.change(self.submission(job)))
    }

    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        Box::pin(self.change(SubmitAll(jobs.into_iter().map(|it| self.submission(it)).collect())))
    }

    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.change(Save { lease: copy(lease), answers }))
    }

    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(self.change(Answer { lease, reply, lasts: self.shared.lease }))
    }

    fn suspend(&self, lease: Lease, suspension: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Suspend { lease, suspension }))
    }

    fn release(&self, lease: Lease, delay: Duration, untried: bool) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Release { lease, delay, untried }))
    }

    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        Box::pin(self.change(Bury { lease, cause, findings, lasts: self.shared.lease }))
    }

    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(MarkReturned(job)))
    }

    fn returned_soon(&self, job: JobId) {
        if !self.shared.changes.push_later(Call::unheard(MarkReturned(job))) {
            tracing::debug!(%job, "stays answered: the writer is behind or closed");
        }
    }

    fn delivered(&self, lease: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Delivered(lease)))
    }

    fn delivered_soon(&self, lease: Lease) {
        let job = lease.job;
        if !self.shared.changes.push_later(Call::unheard(Delivered(lease))) {
            tracing::debug!(%job, "will be sent once more: the writer is behind or closed");
        }
    }

    fn redeliver(&self, lease: Lease, delay: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Redeliver { lease, delay, untried: false }))
    }

    fn undeliverable(&self, lease: Lease, cause: String) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.change(Undeliverable { lease, cause }))
    }

    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        Box::pin(async move {
            self.may_claim()?;
            self.change(Claim { flows: flows.to_vec(), most, lasts: self.shared.lease }).await
        })
    }

    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        Box::pin(async move {
            self.may_claim()?;
            self.change(ClaimDeliveries { most, lasts: self.shared.lease }).await
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.change(Renew { lease: copy(lease), lasts: self.shared.lease }))
    }

    fn retry(&self, job: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Retry(job)))
    }

    fn cancel(&self, job: JobId, cause: String) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Cancel { job, cause }))
    }

    fn hold(&self, job: JobId, by: String, lasts: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(TakeHold { job, by, lasts }))
    }

    fn decide(&self, job: JobId, decisions: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        Box::pin(self.change(Decide { job, decisions }))
    }

    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        Box::pin(self.change(Forget(sweep)))
    }

    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        Box::pin(self.ask(crate::Reader::census))
    }

    fn lead<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        // One process owns the store.
        Box::pin(std::future::ready(Ok(self.shared.owns)))
    }

    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        let name = name.to_owned();
        Box::pin(self.ask(move |reader| reader.position(&name)))
    }

    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            may_be_kept(name, &text)?;
            self.change(KeepPosition { name: name.to_owned(), text }).await
        })
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.wake.notified())
    }

    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        Box::pin(self.ask(move |reader| reader.find(id)))
    }

    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        Box::pin(self.ask(move |reader| reader.checkpoints(id)))
    }

    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        Box::pin(self.ask(move |reader| reader.list(&filter)))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async {
            // An engine that ended, by a panic even, closes its queue.
            if self.shared.questions.is_closed() || self.shared.changes.is_closed() {
                return Err(closed());
            }
            // Under load the commits themselves are the proof; a probe each second costs an idle store little.
            if self.shared.health.committed_within(Duration::from_secs(1)) {
                return Ok(());
            }
            self.change(Probe).await
        })
    }
}
