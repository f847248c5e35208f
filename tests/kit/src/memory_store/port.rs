//! The port over the entries.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use vestibule_core::{
    fault::Fault,
    job::{
        Census, Checkpoint, Claimed, Decision, Delivery, Job, JobFilter, JobId, JobState, Lease, NewJob,
        Remark, Reply, ReplyBody, Submission, Suspension, Sweep,
    },
    ports::JobStore,
};

use super::{MemoryStore, Mistake, entry::Entry};

fn done<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl MemoryStore {
    /// After a job ended: the lease goes on, or not.
    fn hand_over(&self, entry: &mut Entry, sends: bool) -> Option<Lease> {
        self.wake();
        if self.has(Mistake::KeepsParcels) {
            return None;
        }
        (sends || self.has(Mistake::SendsNothing)).then(|| entry.lease_delivery(self.lease_end()))
    }

    fn save(&self, entry: &mut Entry, answers: Vec<Checkpoint>) {
        for answer in answers {
            match entry.checkpoints.iter_mut().find(|it| it.record == answer.record) {
                None => entry.checkpoints.push(answer),
                Some(known) if self.has(Mistake::ReplacesCheckpoints) => *known = answer,
                Some(_) => {}
            }
        }
    }

    fn note_delivered(&self, lease: &Lease) -> Result<(), Fault> {
        self.on_its_way(lease, |it| {
            it.delivered();
            if self.has(Mistake::ReturnsDead) && matches!(it.job.state, JobState::Dead { .. }) {
                it.turn(JobState::Returned { reply: crate::fixtures::reply(b"never given") });
            }
            self.wake();
        })
    }

    fn restart(&self, entry: &mut Entry) -> bool {
        match &entry.job.state {
            JobState::Dead { .. } => entry.restart(self.has(Mistake::RetriesWorn)),
            _ if matches!(entry.job.delivery, Delivery::GivenUp { .. }) => {
                if !self.has(Mistake::ForgetsUndelivered) {
                    entry.send(0, Duration::ZERO);
                }
            }
            _ if self.has(Mistake::RetriesAnything) => entry.restart(false),
            _ => return false,
        }
        true
    }

    fn give_up(&self, entry: &mut Entry, cause: String) -> bool {
        if entry.job.state.is_finished() && !self.has(Mistake::CancelsFinished) {
            return false;
        }
        if self.has(Mistake::CancelsPolitely) && matches!(entry.job.state, JobState::Leased { .. }) {
            return true;
        }
        let sends = entry.bury(cause, Vec::new());
        if sends && !self.has(Mistake::CancelsSilently) {
            entry.send(0, Duration::ZERO);
        }
        true
    }

    fn shortened(&self, mut reply: Reply) -> Reply {
        if let (ReplyBody::Written { bytes, .. }, true) = (&mut reply.body, self.has(Mistake::CutsReplies)) {
            bytes.truncate(bytes.len().saturating_sub(1));
        }
        reply
    }
}

impl JobStore for MemoryStore {
    fn submit_all(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Result<Submission, Fault>>, Fault>> {
        let mut held = self.held();
        let (mut all, mut stopped) = (Vec::with_capacity(jobs.len()), false);
        for job in jobs {
            let submitted =
                if stopped { Ok(Submission::Queued(job.id)) } else { self.accept(&mut held, job) };
            stopped |= submitted.is_err() && self.has(Mistake::StopsAtRefusals);
            all.push(submitted);
        }
        if self.has(Mistake::ShufflesSubmissions) {
            all.reverse();
        }
        done(Ok(all))
    }

    fn checkpoint<'a>(
        &'a self,
        lease: &'a Lease,
        answers: Vec<Checkpoint>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        if self.has(Mistake::TakesAnyCheckpoint) {
            let mut held = self.held();
            if let Some(entry) = held.entries.iter_mut().find(|it| it.job.id == lease.job) {
                self.save(entry, answers);
            }
            return done(Ok(()));
        }
        done(self.at_work(lease, |it| self.save(it, answers)))
    }

