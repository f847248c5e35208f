//! The fake job store: the port's semantics over a vector, for tests of everything above the store.

mod entry;
mod failing;
mod mistake;
mod port;
mod position;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use vestibule_core::{
    fault::{Fault, FaultCode},
    job::{
        Census, Claimed, Delivery, Job, JobFilter, JobId, JobState, Lease, NewJob, Start, Submission, Sweep,
    },
};

use self::entry::Entry;

pub use failing::FailingStore;
pub use mistake::Mistake;

/// A job store in memory. Loses everything with the process.
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// Which of the processes that share the store this one stands for.
    process: u64,
}

struct Shared {
    held: Mutex<Held>,
    lease: Duration,
    mistake: Option<Mistake>,
    wake: Notify,
    processes: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// In the order of their acceptance.
    entries: Vec<Entry>,
    /// Who has a role, and until when.
    roles: HashMap<String, (u64, Timestamp)>,
    /// What sources kept.
    positions: HashMap<String, String>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl MemoryStore {
    /// An empty store whose leases last this long.
    pub fn new(lease: Duration) -> Self {
        Self::with(lease, None)
    }

    /// A store with a deliberate mistake.
    pub fn broken(lease: Duration, mistake: Mistake) -> Self {
        Self::with(lease, Some(mistake))
    }

    fn with(lease: Duration, mistake: Option<Mistake>) -> Self {
        let (held, wake, processes) = (Mutex::default(), Notify::new(), AtomicU64::new(1));
        Self { shared: Arc::new(Shared { held, lease, mistake, wake, processes }), process: 0 }
    }

    /// The same store as another process has it: one of many that share the work.
    #[must_use]
    pub fn beside(&self) -> Self {
        let process = self.shared.processes.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), process }
    }

    /// How many jobs it holds.
    pub fn len(&self) -> usize {
        self.held().entries.len()
    }

    /// True when it holds no job.
    pub fn is_empty(&self) -> bool {
        self.held().entries.is_empty()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.shared.mistake == Some(mistake)
    }

    fn lease_end(&self) -> Timestamp {
        later(Timestamp::now(), self.shared.lease)
    }

    fn wake(&self) {
        if !self.has(Mistake::NeverWakes) {
            // Those who wait now, and whoever asks next.
            self.shared.wake.notify_waiters();
            self.shared.wake.notify_one();
        }
    }

    fn accept(&self, held: &mut Held, new: NewJob) -> Result<Submission, Fault> {
        let known = held.entries.iter().find(|it| {
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
        if held.entries.iter().any(|it| it.job.id == new.id) && !self.has(Mistake::ReusesNames) {
            return Err(Fault::new(FaultCode::Store, "a job of this name is already stored"));
        }
        let in_line = |it: &Entry| it.job.flow == new.flow && it.job.order == new.order && self.in_line(it);
        let is_behind = new.order.is_some()
            && !self.has(Mistake::IgnoresOrder)
            && !self.has(Mistake::OvertakesAtSubmission)
            && held.entries.iter().any(in_line);
        let now = new.start == Start::Now || self.has(Mistake::StartsAtOnce);
        let id = new.id;
        let mut entry = Entry::new(new);
        if self.has(Mistake::ForgetsAttributes) {
            entry.job.document.attributes.clear();
        }
        if self.has(Mistake::ForgetsReturnAddresses) {
            entry.job.return_to = None;
        }
        let submission = if now && !is_behind {
            Submission::Accepted(entry.lease(self.lease_end()))
        } else {
            self.wake();
            Submission::Queued(id)
        };
        held.entries.push(entry);
        Ok(submission)
    }

    /// True while the next of its order has to wait for it.
    fn in_line(&self, entry: &Entry) -> bool {
        match &entry.job.state {
            JobState::InReview { .. } => !self.has(Mistake::OvertakesReviews),
            state if !state.is_finished() => true,
            _ if self.has(Mistake::StopsOrders) => true,
            _ => {
                matches!(entry.job.delivery, Delivery::Due { .. }) && !self.has(Mistake::OvertakesDeliveries)
            }
        }
    }

    /// The positions of the jobs that may be worked on now, as far as their order goes: of each order the one that is
    /// under way, else the first that is not done.
    fn first_of_orders(&self, entries: &[Entry]) -> HashMap<(Arc<str>, Arc<str>), usize> {
        let mut first: HashMap<_, (usize, bool)> = HashMap::new();
        for (number, entry) in entries.iter().enumerate().filter(|(_, it)| self.in_line(it)) {
            let Some(order) = &entry.job.order else { continue };
            let is_under_way =
                matches!(entry.job.state, JobState::Leased { .. }) || entry.job.state.is_finished();
            let place = first
                .entry((Arc::clone(&entry.job.flow), Arc::clone(order)))
                .or_insert((number, is_under_way));
            if is_under_way && !place.1 {
                *place = (number, true);
            }
        }
        first.into_iter().map(|(order, (number, _))| (order, number)).collect()
    }

    fn claim_due(&self, flows: &[Arc<str>], most: usize) -> Vec<Claimed> {
        let now = Timestamp::now();
        let mut held = self.held();
        let first = self.first_of_orders(&held.entries);
        let is_first = |number: usize, job: &Job| {
            let order = job.order.as_ref().filter(|_| !self.has(Mistake::IgnoresOrder));
            order.is_none_or(|it| first.get(&(Arc::clone(&job.flow), Arc::clone(it))) == Some(&number))
        };
        let is_due = |it: &Entry| match it.job.state {
            JobState::Queued { .. } => it.due <= now || self.has(Mistake::IgnoresDelays),
            JobState::Leased { .. } => {
                self.has(Mistake::ClaimsLeased) || (it.due <= now && !self.has(Mistake::KeepsLostLeases))
            }
            JobState::InReview { .. } => it.due <= now && !self.has(Mistake::NeverLapses),
            JobState::Answered { .. } | JobState::Returned { .. } | JobState::Dead { .. } => false,
        };
        let claimable = |(number, it): &(usize, &mut Entry)| {
            (flows.contains(&it.job.flow) || self.has(Mistake::ClaimsAnyFlow))
                && is_due(it)
                && is_first(*number, &it.job)
        };
        let mut due: Vec<_> = held.entries.iter_mut().enumerate().filter(claimable).collect();
        due.sort_by_key(|(_, it)| it.due);
        if self.has(Mistake::ClaimsNewestFirst) {
            due.reverse();
        }
        let claim = |(_, entry): (usize, &mut Entry)| {
            if matches!(entry.job.state, JobState::InReview { .. }) {
                entry.lapse(now, self.has(Mistake::LapsesSilently));
            }
            let lease = entry.lease(self.lease_end());
            Claimed { lease, job: entry.job.clone(), checkpoints: entry.checkpoints.clone() }
        };
        due.into_iter().take(most).map(claim).collect()
    }

    fn claim_due_deliveries(&self, most: usize) -> Vec<Claimed> {
        let now = Timestamp::now();
        let mut held = self.held();
        let claimable = |it: &&mut Entry| match it.job.delivery {
            Delivery::Due { .. } if it.delivering => {
                self.has(Mistake::DeliversLeased)
                    || (it.due <= now && !self.has(Mistake::KeepsLostDeliveries))
            }
            Delivery::Due { .. } => it.due <= now || self.has(Mistake::IgnoresDeliveryDelays),
            Delivery::GivenUp { .. } => self.has(Mistake::DeliversGivenUp),
            Delivery::Nothing | Delivery::Done => false,
        };
        let mut due: Vec<_> = held.entries.iter_mut().filter(claimable).collect();
        due.sort_by_key(|it| it.due);
        let claim = |entry: &mut Entry| {
            let lease = entry.lease_delivery(self.lease_end());
            Claimed { lease, job: entry.job.clone(), checkpoints: Vec::new() }
        };
        due.into_iter().take(most).map(claim).collect()
    }

    /// Changes a job that is worked on under this lease, or refuses.
    fn at_work<T>(&self, lease: &Lease, change: impl FnOnce(&mut Entry) -> T) -> Result<T, Fault> {
        let is_at_work = |it: &Entry| {
            matches!(it.job.state, JobState::Leased { .. })
                || self.has(Mistake::AnswersTwice)
                || (self.has(Mistake::ConfusesLeases) && it.delivering)
        };
        self.with_token(lease, is_at_work, Mistake::IgnoresTokens, change)
    }

    /// Changes a job whose result is handed back under this lease, or refuses.
    fn on_its_way<T>(&self, lease: &Lease, change: impl FnOnce(&mut Entry) -> T) -> Result<T, Fault> {
        let is_on_its_way = |it: &Entry| {
            it.delivering
                || (self.has(Mistake::ConfusesLeases) && matches!(it.job.state, JobState::Leased { .. }))
                || (self.has(Mistake::IgnoresDeliveryTokens) && it.job.state.is_finished())
        };
        self.with_token(lease, is_on_its_way, Mistake::IgnoresDeliveryTokens, change)
    }

    fn with_token<T>(
        &self,
        lease: &Lease,
        fits: impl Fn(&Entry) -> bool,
        carelessly: Mistake,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, Fault> {
        let mut held = self.held();
        let entry = held.entries.iter_mut().find(|it| it.job.id == lease.job);
        let holds = |it: &Entry| fits(it) && (it.token == lease.token || self.has(carelessly));
        match entry.filter(|it| holds(it)) {
            Some(entry) => Ok(change(entry)),
            None => Err(Fault::new(FaultCode::Store, "the lease of this job is not valid any more")),
        }
    }

    /// Changes a job that is there; false where it is not, or the change says so.
    fn of_name(&self, id: JobId, change: impl FnOnce(&mut Entry) -> bool) -> bool {
        let changed = self.held().entries.iter_mut().find(|it| it.job.id == id).is_some_and(change);
        if changed {
            self.wake();
        }
        changed
    }

    fn mark_returned(&self, id: JobId) {
        let mut held = self.held();
        let Some(entry) = held.entries.iter_mut().find(|it| it.job.id == id) else { return };
        match &entry.job.state {
            _ if self.has(Mistake::ReturnsUnanswered) && entry.job.state.reply().is_none() => {
                entry.turn(JobState::Returned { reply: crate::fixtures::reply(b"never given") });
            }
            JobState::Answered { reply }
                if entry.job.delivery == Delivery::Nothing || self.has(Mistake::ReturnsUndelivered) =>
            {
                entry.turn(JobState::Returned { reply: reply.clone() });
            }
            _ => {}
        }
    }

    fn forget(&self, sweep: &Sweep) -> u64 {
        let mut held = self.held();
        let is_old = |before: Option<Timestamp>, it: &Entry| {
            before.is_some_and(|before| it.job.changed < before || self.has(Mistake::SweepsYoung))
        };
        let goes = |it: &Entry| {
            let due = matches!(it.job.delivery, Delivery::Due { .. });
            let of_age = match it.job.state {
                JobState::Dead { .. } if self.has(Mistake::SweepsDead) => is_old(sweep.finished_before, it),
                JobState::Dead { .. } => is_old(sweep.dead_before, it),
                JobState::Answered { .. } | JobState::Returned { .. } => is_old(sweep.finished_before, it),
                JobState::Queued { .. } | JobState::Leased { .. } | JobState::InReview { .. } => false,
            };
            (it.job.flow == sweep.flow || self.has(Mistake::SweepsAnyFlow))
                && (!due || self.has(Mistake::SweepsUndelivered))
                && of_age
        };
        let most = if self.has(Mistake::SweepsWithoutLimit) { usize::MAX } else { sweep.most };
        let mut gone = 0;
        held.entries.retain(|it| {
            let stays = gone == most || !goes(it);
            gone += usize::from(!stays);
            stays
        });
        u64::try_from(gone).unwrap_or(u64::MAX)
    }

    fn counted(&self) -> Vec<Census> {
        let mut flows: Vec<Census> = Vec::new();
        for Entry { job, .. } in &self.held().entries {
            let mut count = Census::default();
            let due = matches!(job.delivery, Delivery::Due { .. });
            count.undelivered = u64::from(due);
            match job.state {
                JobState::Queued { .. } => count.queued = 1,
                JobState::Leased { .. } => count.leased = 1,
                JobState::InReview { .. } => count.in_review = 1,
                JobState::Dead { .. } => count.dead = 1,
                _ if self.has(Mistake::CountsFinished) => count.queued = 1,
                _ if due => {}
                JobState::Answered { .. } | JobState::Returned { .. } => continue,
            }
            let same = |it: &Census| it.flow == job.flow || self.has(Mistake::CountsFlowsTogether);
            let total = match flows.iter().position(same).and_then(|it| flows.get_mut(it)) {
                Some(total) => total,
                None => {
                    flows.push(Census { flow: Arc::clone(&job.flow), ..Census::default() });
                    let Some(total) = flows.last_mut() else { continue };
                    total
                }
            };
            if count.queued + count.leased > 0 {
                total.oldest = Some(total.oldest.map_or(job.accepted, |it| it.min(job.accepted)));
            }
            total.queued += count.queued;
            total.leased += count.leased;
            total.in_review += count.in_review;
            total.undelivered += count.undelivered;
            total.dead += count.dead;
        }
        flows.sort_by(|one, other| one.flow.cmp(&other.flow));
        flows
    }

    fn listed(&self, filter: &JobFilter) -> Result<Vec<Job>, Fault> {
        if let Some(word) = filter.state.as_deref().filter(|it| !JobState::WORDS.contains(it)) {
            return Err(Fault::new(FaultCode::NotFound, format!("no job state is called {word:?}")));
        }
        let fits = |job: &&Job| {
            let state = filter.state.as_deref().is_none_or(|it| it == job.state.word());
            let age = filter.before.is_none_or(|it| job.accepted < it)
                && filter.since.is_none_or(|it| job.accepted >= it);
            (state || self.has(Mistake::IgnoresStateFilter))
                && filter.flow.as_deref().is_none_or(|it| it == &*job.flow)
                && (age || self.has(Mistake::IgnoresAgeFilter))
                && filter.cause.as_deref().is_none_or(|it| self.has_cause(job, it))
        };
        let held = self.held();
        let fitting = held.entries.iter().map(|it| &it.job).filter(fits).cloned().map(Job::without_payloads);
        let mut jobs: Vec<_> = fitting.collect();
        if !self.has(Mistake::ListsOldestFirst) {
            jobs.reverse();
        }
        jobs.truncate(filter.limit());
        Ok(jobs)
    }

    fn has_cause(&self, job: &Job, text: &str) -> bool {
        let holds = |cause: &str| {
            if self.has(Mistake::MindsCase) {
                cause.contains(text)
            } else {
                cause.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
            }
        };
        let dead = matches!(&job.state, JobState::Dead { cause, .. } if holds(cause));
        let undelivered = matches!(&job.delivery, Delivery::GivenUp { cause } if holds(cause));
        dead || undelivered || self.has(Mistake::IgnoresCauseFilter)
    }

    fn takes_role(&self, role: &str) -> bool {
        let now = Timestamp::now();
        let mut held = self.held();
        let other = held.roles.get(role).filter(|(process, until)| {
            *process != self.process && (*until > now || self.has(Mistake::LeadsForEver))
        });
        let takes = other.is_none() || self.has(Mistake::LeadsWithAll);
        if takes {
            held.roles.insert(role.to_owned(), (self.process, self.lease_end()));
        }
        takes
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
