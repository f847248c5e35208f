//! Promises to those who run it: starting again, giving up, forgetting, counting.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use vestibule_core::job::{Census, Delivery, JobId, JobState, NewJob, Ruling, Sweep};

use super::{
    Broken, Kept, Store, accepted, claimed, expect, flows, forged, found, handed_over, queued, refused, same,
};
use crate::fixtures;

pub(super) async fn a_dead_job_starts_again_as_if_it_were_new(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::sent(fixtures::job(None, b"<a/>"))).await?;
    let id = lease.job;
    expect(!store.retry(id).await?, "not while it is worked on")?;
    store.suspend(lease, fixtures::suspension(None)).await?;
    store.decide(id, vec![fixtures::decision("anna", Ruling::Release)]).await?;
    expect(!store.retry(id).await?, "nor while it waits")?;
    let lease = claimed(&store).await?.lease;
    store.release(lease, Duration::ZERO, false).await?;
    let lease = claimed(&store).await?.lease;
    store.checkpoint(&lease, vec![fixtures::checkpoint(0, "low")]).await?;
    let way = handed_over(store.bury(lease, "no".into(), fixtures::reply(b"").findings).await?)?;
    expect(store.retry(id).await?, "started again")?;
    refused(store.delivered(way).await, "its dead letter is not sent any more")?;
    let job = found(&store, id).await?;
    match job.state {
        JobState::Queued { attempt, .. } => same(attempt, 0, "attempts")?,
        other => return Err(Broken(format!("not queued: {other:?}"))),
    }
    same((job.delivery, job.decisions.len()), (Delivery::Nothing, 0), "delivery and decisions")?;
    let again = claimed(&store).await?;
    same(again.job.id, id, "the claimed job")?;
    same((again.job.state, again.checkpoints.len()), (JobState::Leased { attempt: 1 }, 0), "as if new")?;
    let way = handed_over(store.answer(again.lease, fixtures::reply(b"<r/>")).await?)?;
    store.delivered(way).await?;
    expect(!store.retry(id).await?, "a finished job is not started again")?;
    expect(!store.retry(JobId::fresh()).await?, "nor one that is unknown")?;
    same(found(&store, id).await?.state.word(), "returned", "the state")
}

pub(super) async fn a_cancelled_job_is_dead_and_its_worker_can_not_end_it(store: Store) -> Kept {
    let leased = accepted(&store, fixtures::sent(fixtures::job(None, b"1"))).await?;
    let reviewed = accepted(&store, fixtures::sent(fixtures::job(None, b"2"))).await?;
    let quiet = accepted(&store, fixtures::job(None, b"3")).await?;
    let waiting = fixtures::sent(fixtures::waiting(b"4"));
    let ids = [leased.job, reviewed.job, quiet.job, waiting.id];
    queued(&store, waiting).await?;
    store.suspend(reviewed, fixtures::suspension(None)).await?;
    for id in ids {
        expect(store.cancel(id, "V015: not wanted".into()).await?, "cancelled")?;
        expect(!store.cancel(id, "V015: again".into()).await?, "and once")?;
        match found(&store, id).await?.state {
            JobState::Dead { cause, .. } => same(cause, "V015: not wanted".into(), "the cause")?,
            other => return Err(Broken(format!("not dead: {other:?}"))),
        }
    }
    refused(store.answer(forged(&leased), fixtures::reply(b"<r/>")).await, "an answer of a cancelled job")?;
    refused(store.checkpoint(&leased, vec![fixtures::checkpoint(0, "x")]).await, "its checkpoint")?;
    refused(store.renew(&leased).await, "its renewal")?;
    refused(store.release(leased, Duration::ZERO, false).await, "its release")?;
    refused(store.bury(quiet, "no".into(), Vec::new()).await, "its burial")?;
    expect(store.claim(flows(), 10).await?.is_empty(), "a cancelled job is not claimed")?;
    let mut letters = Vec::new();
    for claimed in store.claim_deliveries(10).await? {
        letters.push(claimed.job.id);
        store.delivered(claimed.lease).await?;
    }
    letters.sort();
    let mut expected = vec![ids[0], ids[1], ids[3]];
    expected.sort();
    same(letters, expected, "dead letters that go out")
}

pub(super) async fn a_finished_job_is_not_cancelled(store: Store) -> Kept {
    let answered = accepted(&store, fixtures::job(None, b"1")).await?;
    let dead = accepted(&store, fixtures::job(None, b"2")).await?;
    let ids = [answered.job, dead.job];
    store.answer(answered, fixtures::reply(b"<r/>")).await?;
    store.bury(dead, "no".into(), Vec::new()).await?;
    for id in [ids[0], ids[1], JobId::fresh()] {
        expect(!store.cancel(id, "V015: late".into()).await?, "not cancelled")?;
    }
    same(found(&store, ids[0]).await?.state.reply(), Some(&fixtures::reply(b"<r/>")), "the result")?;
    same(
        found(&store, ids[1]).await?.state,
        JobState::Dead { cause: "no".into(), findings: Vec::new() },
        "the first cause",
    )
}

fn sweep(finished: Option<Timestamp>, dead: Option<Timestamp>, most: usize) -> Sweep {
    Sweep { flow: "claims".into(), finished_before: finished, dead_before: dead, most }
}