    fn answer(&self, lease: Lease, reply: Reply) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        let reply = self.shortened(reply);
        done(self.at_work(&lease, |it| {
            let sends = it.answer(reply);
            if !self.has(Mistake::KeepsCheckpoints) {
                it.checkpoints.clear();
            }
            self.hand_over(it, sends)
        }))
    }

    fn suspend(&self, lease: Lease, suspension: Suspension) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.at_work(&lease, |it| {
            if self.has(Mistake::ForgetsCheckpointsInReview) {
                it.checkpoints.clear();
            }
            it.suspend(suspension);
            self.wake();
        }))
    }

    fn release(&self, lease: Lease, delay: Duration, untried: bool) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.at_work(&lease, |it| {
            if self.has(Mistake::ForgetsCheckpoints) {
                it.checkpoints.clear();
            }
            it.release(delay, untried && !self.has(Mistake::CountsUntried));
            self.wake();
        }))
    }

    fn bury(
        &self,
        lease: Lease,
        cause: String,
        findings: Vec<Remark>,
    ) -> BoxFuture<'_, Result<Option<Lease>, Fault>> {
        done(self.at_work(&lease, |it| {
            let findings = if self.has(Mistake::ForgetsFindings) { Vec::new() } else { findings };
            let sends = it.bury(cause, findings);
            self.hand_over(it, sends)
        }))
    }

    fn returned(&self, job: JobId) -> BoxFuture<'_, Result<(), Fault>> {
        self.mark_returned(job);
        done(Ok(()))
    }

    fn returned_soon(&self, job: JobId) {
        self.mark_returned(job);
    }

    fn delivered(&self, lease: Lease) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.note_delivered(&lease))
    }

    fn delivered_soon(&self, lease: Lease) {
        if !self.has(Mistake::ForgetsSoon) {
            self.note_delivered(&lease).ok();
        }
    }

    fn redeliver(&self, lease: Lease, delay: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.on_its_way(&lease, |it| {
            it.redeliver(delay);
            self.wake();
        }))
    }

    fn undeliverable(&self, lease: Lease, cause: String) -> BoxFuture<'_, Result<(), Fault>> {
        done(self.on_its_way(&lease, |it| {
            it.undeliverable(cause);
            self.wake();
        }))
    }

    fn claim<'a>(&'a self, flows: &'a [Arc<str>], most: usize) -> BoxFuture<'a, Result<Vec<Claimed>, Fault>> {
        done(Ok(self.claim_due(flows, most)))
    }

    fn claim_deliveries(&self, most: usize) -> BoxFuture<'_, Result<Vec<Claimed>, Fault>> {
        done(Ok(self.claim_due_deliveries(most)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Fault>> {
        let until = self.lease_end();
        let extend = |it: &mut Entry| {
            if self.has(Mistake::ForgetsRenewals) {
                return;
            }
            it.due = until;
            if let Delivery::Due { not_before, .. } = &mut it.job.delivery {
                *not_before = until;
            }
        };
        done(self.at_work(lease, extend).or_else(|_| self.on_its_way(lease, extend)))
    }

    fn retry(&self, job: JobId) -> BoxFuture<'_, Result<bool, Fault>> {
        done(Ok(self.of_name(job, |it| self.restart(it))))
    }

    fn cancel(&self, job: JobId, cause: String) -> BoxFuture<'_, Result<bool, Fault>> {
        done(Ok(self.of_name(job, |it| self.give_up(it, cause))))
    }

    fn hold(&self, job: JobId, by: String, lasts: Duration) -> BoxFuture<'_, Result<bool, Fault>> {
        let (ignores, for_ever) = (self.has(Mistake::IgnoresHolds), self.has(Mistake::HoldsForEver));
        done(Ok(self.of_name(job, |it| it.hold(by, lasts, ignores, for_ever))))
    }

    fn decide(&self, job: JobId, decisions: Vec<Decision>) -> BoxFuture<'_, Result<bool, Fault>> {
        let for_ever = self.has(Mistake::HoldsForEver);
        let decide = |it: &mut Entry| {
            let in_review = matches!(it.job.state, JobState::InReview { .. });
            let anyway = (self.has(Mistake::IgnoresHolds) && in_review) || self.has(Mistake::DecidesAnything);
            let decided = it.decide(decisions, anyway, for_ever);
            if self.has(Mistake::ForgetsDecisions) {
                it.job.decisions.clear();
            }
            decided
        };
        done(Ok(self.of_name(job, decide)))
    }

    fn sweep(&self, sweep: Sweep) -> BoxFuture<'_, Result<u64, Fault>> {
        done(Ok(self.forget(&sweep)))
    }

    fn census(&self) -> BoxFuture<'_, Result<Vec<Census>, Fault>> {
        done(Ok(self.counted()))
    }

    fn lead<'a>(&'a self, role: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        done(Ok(self.takes_role(role)))
    }

    fn position<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, Fault>> {
        done(Ok(self.kept(name)))
    }

    fn keep_position<'a>(&'a self, name: &'a str, text: String) -> BoxFuture<'a, Result<(), Fault>> {
        done(self.keep(name, text))
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.wake.notified())
    }

    fn find(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, Fault>> {
        done(Ok(self.held().entries.iter().find(|it| it.job.id == id).map(|it| it.job.clone())))
    }

    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<Vec<Checkpoint>, Fault>> {
        let held = self.held();
        let found = held.entries.iter().find(|it| it.job.id == id);
        let mut saved = found.map(|it| it.checkpoints.clone()).unwrap_or_default();
        saved.sort_by_key(|it| it.record);
        done(Ok(saved))
    }

    fn list(&self, filter: JobFilter) -> BoxFuture<'_, Result<Vec<Job>, Fault>> {
        done(self.listed(&filter))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Fault>> {
        done(Ok(()))
    }
}
