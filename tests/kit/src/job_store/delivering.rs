//! Promises about the way back of results.

use std::time::Duration;

use tokio::time::sleep;
use vestibule_core::{
    finding::Outcome,
    job::{Claimed, Delivery, JobId, JobState, Lease, NewJob, Reply, ReturnAddress},
};

use super::{Broken, Kept, SHORT, Store, accepted, expect, flows, forged, found, handed_over, refused, same};
use crate::fixtures;

/// Answers a job with a return address; the right to send it.
async fn on_its_way(store: &Store) -> Result<Lease, Broken> {
    let lease = accepted(store, fixtures::sent(fixtures::job(None, b"<a/>"))).await?;
    handed_over(store.answer(lease, fixtures::reply(b"<r/>")).await?)
}

async fn deliverable(store: &Store) -> Result<Claimed, Broken> {
    store.claim_deliveries(1).await?.pop().ok_or_else(|| Broken("no delivery is due".into()))
}

fn attempt(delivery: &Delivery) -> Option<u32> {
    match delivery {
        Delivery::Due { attempt, .. } => Some(*attempt),
        Delivery::Nothing | Delivery::Done | Delivery::GivenUp { .. } => None,
    }
}

async fn delivery(store: &Store, id: JobId) -> Result<Delivery, Broken> {
    Ok(found(store, id).await?.delivery)
}

pub(super) async fn the_lease_goes_on_exactly_when_there_is_something_to_send(store: Store) -> Kept {
    let reply_only = ReturnAddress { dead_letter: None, ..fixtures::address() };
    let addresses = [
        (None, [false, false, false]),
        (Some(ReturnAddress::default()), [false, false, false]),
        (Some(reply_only), [true, true, true]),
        (Some(fixtures::dead_letters()), [false, true, true]),
        (Some(fixtures::address()), [true, true, true]),
    ];
    for (return_to, [answered, rejected, buried]) in addresses {
        let name = format!("{return_to:?}");
        let new = || NewJob { return_to: return_to.clone(), ..fixtures::job(None, b"<a/>") };
        let note = accepted(&store, new()).await?;
        let no = accepted(&store, new()).await?;
        let dead = accepted(&store, new()).await?;
        let ids = [note.job, no.job, dead.job];
        let reject = Reply { outcome: Outcome::Reject, ..fixtures::reply(b"<no/>") };
        let leases = [
            store.answer(note, fixtures::reply(b"<r/>")).await?,
            store.answer(no, reject).await?,
            store.bury(dead, "V009: no".into(), Vec::new()).await?,
        ];
        let expected = [answered, rejected, buried];
        same(leases.each_ref().map(Option::is_some), expected, &name)?;
        for (id, sends) in ids.into_iter().zip(expected) {
            let expected = sends.then_some(1);
            let job = found(&store, id).await?;
            same(attempt(&job.delivery), expected, &name)?;
            same(!job.parcels().is_empty(), sends, "parcels")?;
        }
        expect(store.claim_deliveries(10).await?.is_empty(), "what is leased is not claimed")?;
        for lease in leases.into_iter().flatten() {
            store.delivered(lease).await?;
        }
        store.returned(ids[0]).await?;
        same(found(&store, ids[0]).await?.state.word(), "returned", &name)?;
        same(found(&store, ids[2]).await?.state.word(), "dead", &name)?;
    }
    expect(store.claim_deliveries(10).await?.is_empty(), "nothing is left to send")
}

pub(super) async fn what_is_delivered_is_done(store: Store) -> Kept {
    let lease = on_its_way(&store).await?;
    let (id, again) = (lease.job, forged(&lease));
    store.returned(id).await?;
    same(found(&store, id).await?.state.word(), "answered", "returned is not delivered")?;
    store.delivered(lease).await?;
    let job = found(&store, id).await?;
    same(job.state, JobState::Returned { reply: fixtures::reply(b"<r/>") }, "the state")?;
    same(job.delivery, Delivery::Done, "the delivery")?;
    refused(store.delivered(forged(&again)).await, "a second delivery")?;
    refused(store.redeliver(forged(&again), Duration::ZERO).await, "one more try of a done delivery")?;
    refused(store.undeliverable(again, "no".into()).await, "giving up a done delivery")?;
    expect(store.claim_deliveries(10).await?.is_empty(), "a done delivery is not claimed")
}

pub(super) async fn a_delivered_dead_letter_leaves_the_job_dead(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::sent(fixtures::job(None, b"<a/>"))).await?;
    let id = lease.job;
    let findings = fixtures::reply(b"").findings;
    let way = store.bury(lease, "V001: unreadable".into(), findings.clone()).await?;
    store.delivered(handed_over(way)?).await?;
    let job = found(&store, id).await?;
    same(job.state, JobState::Dead { cause: "V001: unreadable".into(), findings }, "the state")?;
    same(job.delivery, Delivery::Done, "the delivery")?;
    expect(store.claim(flows(), 10).await?.is_empty(), "a dead job is not claimed")
}

