//! Durable jobs.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::{
    fault::{Fault, FaultCode},
    job::{
        Census, Checkpoint, Claimed, Decision, Job, JobFilter, JobId, Lease, NewJob, Remark, Reply,
        Submission, Suspension, Sweep,
    },
};

/// Durable jobs. Every method whose future ends in `Ok` for a change has made it durable. Dropping a future drops the
/// waiting only: the change may still happen, and a lease that nobody took delivery of is released.
///
/// A lease is the right to change a job: to end its work, or to end its delivery. Every change under a lease is refused
/// with `FaultCode::Store` and `Recovery::GiveUp` when its token is not the newest, or when it is a lease for the other
/// of the two. A lease that ran out and that nobody else has claimed is still good.
///
/// Jobs of one flow with the same order stand in a line from their acceptance until they are finished and have nothing
/// left to send; a job in review stays in it. Only the first of a line is leased, at its submission or by a claim. A
/// delivery that was given up lets the next one go. A job that is started again stands in the line where it stood before;
/// what is under way then is finished first.
pub trait JobStore: Send + Sync {
    /// Accepts a job, or finds it by flow and idempotency key. Atomic: of any number of submissions with one key exactly
    /// one is accepted. A known job may still be without a reply.
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        Box::pin(async move {
            let mut all = self.submit_all(vec![job]).await?;
            all.pop().unwrap_or_else(|| {
                Err(Fault::new(FaultCode::Store, "the store did not say what became of a job"))
            })
        })
    }
    /// Accepts jobs in this order, made durable together; one result for each, in the same order. A refusal of one is
    /// nothing to the others; the outer `Err` means that none was accepted.
    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>>;
    /// Saves answers about records of the job. Adding one that is there changes nothing: the first stays. They stay
    /// whatever becomes of the job, until it is answered or started again.
    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    /// Stores the result; its checkpoints go. Where the job has something to send (see [`Job::sends`]), the
    /// lease goes on, under a token of its own, as the right to hand the result back, else it ends. That is the first
    /// attempt of its delivery.
    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>>;
    /// Leaves the job to a person; the lease ends, checkpoints stay. When `until` has passed and nobody decided, the job
    /// is claimable, with a decision of [`crate::job::Ruling::Lapse`] by `vestibule` added, whoever looks at it. After a
    /// review attempts are counted anew.
    fn suspend(&self, lease: Lease, suspension: Suspension) -> BoxFuture<'_, Result<(), Fault>>;
    /// Puts the job back: it may be claimed again after `delay`. With `untried`, the attempt does not count: nothing
    /// was tried.
    fn release(&self, lease: Lease, delay: Duration, untried: bool) -> BoxFuture<'_, Result<(), Fault>>;
    /// Gives the job up, with a cause that is safe to show. The lease goes on as in [`JobStore::answer`]; the document
    /// counts as refused.
    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>>;
    /// The result was handed back to a caller who waited. Idempotent; unknown and unanswered jobs and those with a
    /// delivery of their own are left as they are.
    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>>;
    /// Like [`JobStore::returned`], without waiting: written with a later change or after a moment, and not at all
    /// when the process dies before that. Then the job stays answered, which loses nothing.
    fn returned_soon(&self, job: JobId);
    /// The other side has taken what was sent: an answered job is returned, a dead one stays dead.
    fn delivered(&self, lease: Lease) -> BoxFuture<'_, Result<(), Fault>>;
    /// Like [`JobStore::delivered`], without waiting, as [`JobStore::returned_soon`]. After a crash it is sent again.
    fn delivered_soon(&self, lease: Lease);
    /// It could not be sent: it may be claimed for delivery again after `delay`.
    fn redeliver(&self, lease: Lease, delay: Duration) -> BoxFuture<'_, Result<(), Fault>>;
    /// It will never be sent, with a cause that is safe to show. The job stays answered or dead.
    fn undeliverable(&self, lease: Lease, cause: String) -> BoxFuture<'_, Result<(), Fault>>;
    /// Leases up to `most` jobs of these flows that are queued and due, in review past their time, or whose lease has
    /// run out: those due longest first, and of one order only the first. A job that was leased when the only owner of
    /// the store died is due at once, before all later ones.
    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>>;
    /// Leases up to `most` finished jobs whose delivery is due or whose lease for it has run out; those due longest
    /// first, of any flow.
    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>>;
    /// Makes the lease, for work or for delivery, last longer, from now.
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>>;
    /// Starts a dead job again, as if it were new: attempts, checkpoints, decisions and what was still to be sent are
    /// gone. Or starts the delivery of an answered one again whose delivery was given up. Due at once. False: it is
    /// neither, or unknown.
    fn retry(&self, job: JobId) -> BoxFuture<'_, Result<bool, Fault>>;
    /// Gives up a job that is queued, leased or in review, with this cause; a worker's lease is worth nothing then. What
    /// [`JobStore::bury`] would send is due for delivery at once. False: it is finished or unknown.
    fn cancel(&self, job: JobId, cause: String) -> BoxFuture<'_, Result<bool, Fault>>;
    /// Takes a job in review for this reviewer, or makes the time longer. False: another one has it, or it is not in
    /// review.
    fn hold(&self, job: JobId, by: String, lasts: Duration) -> BoxFuture<'_, Result<bool, Fault>>;
    /// Adds decisions to a job in review that their makers hold or nobody does, and queues it, due at once. False: as
    /// in [`JobStore::hold`], or there is no decision.
    fn decide(&self, job: JobId, decisions: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>>;
    /// Forgets finished jobs and all that belongs to them, their keys too; how many went. Jobs with a delivery that is
    /// still due stay.
    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<u64, Fault>>;
    /// What waits, one entry for each flow that has something to count, by the flow's name. A job whose lease ran out
    /// counts as leased until it is claimed, and a delivery that is leased as undelivered.
    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>>;
    /// True where this process alone plays this role (`sweep`, `alerts`) among all that share the store, for as long as
    /// a lease lasts from now. Asked again in time, the role is kept.
    fn lead<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<bool, Fault>>;
    /// What a source kept under this name last; `None`: nothing ever.
    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>>;
    /// Keeps the text of a source under this name instead of what was there. Who keeps twice under one name waits for
    /// the first to end. What [`may_be_kept`] refuses is refused, and what was there stays.
    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>>;
    /// Ends when there may be something new to claim, for work or for delivery, now or since the last call; all who
    /// wait are woken. It may end for nothing, and it says nothing about what becomes due by time alone. Never ends
    /// where the store can not tell: who waits has a clock as well.
    fn woken(&self) -> BoxFuture<'_, ()>;
    /// One job, whole.
    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>>;
    /// What is saved of a job's work, in the order of its records.
    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>>;
    /// Jobs, newest first, without their payloads: the bytes of documents and of written replies are empty here, so
    /// that a list is small whatever was sent. [`JobStore::find`] has them.
    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>>;
    /// Ok when the store takes writes.
    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>>;
    /// What an operator should know although it works: a snapshot that is held too long, a log that grows. Empty where
    /// all is well; each is one line, safe to show.
    fn warnings(&self) -> BoxFuture<'_, Result<Vec<String>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// The most bytes of a position's text.
pub const LONGEST_POSITION: usize = 64 * 1024;
/// The most bytes of a position's name.
pub const LONGEST_POSITION_NAME: usize = 1024;

/// What every store refuses to keep as a position: a text or a name that is too long, or that holds a zero character.
pub fn may_be_kept(name: &str, text: &str) -> Result<(), Fault> {
    let refused = |why: String| Err(Fault::new(FaultCode::Store, why));
    if text.len() > LONGEST_POSITION {
        return refused(format!(
            "a position of {} bytes is too long: at most {LONGEST_POSITION}",
            text.len()
        ));
    }
    if name.is_empty() || name.len() > LONGEST_POSITION_NAME {
        return refused(format!("a position's name has 1 to {LONGEST_POSITION_NAME} bytes"));
    }
    if name.contains('\0') || text.contains('\0') {
        return refused("a position holds no zero character".into());
    }
    Ok(())
}
