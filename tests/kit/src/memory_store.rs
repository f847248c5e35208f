//! The fake job store: the port's semantics over a vector, for tests of everything above the store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use vestibule_core::{
    document::Hash,
    fault::{Fault, FaultCode, Recovery},
    job::{
        Census, Checkpoint, Claimed, Decision, Delivery, Job, JobFilter, JobId, JobState, Lease, NewJob,
        Remark, Reply, Submission, Suspension, Sweep,
    },
    ports::JobStore,
};

/// A deliberate mistake of a [`MemoryStore`], to prove that a suite can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Takes a key that it knows as a new job.
    ForgetsKeys,
    /// Takes another document under a known key for the same.
    IgnoresFingerprints,
    /// Takes a second job of the same name.
    ReusesNames,
    /// Takes a result under any token.
    IgnoresTokens,
    /// Takes a second result under the same lease.
    AnswersTwice,
    /// Claims the job that is due last.
    ClaimsNewestFirst,
    /// Hands out a job again while its lease lasts.
    ClaimsLeased,
    /// Hands out a released job before its delay is over.
    IgnoresDelays,
    /// Never hands out a job whose lease ran out.
    KeepsLostLeases,
    /// A renewal changes nothing.
    ForgetsRenewals,
    /// Loses the last byte of a reply.
    CutsReplies,
    /// Lists the oldest job first.
    ListsOldestFirst,
    /// Lists jobs of every state.
    IgnoresStateFilter,
    /// Marks a job as returned that has no reply.
    ReturnsUnanswered,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 14] = [
        Self::ForgetsKeys,
        Self::IgnoresFingerprints,
        Self::ReusesNames,
        Self::IgnoresTokens,
        Self::AnswersTwice,
        Self::ClaimsNewestFirst,
        Self::ClaimsLeased,
        Self::IgnoresDelays,
        Self::KeepsLostLeases,
        Self::ForgetsRenewals,
        Self::CutsReplies,
        Self::ListsOldestFirst,
        Self::IgnoresStateFilter,
        Self::ReturnsUnanswered,
    ];
}

/// A job store in memory. Loses everything with the process.
pub struct MemoryStore {
    entries: Mutex<Vec<Entry>>,
    lease: Duration,
    mistake: Option<Mistake>,
}

struct Entry {
    job: Job,
    fingerprint: Hash,
    token: u64,
    attempt: u32,
    due: Timestamp,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl MemoryStore {
    /// An empty store whose leases last this long.
    pub fn new(lease: Duration) -> Self {
        Self { entries: Mutex::default(), lease, mistake: None }
    }

    /// A store with a deliberate mistake.
    pub fn broken(lease: Duration, mistake: Mistake) -> Self {
        Self { mistake: Some(mistake), ..Self::new(lease) }
    }

    /// How many jobs it holds.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// True when no job was ever accepted.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn accept(&self, new: NewJob) -> Result<Submission, Fault> {
        let mut entries = self.entries();
        let known = entries.iter().find(|it| {
            new.document.key.is_some() && it.job.flow == new.flow && it.job.document.key == new.document.key
        });
        if let Some(entry) = known.filter(|_| !self.has(Mistake::ForgetsKeys)) {
            let same = entry.fingerprint == new.fingerprint || self.has(Mistake::IgnoresFingerprints);
            return Ok(if same {
                Submission::Known(Box::new(entry.job.clone()))
            } else {
                Submission::Conflict(entry.job.id)
            });
        }
        if entries.iter().any(|it| it.job.id == new.id) && !self.has(Mistake::ReusesNames) {
            return Err(Fault::new(FaultCode::Store, "a job of this name is already stored"));
        }
        let now = Timestamp::now();
        let state = JobState::Leased { attempt: 1 };
        let job = Job {
            id: new.id,
            flow: new.flow,
            document: new.document,
            state,
            accepted: now,
            changed: now,
            order: new.order,
            return_to: new.return_to,
            delivery: Delivery::Nothing,
            decisions: Vec::new(),
        };
        let due = later(now, self.lease);
        entries.push(Entry { job, fingerprint: new.fingerprint, token: 1, attempt: 1, due });
        Ok(Submission::Accepted(Lease { job: new.id, token: 1 }))
    }