pub(super) async fn what_is_delivered_soon_is_done_in_a_while(store: Store) -> Kept {
    let lease = on_its_way(&store).await?;
    let id = lease.job;
    store.delivered_soon(lease);
    for _ in 0..500 {
        if found(&store, id).await?.state.word() == "returned" {
            return same(delivery(&store, id).await?, Delivery::Done, "the delivery");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(Broken("still not delivered after five seconds".into()))
}

pub(super) async fn what_could_not_be_sent_is_due_again_after_its_delay(store: Store) -> Kept {
    let first = on_its_way(&store).await?;
    let id = first.job;
    let stale = forged(&first);
    store.redeliver(first, Duration::from_millis(400)).await?;
    expect(store.claim_deliveries(10).await?.is_empty(), "not due at once")?;
    same(attempt(&delivery(&store, id).await?), Some(1), "attempts while it waits")?;
    refused(store.delivered(forged(&stale)).await, "a delivery under the old lease")?;
    sleep(Duration::from_millis(450)).await;
    same(store.claim_deliveries(0).await?.len(), 0, "a claim of none")?;
    let claimed = deliverable(&store).await?;
    same(claimed.job.id, id, "the job")?;
    same(claimed.job.state.reply(), Some(&fixtures::reply(b"<r/>")), "its result, whole")?;
    same(&claimed.job.document.bytes[..], b"<a/>", "its document, whole")?;
    same(claimed.job.return_to.as_ref(), Some(&fixtures::address()), "its address")?;
    same(attempt(&claimed.job.delivery), Some(2), "attempts")?;
    expect(claimed.lease.token > stale.token, "tokens grow")?;
    expect(store.claim_deliveries(10).await?.is_empty(), "a leased delivery is not claimed")?;
    refused(store.redeliver(forged(&stale), Duration::ZERO).await, "one more try under the old lease")?;
    refused(store.undeliverable(stale, "no".into()).await, "giving up under the old lease")?;
    store.delivered(claimed.lease).await?;
    same(delivery(&store, id).await?, Delivery::Done, "the delivery")
}

pub(super) async fn deliveries_are_claimed_those_due_longest_first(store: Store) -> Kept {
    let mut order = Vec::new();
    for _ in 0..5 {
        let lease = on_its_way(&store).await?;
        order.push(lease.job);
        store.redeliver(lease, Duration::ZERO).await?;
        sleep(Duration::from_millis(2)).await;
    }
    let mut claimed = Vec::new();
    for most in [2, usize::MAX] {
        claimed.extend(store.claim_deliveries(most).await?.iter().map(|it| it.job.id));
    }
    same(claimed, order, "the order of claims")
}

pub(super) async fn a_lost_delivery_is_claimed_with_a_higher_token(store: Store) -> Kept {
    let first = on_its_way(&store).await?;
    sleep(SHORT / 2).await;
    store.renew(&first).await?;
    sleep(SHORT / 2 + Duration::from_millis(50)).await;
    expect(store.claim_deliveries(1).await?.is_empty(), "a renewed one is not lost")?;
    sleep(SHORT).await;
    let second = deliverable(&store).await?;
    same(second.job.id, first.job, "the job")?;
    expect(second.lease.token > first.token, "tokens grow")?;
    refused(store.renew(&first).await, "a renewal by the first holder")?;
    refused(store.delivered(first).await, "the delivery of the first holder")?;
    store.delivered(second.lease).await?;
    // One that ran out and that nobody else claimed is still good: it was sent.
    let slow = on_its_way(&store).await?;
    sleep(SHORT + Duration::from_millis(50)).await;
    store.delivered(slow).await.map_err(Broken::from)
}

pub(super) async fn a_given_up_delivery_is_tried_again_only_when_asked(store: Store) -> Kept {
    let lease = on_its_way(&store).await?;
    let id = lease.job;
    expect(!store.retry(id).await?, "a delivery under way is not started again")?;
    store.undeliverable(lease, "V016: no such queue".into()).await?;
    let job = found(&store, id).await?;
    same(job.state.word(), "answered", "the state")?;
    same(job.delivery, Delivery::GivenUp { cause: "V016: no such queue".into() }, "the delivery")?;
    expect(store.claim_deliveries(10).await?.is_empty(), "it is not claimed")?;
    expect(store.retry(id).await?, "started again")?;
    let claimed = deliverable(&store).await?;
    same(claimed.job.id, id, "the job")?;
    same(attempt(&claimed.job.delivery), Some(1), "attempts")?;
    store.delivered(claimed.lease).await?;
    same(found(&store, id).await?.state.word(), "returned", "the state")?;
    expect(!store.retry(id).await?, "what is done is not started again")
}

pub(super) async fn a_lease_is_for_work_or_for_delivery(store: Store) -> Kept {
    let work = accepted(&store, fixtures::sent(fixtures::job(None, b"<a/>"))).await?;
    refused(store.delivered(forged(&work)).await, "a delivery of what is worked on")?;
    refused(store.redeliver(forged(&work), Duration::ZERO).await, "one more try of it")?;
    refused(store.undeliverable(forged(&work), "no".into()).await, "giving up its delivery")?;
    let way = handed_over(store.answer(work, fixtures::reply(b"<r/>")).await?)?;
    let id = way.job;
    refused(store.answer(forged(&way), fixtures::reply(b"2")).await, "an answer under a lease for delivery")?;
    refused(store.release(forged(&way), Duration::ZERO, false).await, "a release under it")?;
    refused(store.bury(forged(&way), "no".into(), Vec::new()).await, "a burial under it")?;
    refused(store.suspend(forged(&way), fixtures::suspension(None)).await, "a review under it")?;
    refused(store.checkpoint(&way, vec![fixtures::checkpoint(0, "x")]).await, "a checkpoint under it")?;
    same(found(&store, id).await?.state.reply(), Some(&fixtures::reply(b"<r/>")), "the result")?;
    store.delivered(way).await.map_err(Broken::from)
}
