//! The work on a leased job, from its start until its end is stored and its result is on its way.

use std::sync::Arc;

use super::{
    Runner,
    claiming::interrupted,
    ending::{After, Saves, cause, end, keep, lose, put_back, say_failed, suspend},
    lanes::Seat,
    waiting::{Landing, Working},
    work::Work,
};
use crate::{
    fault::Fault,
    flow::Ended,
    job::{JobState, Lease},
    ports::JobStore,
};

impl Runner {
    /// Waits for room, then works on a leased job. In a drain, work that was not begun is put back for others.
    pub(super) async fn work_in_turn(
        self: &Arc<Self>,
        store: Arc<dyn JobStore>,
        lease: Lease,
        work: Work,
        seat: Option<Seat>,
        working: Working,
    ) {
        let lane = Arc::clone(&work.served.lane);
        let seat = match seat.or_else(|| lane.try_seat()) {
            Some(seat) => seat,
            // Cancel-safe: waiting for room changes nothing; without the lease the work is another's.
            None => tokio::select! {
                seat = lane.seat() => seat,
                fault = lose(&store, &lease) => return working.land(Landing::failed(&fault, true)),
                () = self.tasks.draining() => {
                    working.land(interrupted());
                    return put_back(store.as_ref(), lease).await;
                }
            },
        };
        self.work_on(store, lease, work, seat, working).await;
    }

    /// Works on a leased job until its end is stored, and gives its result to the outbox.
    pub(super) async fn work_on(
        self: &Arc<Self>,
        store: Arc<dyn JobStore>,
        lease: Lease,
        mut work: Work,
        mut seat: Seat,
        working: Working,
    ) {
        let (id, served) = (lease.job, Arc::clone(&work.served));
        seat.begin();
        let saves = Saves { store: store.as_ref(), lease: &lease };
        let result = tokio::select! {
            // Cancel-safe: the losing branch is dropped whole; a lost lease means that the result may not be stored.
            result = work.run(id, Some(&saves)) => result,
            fault = lose(&store, &lease) => Err(fault),
        };
        served.tally.lasted(seat.elapsed());
        let is_ordered = work.order.is_some();
        let (landing, owed) = self.store_end(&store, lease, &work, result).await;
        working.land(landing);
        match owed {
            Some((lease, state)) => self.outbox.post(lease, work.into_finished(id, state)).await,
            // The next of its order may be claimed; where something is to be handed back, after that.
            None if is_ordered => self.wakes.claims.notify_one(),
            None => {}
        }
        drop(seat);
    }

    /// Stores how the work ended. Also what is to be handed back, with the right to do so.
    async fn store_end(
        &self,
        store: &Arc<dyn JobStore>,
        lease: Lease,
        work: &Work,
        result: Result<Ended, Fault>,
    ) -> (Landing, Option<(Lease, JobState)>) {
        let (id, flow, tally) = (lease.job, work.served.name(), &work.served.tally);
        let stored = match result {
            Ok(Ended::Reply(reply)) => keep(store.as_ref(), lease, &reply).await.map(|left| {
                tally.ended(reply.outcome);
                let owed = left.map(|lease| (lease, JobState::Answered { reply: reply.clone() }));
                (Landing::Replied(Arc::new(reply)), owed)
            }),
            Ok(Ended::Review(held)) => suspend(store.as_ref(), lease, &held).await.map(|()| {
                tally.reviews.one();
                (Landing::Held(Arc::new(held.reply)), None)
            }),
            Err(fault) => return self.store_failure(store, lease, work, &fault).await,
        };
        stored.unwrap_or_else(|fault| {
            // The lease runs out, and the job is finished from the queue.
            tracing::error!(job = %id, %flow, %fault, cause = cause(&fault), "a result could not be stored");
            tally.failed(&fault);
            (Landing::failed(&fault, true), None)
        })
    }

    async fn store_failure(
        &self,
        store: &Arc<dyn JobStore>,
        lease: Lease,
        work: &Work,
        fault: &Fault,
    ) -> (Landing, Option<(Lease, JobState)>) {
        let tally = &work.served.tally;
        say_failed(lease.job, work.served.name(), work.attempt, fault);
        tally.failed(fault);
        match end(store.as_ref(), tally, lease, work.attempt, fault).await {
            After::GoesOn | After::Unknown => (Landing::failed(fault, true), None),
            After::Dead(left) => {
                let dead = |lease| (lease, JobState::Dead { cause: fault.to_string(), findings: Vec::new() });
                (Landing::failed(fault, false), left.map(dead))
            }
        }
    }
}