    /// Changes the job under a lease, or refuses.
    fn with_lease(&self, lease: &Lease, change: impl FnOnce(&mut Entry)) -> Result<(), Fault> {
        let mut entries = self.entries();
        let entry = entries.iter_mut().find(|it| it.job.id == lease.job);
        let holds = |it: &Entry| {
            let open = matches!(it.job.state, JobState::Leased { .. }) || self.has(Mistake::AnswersTwice);
            open && (it.token == lease.token || self.has(Mistake::IgnoresTokens))
        };
        let Some(entry) = entry.filter(|it| holds(it)) else {
            return Err(Fault::new(FaultCode::Store, "the lease of this job is not valid any more"));
        };
        change(entry);
        entry.job.changed = Timestamp::now();
        Ok(())
    }

    fn lease_due(&self, most: usize) -> Vec<Claimed> {
        let now = Timestamp::now();
        let mut entries = self.entries();
        let claimable = |it: &&mut Entry| match it.job.state {
            JobState::Queued { .. } => it.due <= now || self.has(Mistake::IgnoresDelays),
            JobState::Leased { .. } => {
                self.has(Mistake::ClaimsLeased) || (it.due <= now && !self.has(Mistake::KeepsLostLeases))
            }
            JobState::InReview { .. }
            | JobState::Answered { .. }
            | JobState::Returned { .. }
            | JobState::Dead { .. } => false,
        };
        let mut due: Vec<_> = entries.iter_mut().filter(claimable).collect();
        due.sort_by_key(|it| it.due);
        if self.has(Mistake::ClaimsNewestFirst) {
            due.reverse();
        }
        let lease = |entry: &mut Entry| {
            entry.token += 1;
            entry.attempt += 1;
            entry.due = later(now, self.lease);
            entry.job.state = JobState::Leased { attempt: entry.attempt };
            entry.job.changed = now;
            Claimed {
                lease: Lease { job: entry.job.id, token: entry.token },
                job: entry.job.clone(),
                checkpoints: Vec::new(),
            }
        };
        due.into_iter().take(most).map(lease).collect()
    }

    fn mark_returned(&self, id: JobId) {
        let mut entries = self.entries();
        let Some(entry) = entries.iter_mut().find(|it| it.job.id == id) else { return };
        match &entry.job.state {
            JobState::Answered { reply } => entry.job.state = JobState::Returned { reply: reply.clone() },
            _ if self.has(Mistake::ReturnsUnanswered) => {
                entry.job.state = JobState::Returned { reply: crate::fixtures::reply(b"never given") };
            }
            _ => return,
        }
        entry.job.changed = Timestamp::now();
    }

    fn listed(&self, filter: &JobFilter) -> Result<Vec<Job>, Fault> {
        if let Some(word) = filter.state.as_deref().filter(|it| !JobState::WORDS.contains(it)) {
            return Err(Fault::new(FaultCode::NotFound, format!("no job state is called {word:?}")));
        }
        let entries = self.entries();
        let fits = |job: &&Job| {
            let state = filter.state.as_deref().is_none_or(|it| it == job.state.word());
            (state || self.has(Mistake::IgnoresStateFilter))
                && filter.flow.as_deref().is_none_or(|it| it == &*job.flow)
        };
        let fitting = entries.iter().map(|it| &it.job).filter(fits).cloned().map(Job::without_payloads);
        let mut jobs: Vec<_> = fitting.collect();
        if !self.has(Mistake::ListsOldestFirst) {
            jobs.reverse();
        }
        jobs.truncate(filter.limit());
        Ok(jobs)
    }

    fn shortened(&self, mut reply: Reply) -> Reply {
        if let (vestibule_core::job::ReplyBody::Written { bytes, .. }, true) =
            (&mut reply.body, self.has(Mistake::CutsReplies))
        {
            bytes.truncate(bytes.len().saturating_sub(1));
        }
        reply
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

fn done<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl JobStore for MemoryStore {
    fn submit(&self, job: NewJob) -> BoxFuture<'_, Result<Submission, Fault>> {
        done(self.accept(job))
    }

    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        done(Ok(jobs.into_iter().map(|it| self.accept(it)).collect()))
    }

