//! One job in memory, and what may become of it.

use std::time::Duration;

use jiff::Timestamp;
use vestibule_core::{
    document::Hash,
    finding::Outcome,
    job::{
        Checkpoint, Decision, Delivery, Hold, Job, JobState, Lease, NewJob, Remark, Reply, Ruling, Suspension,
    },
};

use super::later;

pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) fingerprint: Hash,
    pub(super) token: u64,
    attempt: u32,
    /// When it may be claimed, for work or for delivery; where it is leased, when the lease runs out.
    pub(super) due: Timestamp,
    pub(super) checkpoints: Vec<Checkpoint>,
    /// True while its delivery is leased.
    pub(super) delivering: bool,
}

impl Entry {
    /// A queued job, due now.
    pub(super) fn new(new: NewJob) -> Self {
        let now = Timestamp::now();
        let job = Job {
            id: new.id,
            flow: new.flow,
            document: new.document,
            state: JobState::Queued { attempt: 0, not_before: now },
            accepted: now,
            changed: now,
            order: new.order,
            return_to: new.return_to,
            delivery: Delivery::Nothing,
            decisions: Vec::new(),
        };
        let fingerprint = new.fingerprint;
        Self { job, fingerprint, token: 0, attempt: 0, due: now, checkpoints: Vec::new(), delivering: false }
    }

    /// Goes to another state.
    pub(super) fn turn(&mut self, state: JobState) {
        self.job.state = state;
        self.job.changed = Timestamp::now();
    }

    fn queue(&mut self, delay: Duration) {
        self.due = later(Timestamp::now(), delay);
        self.turn(JobState::Queued { attempt: self.attempt, not_before: self.due });
    }

    fn next_token(&mut self) -> Lease {
        self.token += 1;
        Lease { job: self.job.id, token: self.token }
    }

    /// Leases it for work.
    pub(super) fn lease(&mut self, until: Timestamp) -> Lease {
        self.attempt += 1;
        self.due = until;
        self.turn(JobState::Leased { attempt: self.attempt });
        self.next_token()
    }

    /// Leases its delivery.
    pub(super) fn lease_delivery(&mut self, until: Timestamp) -> Lease {
        let attempt = match self.job.delivery {
            Delivery::Due { attempt, .. } => attempt,
            _ => 0,
        };
        self.due = until;
        self.delivering = true;
        self.job.delivery = Delivery::Due { attempt: attempt + 1, not_before: until };
        self.next_token()
    }

    pub(super) fn release(&mut self, delay: Duration, untried: bool) {
        self.attempt = self.attempt.saturating_sub(untried.into());
        self.queue(delay);
    }

    pub(super) fn suspend(&mut self, suspension: Suspension) {
        let Suspension { reply, until } = suspension;
        self.due = until.unwrap_or(Timestamp::MAX);
        self.turn(JobState::InReview { reply, until, hold: None });
    }

    /// Ends it with a result; true where there is something to send.
    pub(super) fn answer(&mut self, reply: Reply) -> bool {
        let is_refused = reply.outcome == Outcome::Reject;
        self.turn(JobState::Answered { reply });
        Job::sends(self.job.return_to.as_ref(), is_refused)
    }

    /// Gives it up; true where there is something to send.
    pub(super) fn bury(&mut self, cause: String, findings: Vec<Remark>) -> bool {
        self.turn(JobState::Dead { cause, findings });
        Job::sends(self.job.return_to.as_ref(), true)
    }

    /// What it has to send is due after this delay.
    pub(super) fn send(&mut self, attempt: u32, delay: Duration) {
        self.due = later(Timestamp::now(), delay);
        self.delivering = false;
        self.job.delivery = Delivery::Due { attempt, not_before: self.due };
    }

    pub(super) fn redeliver(&mut self, delay: Duration) {
        if let Delivery::Due { attempt, .. } = self.job.delivery {
            self.send(attempt, delay);
        }
    }

    pub(super) fn delivered(&mut self) {
        self.delivering = false;
        self.job.delivery = Delivery::Done;
        if let JobState::Answered { reply } = &self.job.state {
            self.turn(JobState::Returned { reply: reply.clone() });
        }
    }

    pub(super) fn undeliverable(&mut self, cause: String) {
        self.delivering = false;
        self.job.delivery = Delivery::GivenUp { cause };
    }

    /// Starts again as if it were new.
    pub(super) fn restart(&mut self, keeps_attempts: bool) {
        self.attempt = if keeps_attempts { self.attempt } else { 0 };
        self.checkpoints.clear();
        self.job.decisions.clear();
        self.delivering = false;
        self.job.delivery = Delivery::Nothing;
        self.queue(Duration::ZERO);
    }

    pub(super) fn hold(&mut self, by: String, lasts: Duration, ignores: bool, for_ever: bool) -> bool {
        let may = ignores || self.may_review(&by, for_ever);
        let JobState::InReview { hold, .. } = &mut self.job.state else { return false };
        if may {
            *hold = Some(Hold { by, until: later(Timestamp::now(), lasts) });
        }
        may
    }

    /// True where it is in review, and nobody else looks at it.
    fn may_review(&self, by: &str, for_ever: bool) -> bool {
        let now = Timestamp::now();
        match &self.job.state {
            JobState::InReview { hold, .. } => {
                hold.as_ref().is_none_or(|it| it.by == by || (it.until <= now && !for_ever))
            }
            _ => false,
        }
    }

    pub(super) fn decide(&mut self, decisions: Vec<Decision>, anyway: bool, for_ever: bool) -> bool {
        let all_may = decisions.iter().all(|it| self.may_review(&it.by, for_ever));
        let may = !decisions.is_empty() && (all_may || anyway);
        if may {
            self.job.decisions.extend(decisions);
            self.attempt = 0;
            self.queue(Duration::ZERO);
        }
        may
    }

    /// Nobody decided in time.
    pub(super) fn lapse(&mut self, at: Timestamp, silently: bool) {
        self.attempt = 0;
        let decision =
            Decision { record: None, ruling: Ruling::Lapse, by: "vestibule".into(), at, note: None };
        self.job.decisions.extend((!silently).then_some(decision));
    }
}