pub(super) async fn a_sweep_forgets_what_is_finished_and_old(store: Store) -> Kept {
    let new = |key: &str| fixtures::job(Some(key), b"<a/>");
    let answered = accepted(&store, new("answered")).await?;
    let returned = accepted(&store, new("returned")).await?;
    let delivered = accepted(&store, fixtures::sent(new("delivered"))).await?;
    let due = accepted(&store, fixtures::sent(new("due"))).await?;
    let letter = accepted(&store, fixtures::sent(new("letter"))).await?;
    let dead = accepted(&store, new("dead")).await?;
    let leased = accepted(&store, new("leased")).await?;
    let review = accepted(&store, new("review")).await?;
    let other = accepted(&store, fixtures::job_of("orders", Some("other"), b"<a/>")).await?;
    let gone = [answered.job, returned.job, delivered.job];
    let stay = [due.job, letter.job, leased.job, review.job, other.job];
    let (dead_one, returned_one) = (dead.job, returned.job);
    for lease in [answered, returned, other] {
        store.answer(lease, fixtures::reply(b"<r/>")).await?;
    }
    store.returned(returned_one).await?;
    let way = handed_over(store.answer(delivered, fixtures::reply(b"<r/>")).await?)?;
    store.delivered(way).await?;
    let way = handed_over(store.answer(due, fixtures::reply(b"<r/>")).await?)?;
    store.redeliver(way, Duration::from_secs(600)).await?;
    handed_over(store.bury(letter, "no".into(), fixtures::reply(b"").findings).await?)?;
    store.bury(dead, "no".into(), fixtures::reply(b"").findings).await?;
    store.suspend(review, fixtures::suspension(None)).await?;
    let (long_ago, soon) = (fixtures::moment(), Timestamp::now() + SignedDuration::from_hours(1));
    for young in
        [sweep(Some(long_ago), Some(long_ago), 100), sweep(None, None, 100), sweep(Some(soon), None, 0)]
    {
        same(store.sweep(young.clone()).await?, 0, &format!("{young:?}"))?;
    }
    same(store.sweep(sweep(Some(soon), None, 100)).await?, 3, "results that went")?;
    for id in gone {
        expect(store.find(id).await?.is_none(), "forgotten")?;
    }
    same(found(&store, dead_one).await?.state.word(), "dead", "what is dead stays")?;
    same(store.sweep(sweep(None, Some(soon), 100)).await?, 1, "dead ones that went")?;
    expect(store.find(dead_one).await?.is_none(), "forgotten")?;
    same(store.sweep(sweep(Some(soon), Some(soon), 100)).await?, 0, "nothing more")?;
    for id in stay {
        found(&store, id).await?;
    }
    for key in ["answered", "dead"] {
        accepted(&store, new(key)).await?;
    }
    Ok(())
}

pub(super) async fn a_sweep_takes_a_few_at_a_time(store: Store) -> Kept {
    for _ in 0..7 {
        let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
        store.answer(lease, fixtures::reply(b"<r/>")).await?;
    }
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    for expected in [3, 3, 1, 0] {
        same(store.sweep(sweep(Some(soon), Some(soon), 3)).await?, expected, "went")?;
    }
    Ok(())
}

pub(super) async fn the_census_counts_what_waits_by_flow(store: Store) -> Kept {
    same(store.census().await?, Vec::new(), "of an empty store")?;
    let new = || fixtures::job(None, b"<a/>");
    let finished = accepted(&store, new()).await?;
    store.answer(finished, fixtures::reply(b"<r/>")).await?;
    same(store.census().await?, Vec::new(), "of what is done")?;
    sleep(Duration::from_millis(3)).await;
    let review = accepted(&store, new()).await?;
    store.suspend(review, fixtures::suspension(None)).await?;
    sleep(Duration::from_millis(3)).await;
    let oldest = accepted(&store, new()).await?;
    let oldest_one = found(&store, oldest.job).await?;
    let waits = accepted(&store, new()).await?;
    store.release(waits, Duration::from_secs(600), false).await?;
    queued(&store, NewJob { flow: "orders".into(), ..fixtures::waiting(b"<a/>") }).await?;
    let orders = claimed(&store).await?;
    same(&*orders.job.flow, "orders", "the flow")?;
    for _ in 0..2 {
        queued(&store, fixtures::ordered("x", b"<a/>")).await?;
    }
    let sent = accepted(&store, fixtures::sent(new())).await?;
    let way = handed_over(store.answer(sent, fixtures::reply(b"<r/>")).await?)?;
    let dead = accepted(&store, fixtures::sent(new())).await?;
    let letter = handed_over(store.bury(dead, "no".into(), Vec::new()).await?)?;
    store.redeliver(letter, Duration::from_secs(600)).await?;
    let desk = accepted(&store, fixtures::job_of("desk", None, b"<a/>")).await?;
    store.bury(desk, "no".into(), Vec::new()).await?;
    let claims = Census {
        flow: "claims".into(),
        queued: 3,
        leased: 1,
        in_review: 1,
        undelivered: 2,
        dead: 1,
        oldest: Some(oldest_one.accepted),
    };
    let desk = Census { flow: "desk".into(), dead: 1, ..Census::default() };
    let of_orders =
        Census { flow: "orders".into(), leased: 1, oldest: Some(orders.job.accepted), ..Census::default() };
    same(store.census().await?, vec![claims.clone(), desk.clone(), of_orders], "what waits")?;
    store.delivered(way).await?;
    store.answer(orders.lease, fixtures::reply(b"<r/>")).await?;
    let claims = Census { undelivered: 1, ..claims };
    same(store.census().await?, vec![claims, desk], "after a delivery and an answer")
}
