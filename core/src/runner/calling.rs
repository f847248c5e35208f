//! Calls: a document that somebody hands in, who waits for the result or takes a ticket.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Called, GLANCE, Request, Runner, Wait,
    lanes::Seat,
    served::Served,
    waiting::{Landed, Landing, Seen, Watcher, landed},
    work::{Work, conflict, late, submit, within},
};
use crate::{
    fault::{Fault, FaultCode, Recovery},
    flow::Ended,
    job::{Job, JobId, JobState, Reply, Start, Submission, Suspension},
    mapping::plan::Tickets,
    ports::JobStore,
};

/// How a caller is answered.
#[derive(Clone, Copy)]
struct Manner {
    /// When it is gone.
    until: Instant,
    /// It gets a ticket when it must not wait any longer.
    takes_ticket: bool,
}

impl Runner {
    /// Accepts a document for a flow and waits for its result as the request and the mapping say, at the longest for the
    /// flow's deadline. Dropping the future drops the waiting, never the job.
    ///
    /// `Unavailable` means that nothing was accepted. A fault about a job that was accepted carries its ticket.
    pub async fn call(self: &Arc<Self>, request: Request) -> Result<Called, Fault> {
        let Request { flow, document, extraction, wait, return_to } = request;
        let served =
            self.served.get(flow).ok_or_else(|| Fault::new(FaultCode::NotFound, "there is no such flow"))?;
        if self.tasks.is_draining() {
            return Err(shutting_down());
        }
        let store = self.store.clone().filter(|_| served.is_durable());
        let tickets = served.flow.mapping.handling.tickets;
        check_ticket(wait, tickets, store.is_some())?;
        served.takes_work().inspect_err(|_| served.tally.busy.one())?;
        let mut work = Work::received(served, document, extraction, return_to);
        let deadline = served.flow.mapping.deadline;
        let began = Instant::now();
        let patience = match wait {
            Wait::AtMost(longest) => deadline.min(longest),
            Wait::Result | Wait::Ticket => deadline,
        };
        let manner = Manner {
            until: began + patience,
            takes_ticket: tickets == Tickets::Late
                || (tickets != Tickets::Never && matches!(wait, Wait::AtMost(_))),
        };
        let Some(store) = store else {
            let seat = self.seat(served, deadline.min(patience) / 2).await?;
            work.until = Some(began + deadline);
            return self.call_unkept(work, seat, manner.until).await;
        };
        if wait == Wait::Ticket || tickets == Tickets::Always {
            return self.take_in(store, work).await;
        }
        // Who is content with a ticket soon does not wait for room longer than for the result.
        let turn = (deadline / 2).min(patience);
        match served.lane.seat_within(turn).await {
            Ok(seat) => {
                work.until = Some(began + deadline);
                self.call_durably(store, work, seat, manner).await
            }
            Err(_) if matches!(wait, Wait::AtMost(_)) && manner.takes_ticket && turn < deadline / 2 => {
                self.take_in(store, work).await
            }
            Err(fault) => {
                served.tally.busy.one();
                Err(fault)
            }
        }
    }

    async fn seat(&self, served: &Served, within: Duration) -> Result<Seat, Fault> {
        served.lane.seat_within(within).await.inspect_err(|_| served.tally.busy.one())
    }

    /// Accepts a document that nobody waits for.
    async fn take_in(self: &Arc<Self>, store: Arc<dyn JobStore>, mut work: Work) -> Result<Called, Fault> {
        let served = Arc::clone(&work.served);
        served.starts_in_time().inspect_err(|_| served.tally.busy.one())?;
        let (id, until) = (JobId::fresh(), Instant::now() + served.flow.mapping.deadline);
        let seat = served.lane.try_seat();
        let start = if seat.is_some() { Start::Now } else { Start::Later };
        let working = self.under_way.begin(id);
        match within(until, submit(store.as_ref(), id, start, &mut work)).await? {
            Submission::Accepted(lease) => {
                served.tally.accepted.one();
                let runner = Arc::clone(self);
                self.tasks.spawn(async move {
                    runner.work_in_turn(store, lease, work, seat, working).await;
                });
                Ok(Called::Ticket(id))
            }
            Submission::Queued(id) => {
                drop(seat);
                self.queued(&served);
                Ok(Called::Ticket(id))
            }
            Submission::Known(job) => {
                served.tally.duplicates.one();
                Ok(Called::Ticket(job.id))
            }
            Submission::Conflict(other) => {
                served.tally.conflicts.one();
                Err(conflict(other))
            }
        }
    }

