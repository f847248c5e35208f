//! Documents of a source for a flow that keeps nothing: they are settled once their result was handed back.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Runner, backoff,
    intake::{Settled, unkept},
    served::Served,
};
use crate::{
    fault::{Fault, FaultCode},
    finding::Outcome,
    flow::may_be_retried,
    job::{JobId, JobState, Reply},
    ports::{Receipt, Received, Settlement},
};

impl Runner {
    /// Begins to work on documents; each says by the channel what became of it.
    pub(super) async fn start_unkept(
        self: &Arc<Self>,
        served: &Arc<Served>,
        batch: Vec<Received>,
        settled: &mpsc::Sender<(Receipt, Settlement)>,
    ) -> Settled {
        for received in batch {
            let (runner, served, settled) = (Arc::clone(self), Arc::clone(served), settled.clone());
            self.tasks.spawn(async move {
                let Received { document, return_to, redelivered, receipt } = received;
                // A refusal is an answer where the sender gets one and no place for refused documents was named.
                let is_told = return_to.as_ref().is_none_or(|it| it.dead_letter.is_none())
                    && served.return_to(return_to.clone()).is_some();
                let passed = match unkept(&served, document, return_to) {
                    Ok(work) => runner.pass(work).await,
                    Err(fault) => {
                        served.tally.failed(&fault);
                        Err(fault)
                    }
                };
                let settlement = settlement(&served, passed, redelivered, is_told);
                // Nobody listens any more where the source is gone: it delivers the document again.
                let _ = settled.send((receipt, settlement)).await;
            });
        }
        Vec::new()
    }

    /// From a document to its result in the hands of who it is for.
    async fn pass(&self, mut work: super::work::Work) -> Result<Reply, Fault> {
        let id = JobId::fresh();
        // In a drain too: what is not settled is delivered again, and others have as little room.
        let seat = work.served.lane.seat().await;
        work.served.tally.accepted.one();
        let reply = self.answer_unkept(id, &mut work, seat).await?;
        if work.return_to.is_some() {
            let job = work.into_finished(id, JobState::Answered { reply: reply.clone() });
            self.outbox.send_unkept(job).await?;
        }
        Ok(reply)
    }
}

fn settlement(served: &Served, passed: Result<Reply, Fault>, redelivered: u32, is_told: bool) -> Settlement {
    match passed {
        Ok(reply) if reply.outcome == Outcome::Reject && !is_told => {
            let cause = Fault::new(FaultCode::Refused, "the record was refused").to_string();
            Settlement::DeadLetter { cause, findings: reply.findings }
        }
        Ok(_) => Settlement::Accepted,
        Err(fault) if may_be_retried(&fault) => {
            served.tally.retries.one();
            Settlement::Later(backoff::of_work(redelivered.saturating_add(1), fault.recovery))
        }
        Err(fault) => {
            served.tally.dead.one();
            Settlement::DeadLetter { cause: fault.to_string(), findings: Vec::new() }
        }
    }
}
