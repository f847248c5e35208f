//! Jobs of the store: what was interrupted, put back, decided by a person, or left to the queue.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    ATTEMPTS, BATCH, CLAIM_AGAIN, POLL, Runner, UNSERVED, backoff,
    calling::shutting_down,
    ending::{After, cause, end},
    lanes::Seat,
    served::Served,
    waiting::Landing,
    work::{Work, attempts, read},
};
use crate::{
    fault::{Fault, FaultCode},
    job::{Claimed, Job, JobState, Lease},
    ports::JobStore,
};

/// The shortest time between two questions to a store that had nothing: wakes come in crowds.
const BREATH: Duration = Duration::from_millis(5);

/// From this much room on a flow is a wide one: it is not to wait for narrow ones that take a job at a time.
const WIDE: usize = 16;

impl Runner {
    /// Claims jobs for as long as the process takes work. Each job has a task of its own: one that takes long, or
    /// panics, stands in no other's way.
    pub(super) async fn resume(self: Arc<Self>, store: Arc<dyn JobStore>) {
        while !self.tasks.is_draining() {
            let mut failed = None;
            let mut is_idle = true;
            for (flows, most) in self.open_flows() {
                match store.claim(&flows, most).await {
                    Ok(claimed) => {
                        is_idle &= claimed.is_empty();
                        self.begin_claimed(&store, claimed);
                    }
                    Err(fault) => failed = Some(fault),
                }
            }
            if let Some(fault) = failed {
                tracing::error!(%fault, cause = cause(&fault), "the store could not be asked for work");
                // Cancel-safe: both only wait.
                tokio::select! { () = sleep(CLAIM_AGAIN) => {}, () = self.tasks.draining() => return }
            } else if is_idle {
                sleep(BREATH).await;
                // Cancel-safe: all only wait.
                tokio::select! {
                    () = sleep(POLL) => {}
                    () = self.wakes.claims.notified() => {}
                    () = self.tasks.draining() => return,
                }
            }
        }
    }

    fn begin_claimed(self: &Arc<Self>, store: &Arc<dyn JobStore>, claimed: Vec<Claimed>) {
        if !claimed.is_empty() {
            tracing::debug!(jobs = claimed.len(), "jobs claimed");
        }
        for one in claimed {
            let (runner, store) = (Arc::clone(self), Arc::clone(store));
            // Seated before anybody looks for room again.
            let seat = self.serving(&one.job.flow).and_then(|it| it.lane.try_seat());
            self.tasks.spawn(async move { runner.finish(store, one, seat).await });
        }
    }

    /// Flows that have room, and how many jobs each of them has room for, at least: the wide ones and the narrow ones. More
    /// would be leased here without work while other processes are idle, and each lease counts as a try when this process
    /// is killed.
    fn open_flows(&self) -> Vec<(Vec<Arc<str>>, usize)> {
        let mut groups = [(Vec::new(), BATCH), (Vec::new(), BATCH)];
        // Also of a flow that keeps nothing any more: what was accepted before is finished.
        for served in &self.served {
            let room = served.lane.wanted();
            if room > 0 && served.lane.waiting() == 0 {
                let [wide, narrow] = &mut groups;
                let (flows, most) = if room >= WIDE { wide } else { narrow };
                flows.push(Arc::clone(served.name()));
                *most = room.min(*most);
            }
        }
        groups.into_iter().filter(|(flows, _)| !flows.is_empty()).collect()
    }

    pub(super) fn serving(&self, flow: &str) -> Option<&Arc<Served>> {
        self.by_name.get(flow).and_then(|it| self.served.get(*it))
    }

    async fn finish(self: &Arc<Self>, store: Arc<dyn JobStore>, claimed: Claimed, seat: Option<Seat>) {
        let (id, attempt) = (claimed.job.id, attempts(&claimed.job.state));
        // What people decided is no attempt that failed.
        let decided = u32::try_from(claimed.job.decisions.len()).unwrap_or(u32::MAX);
        let Some(served) = self.serving(&claimed.job.flow) else {
            // Another process, or this one with its mapping back in place, may serve it: nothing accepted is lost.
            tracing::error!(job = %id, flow = %claimed.job.flow, "the flow of this job is not served here");
            let _ = store.release(claimed.lease, backoff::jittered(UNSERVED), true).await;
            return;
        };
        served.claimed_one();
        let prepared = if attempt > ATTEMPTS.saturating_add(decided) {
            Err(Fault::new(FaultCode::Internal, "interrupted too often"))
        } else {
            read(&served.flow, &claimed.job.document)
        };
        match prepared {
            Ok(extraction) => {
                let working = self.under_way.begin(id);
                let (lease, work) = Work::claimed(served, claimed, extraction);
                self.work_in_turn(store, lease, work, seat, working).await;
            }
            Err(fault) => self.give_up(&store, served, claimed.lease, claimed.job, &fault).await,
        }
    }

    /// Ends a job on which there is nothing to work.
    pub(super) async fn give_up(
        &self,
        store: &Arc<dyn JobStore>,
        served: &Arc<Served>,
        lease: Lease,
        job: Job,
        fault: &Fault,
    ) {
        tracing::error!(job = %job.id, flow = %job.flow, %fault, "a job can not be finished");
        served.tally.failed(fault);
        let is_ordered = job.order.is_some();
        match end(store.as_ref(), &served.tally, lease, ATTEMPTS, fault).await {
            After::Dead(Some(lease)) => {
                let state = JobState::Dead { cause: fault.to_string(), findings: Vec::new() };
                self.outbox.post(lease, Job { state, ..job }).await;
            }
            After::Dead(None) | After::GoesOn | After::Unknown => {
                if is_ordered {
                    self.wakes.claims.notify_one();
                }
            }
        }
    }

    /// Tells whoever looks for work of what the store says.
    pub(super) async fn listen(self: Arc<Self>, store: Arc<dyn JobStore>) {
        loop {
            // Cancel-safe: it only waits.
            tokio::select! {
                () = store.woken() => self.wakes.all(),
                () = self.tasks.draining() => return,
            }
            // A store that is always awake does not keep the process busy.
            sleep(BREATH).await;
        }
    }
}

pub(super) fn interrupted() -> Landing {
    Landing::failed(&shutting_down(), true)
}