    /// A job was accepted that waits in the store.
    pub(super) fn queued(&self, served: &Served) {
        served.tally.accepted.one();
        served.queued_one();
        if served.lane.wanted() > 0 {
            self.wakes.claims.notify_one();
        }
    }

    async fn call_durably(
        self: &Arc<Self>,
        store: Arc<dyn JobStore>,
        mut work: Work,
        seat: Seat,
        manner: Manner,
    ) -> Result<Called, Fault> {
        let (id, served) = (JobId::fresh(), Arc::clone(&work.served));
        // Registered before it is submitted: a second call with the key that finds it stored finds it here as well.
        let working = self.under_way.begin(id);
        let submitting = submit(store.as_ref(), id, Start::Now, &mut work);
        let (id, landed) = match within(manner.until, submitting).await? {
            Submission::Accepted(lease) => {
                served.tally.accepted.one();
                let watcher = working.watcher();
                let (runner, keeper) = (Arc::clone(self), Arc::clone(&store));
                self.tasks.spawn(async move { runner.work_on(keeper, lease, work, seat, working).await });
                (id, seen(watcher, manner.until).await)
            }
            Submission::Known(job) => {
                drop((working, seat));
                served.tally.duplicates.one();
                (job.id, self.await_known(&store, job.id, Some(*job), manner.until).await)
            }
            Submission::Queued(id) => {
                drop((working, seat));
                self.queued(&served);
                (id, self.await_known(&store, id, None, manner.until).await)
            }
            Submission::Conflict(other) => {
                served.tally.conflicts.one();
                return Err(conflict(other));
            }
        };
        match landed {
            Ok(Some(Landed::Replied(reply))) => {
                store.returned_soon(id);
                Ok(Called::Replied(id, reply))
            }
            Ok(Some(Landed::Held(reply))) => Ok(Called::Replied(id, reply)),
            Ok(None | Some(Landed::GoesOn(_))) if manner.takes_ticket => Ok(Called::Ticket(id)),
            Ok(None) => Err(late(id)),
            Ok(Some(Landed::GoesOn(fault))) | Err(fault) => Err(fault.about(id)),
        }
    }

    /// A call of a flow that keeps nothing on disk.
    async fn call_unkept(self: &Arc<Self>, work: Work, seat: Seat, until: Instant) -> Result<Called, Fault> {
        let id = JobId::fresh();
        let landed = if work.document.key.is_some() {
            let (known, watcher) = self.call_once(id, work, seat)?;
            return match seen(watcher, until).await? {
                Some(Landed::Replied(reply) | Landed::Held(reply)) => Ok(Called::Replied(known, reply)),
                Some(Landed::GoesOn(fault)) => Err(fault),
                // Nothing is kept: there is no ticket to ask by.
                None => Err(Fault { ticket: None, ..late(known) }),
            };
        } else {
            work.served.tally.accepted.one();
            // Cancel-safe: nothing was accepted that would have to be finished.
            within(until, async { Ok(self.work_unkept(id, work, seat).await) }).await?
        };
        landed.map(|reply| Called::Replied(id, reply))
    }

    /// Starts the work under its key, or finds who works on it or did so lately.
    fn call_once(self: &Arc<Self>, id: JobId, mut work: Work, seat: Seat) -> Result<(JobId, Watcher), Fault> {
        let working = self.under_way.begin(id);
        let served = Arc::clone(&work.served);
        let name = Arc::clone(served.name());
        for refused in 1.. {
            let Some(key) = work.document.key.clone() else { break };
            match self.recent.look(&name, &key, work.fingerprint, id, || working.watcher()) {
                Seen::New => {
                    let watcher = working.watcher();
                    let runner = Arc::clone(self);
                    served.tally.accepted.one();
                    self.tasks.spawn(async move {
                        let landing = match runner.work_unkept(id, work, seat).await {
                            Ok(reply) => Landing::Replied(reply),
                            Err(fault) => Landing::failed(&fault, false),
                        };
                        working.land(landing.clone());
                        runner.recent.landed(&name, &key, id, &landing);
                    });
                    return Ok((id, watcher));
                }
                Seen::Same(known, watcher) => {
                    served.tally.duplicates.one();
                    return Ok((known, watcher));
                }
                Seen::Refused(_) if work.succeed(refused) => {}
                Seen::Refused(known) | Seen::Other(known) => {
                    served.tally.conflicts.one();
                    return Err(conflict(known));
                }
            }
        }
        Err(Fault::new(FaultCode::Internal, "no key"))
    }