    fn checkpoint<'a>(&'a self, _: &'a Lease, _: Vec<Checkpoint>) -> BoxFuture<'a, Result<(), Fault>> {
        unbuilt()
    }

    fn suspend(&self, _: Lease, _: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn delivered(&self, _: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn delivered_soon(&self, _: Lease) {}

    fn redeliver(&self, _: Lease, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn undeliverable(&self, _: Lease, _: String) -> BoxFuture<'_, Result<(), Fault>> {
        unbuilt()
    }

    fn claim_deliveries(&self, _: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn retry(&self, _: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn cancel(&self, _: JobId, _: String) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn hold(&self, _: JobId, _: String, _: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn decide(&self, _: JobId, _: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        unbuilt()
    }

    fn sweep(&self, _: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        unbuilt()
    }

    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn lead<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        let reply = self.shortened(reply);
        done(self.with_lease(&lease, |it| it.job.state = JobState::Answered { reply }).map(|()| None))
    }

    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        self.mark_returned(job);
        done(Ok(()))
    }

    fn returned_soon(&self, job: JobId) {
        self.mark_returned(job);
    }

    fn release(&self, lease: Lease, delay: Duration, _: bool) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.with_lease(&lease, |it| {
            it.due = later(Timestamp::now(), delay);
            it.job.state = JobState::Queued { attempt: it.attempt, not_before: it.due };
        }))
    }

    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        done(self.with_lease(&lease, |it| it.job.state = JobState::Dead { cause, findings }).map(|()| None))
    }

    fn claim<'a>(&'a self, _: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        done(Ok(self.lease_due(most)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        let until = later(Timestamp::now(), self.lease);
        done(self.with_lease(lease, |it| {
            if self.mistake != Some(Mistake::ForgetsRenewals) {
                it.due = until;
            }
        }))
    }

    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        done(Ok(self.entries().iter().find(|it| it.job.id == id).map(|it| it.job.clone())))
    }

    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        done(self.listed(&filter))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        done(Ok(()))
    }
}

/// A store that refuses everything, as a full disk does: for tests of what stands above.
pub struct FailingStore {
    /// What callers are told to do about it.
    pub recovery: Recovery,
}

impl FailingStore {
    fn refuse<'a, T: Send + 'a>(&self) -> BoxFuture<'a, Result<T, Fault>> {
        done(Err(
            Fault::new(FaultCode::Store, "the job store failed, as the test asked").recovery(self.recovery)
        ))
    }
}

impl JobStore for FailingStore {
    fn submit_all(&self, _: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        self.refuse()
    }
    fn checkpoint<'a>(&'a self, _: &'a Lease, _: Vec<Checkpoint>) -> BoxFuture<'a, Result<(), Fault>> {
        self.refuse()
    }
    fn answer(&self, _: Lease, _: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        self.refuse()
    }
    fn suspend(&self, _: Lease, _: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn release(&self, _: Lease, _: Duration, _: bool) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn bury(&self, _: Lease, _: String, _: Vec<Remark>) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        self.refuse()
    }
    fn returned(&self, _: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn returned_soon(&self, _: JobId) {}
    fn delivered(&self, _: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn delivered_soon(&self, _: Lease) {}
    fn redeliver(&self, _: Lease, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn undeliverable(&self, _: Lease, _: String) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
    fn claim<'a>(&'a self, _: &'a [Arc<str>], _: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        self.refuse()
    }
    fn claim_deliveries(&self, _: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        self.refuse()
    }
    fn renew<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        self.refuse()
    }
    fn retry(&self, _: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn cancel(&self, _: JobId, _: String) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn hold(&self, _: JobId, _: String, _: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn decide(&self, _: JobId, _: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        self.refuse()
    }
    fn sweep(&self, _: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        self.refuse()
    }
    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        self.refuse()
    }
    fn lead<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        self.refuse()
    }
    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn find(&self, _: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        self.refuse()
    }
    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        self.refuse()
    }
    fn list(&self, _: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        self.refuse()
    }
    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.refuse()
    }
}

fn unbuilt<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, Fault>> {
    Box::pin(std::future::ready(Err(Fault::new(FaultCode::Internal, "not built yet"))))
}