    /// The work on a document that is not stored. Where its flow delivers, the result is sent before it is given back;
    /// that it could not be sent is only logged, for its caller has it.
    async fn work_unkept(&self, id: JobId, mut work: Work, seat: Seat) -> Result<Arc<Reply>, Fault> {
        let reply = self.answer_unkept(id, &mut work, seat).await?;
        if work.return_to.is_some() {
            let job = work.into_finished(id, JobState::Answered { reply: reply.clone() });
            if let Err(fault) = self.outbox.send_unkept(job).await {
                tracing::warn!(job = %id, %fault, "a result that is not stored could not be handed back");
            }
        }
        Ok(Arc::new(reply))
    }

    /// The result of a document that is not stored.
    pub(super) async fn answer_unkept(
        &self,
        id: JobId,
        work: &mut Work,
        mut seat: Seat,
    ) -> Result<Reply, Fault> {
        seat.begin();
        let result = work.run(id, None).await;
        let tally = &work.served.tally;
        tally.lasted(seat.elapsed());
        match result {
            // Nothing is kept that a person could decide about: what is said in the meantime is the result.
            Ok(Ended::Reply(reply) | Ended::Review(Suspension { reply, .. })) => {
                tally.ended(reply.outcome);
                Ok(reply)
            }
            Err(fault) => {
                tally.failed(&fault);
                Err(fault)
            }
        }
    }

    /// The end of a job that was accepted before, here or by another process; `None`: not in time.
    async fn await_known(
        &self,
        store: &Arc<dyn JobStore>,
        id: JobId,
        mut known: Option<Job>,
        until: Instant,
    ) -> Result<Option<Landed>, Fault> {
        let mut pause = GLANCE.0;
        loop {
            if known.is_none() {
                known = within(until, store.find(id)).await?;
            }
            match known.take().map(|job| job.state) {
                Some(JobState::Answered { reply } | JobState::Returned { reply }) => {
                    return Ok(Some(Landed::Replied(Arc::new(reply))));
                }
                Some(JobState::InReview { reply, .. }) => return Ok(Some(Landed::Held(Arc::new(reply)))),
                Some(JobState::Dead { cause, .. }) => return Err(given_up(id, &cause)),
                Some(JobState::Queued { .. } | JobState::Leased { .. }) => {}
                None => return Err(Fault::new(FaultCode::NotFound, format!("the job {id} is gone"))),
            }
            if let Some(watcher) = self.under_way.watch(id) {
                return seen(watcher, until).await;
            }
            if Instant::now() + pause >= until {
                return Ok(None);
            }
            sleep(pause).await;
            pause = (pause * 2).min(GLANCE.1);
        }
    }
}

/// Waits for the end of a job; `None`: not in time.
async fn seen(watcher: Watcher, until: Instant) -> Result<Option<Landed>, Fault> {
    timeout_at(until, landed(watcher)).await.map_or(Ok(None), |landed| landed.map(Some))
}

/// Its own code, and nothing to wait for: asking again changes nothing.
fn given_up(id: JobId, cause: &str) -> Fault {
    let code = FaultCode::leading(cause).unwrap_or(FaultCode::Internal);
    Fault::new(code, format!("the job {id} was given up: {cause}")).about(id)
}

fn check_ticket(wait: Wait, tickets: Tickets, is_kept: bool) -> Result<(), Fault> {
    let refusal = match wait {
        Wait::Ticket if !is_kept => "this flow keeps nothing on disk: it gives no tickets",
        Wait::Ticket if tickets == Tickets::Never => "this flow gives no tickets: its callers wait",
        _ => return Ok(()),
    };
    Err(Fault::new(FaultCode::NotUnderstood, refusal))
}

pub(super) fn shutting_down() -> Fault {
    Fault::new(FaultCode::Unavailable, "the service is shutting down").recovery(Recovery::Retry)
}
