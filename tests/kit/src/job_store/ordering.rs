//! Promises about jobs of one order.

use std::time::Duration;

use vestibule_core::job::{Claimed, JobId, NewJob, Start, Submission};

use super::{Broken, Kept, Store, accepted, claimed, expect, flows, handed_over, queued, same};
use crate::fixtures;

/// Submits jobs of these orders, in this order; an empty text is no order.
async fn line<const N: usize>(store: &Store, orders: [&str; N]) -> Result<[JobId; N], Broken> {
    let jobs = orders.map(|order| match order {
        "" => fixtures::waiting(b"<a/>"),
        order => fixtures::ordered(order, b"<a/>"),
    });
    let ids = jobs.each_ref().map(|it| it.id);
    store.submit_all(jobs.into()).await?;
    Ok(ids)
}

async fn claim(store: &Store) -> Result<Vec<Claimed>, Broken> {
    store.claim(flows(), 10).await.map_err(Broken::from)
}

fn names(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|it| it.job.id).collect()
}

pub(super) async fn of_one_order_only_the_first_is_claimed(store: Store) -> Kept {
    let ids = line(&store, ["x", "x", "", "y", "x", "y"]).await?;
    let first = claim(&store).await?;
    same(names(&first), vec![ids[0], ids[2], ids[3]], "the first of each order")?;
    expect(claim(&store).await?.is_empty(), "the others wait")?;
    let mut first = first.into_iter();
    let (Some(x), _, Some(y)) = (first.next(), first.next(), first.next()) else {
        return Err(Broken("three were claimed".into()));
    };
    store.answer(x.lease, fixtures::reply(b"<r/>")).await?;
    let second = claim(&store).await?;
    same(names(&second), vec![ids[1]], "the next of the one that was answered")?;
    store.bury(y.lease, "no".into(), Vec::new()).await?;
    same(names(&claim(&store).await?), vec![ids[5]], "the next of the one that was given up")?;
    for second in second {
        store.release(second.lease, Duration::ZERO, false).await?;
    }
    same(names(&claim(&store).await?), vec![ids[1]], "one that was put back stays the first")
}

pub(super) async fn the_first_of_an_order_holds_the_others_up_while_it_is_delayed(store: Store) -> Kept {
    let ids = line(&store, ["x", "x"]).await?;
    let first = claimed(&store).await?;
    same(first.job.id, ids[0], "the first")?;
    store.release(first.lease, Duration::from_millis(400), false).await?;
    expect(claim(&store).await?.is_empty(), "nobody overtakes")?;
    tokio::time::sleep(Duration::from_millis(450)).await;
    same(names(&claim(&store).await?), vec![ids[0]], "the first again")
}

pub(super) async fn a_job_is_leased_at_submission_only_as_the_first_of_its_order(store: Store) -> Kept {
    let now = || NewJob { start: Start::Now, ..fixtures::ordered("x", b"<a/>") };
    let first = accepted(&store, now()).await?;
    let second = now();
    let next = second.id;
    queued(&store, second).await?;
    // Neither another flow's nor another order is the same one.
    accepted(&store, NewJob { order: Some("X".into()), ..now() }).await?;
    accepted(&store, NewJob { flow: "orders".into(), ..now() }).await?;
    expect(claim(&store).await?.is_empty(), "the second waits")?;
    store.answer(first, fixtures::reply(b"<r/>")).await?;
    let second = claimed(&store).await?;
    same(second.job.id, next, "the second")?;
    store.answer(second.lease, fixtures::reply(b"<r/>")).await?;
    accepted(&store, now()).await.map(drop)
}

pub(super) async fn jobs_submitted_together_stand_in_one_line(store: Store) -> Kept {
    let now = || NewJob { start: Start::Now, ..fixtures::ordered("x", b"<a/>") };
    let said = store.submit_all(vec![now(), now(), now()]).await?;
    let leased = said.iter().filter(|it| matches!(it, Ok(Submission::Accepted(_)))).count();
    same((leased, matches!(said.first(), Some(Ok(Submission::Accepted(_))))), (1, true), "leased")
}

pub(super) async fn the_next_of_an_order_waits_until_the_result_was_handed_back(store: Store) -> Kept {
    let sent = || fixtures::sent(fixtures::ordered("x", b"<a/>"));
    let jobs = [sent(), sent(), sent(), sent()];
    let ids = jobs.each_ref().map(|it| it.id);
    store.submit_all(jobs.into()).await?;
    let way = handed_over(store.answer(claimed(&store).await?.lease, fixtures::reply(b"<r/>")).await?)?;
    expect(claim(&store).await?.is_empty(), "while the result is on its way")?;
    store.redeliver(way, Duration::ZERO).await?;
    expect(claim(&store).await?.is_empty(), "while the result is to be sent")?;
    let way = store.claim_deliveries(1).await?.pop().ok_or_else(|| Broken("no delivery is due".into()))?;
    store.delivered(way.lease).await?;
    let second = claimed(&store).await?;
    same(second.job.id, ids[1], "the second, after the result was handed back")?;
    let way = handed_over(store.bury(second.lease, "no".into(), Vec::new()).await?)?;
    expect(claim(&store).await?.is_empty(), "while the dead letter is on its way")?;
    store.undeliverable(way, "nowhere".into()).await?;
    let third = claimed(&store).await?;
    same(third.job.id, ids[2], "the third, after the delivery was given up")?;
    store.cancel(ids[2], "no".into()).await?;
    expect(claim(&store).await?.is_empty(), "while the cancelled one's dead letter is to be sent")?;
    let way = store.claim_deliveries(1).await?.pop().ok_or_else(|| Broken("no delivery is due".into()))?;
    store.delivered(way.lease).await?;
    same(claimed(&store).await?.job.id, ids[3], "the fourth")
}

pub(super) async fn a_job_in_review_holds_up_its_order(store: Store) -> Kept {
    let ids = line(&store, ["x", "x", "x"]).await?;
    store.suspend(claimed(&store).await?.lease, fixtures::suspension(None)).await?;
    expect(claim(&store).await?.is_empty(), "nobody overtakes")?;
    let newcomer = NewJob { start: Start::Now, ..fixtures::ordered("x", b"<a/>") };
    queued(&store, newcomer).await?;
    store.cancel(ids[0], "no".into()).await?;
    let second = claimed(&store).await?;
    same(second.job.id, ids[1], "the second")?;
    store.suspend(second.lease, fixtures::suspension(None)).await?;
    let ruling = vestibule_core::job::Ruling::Release;
    expect(store.decide(ids[1], vec![fixtures::decision("anna", ruling)]).await?, "decided")?;
    same(names(&claim(&store).await?), vec![ids[1]], "the second again")
}

pub(super) async fn a_job_that_starts_again_takes_its_place_in_line(store: Store) -> Kept {
    let ids = line(&store, ["x", "x", "x"]).await?;
    store.bury(claimed(&store).await?.lease, "no".into(), Vec::new()).await?;
    let second = claimed(&store).await?;
    expect(store.retry(ids[0]).await?, "retried")?;
    expect(claim(&store).await?.is_empty(), "what is under way is finished first")?;
    store.answer(second.lease, fixtures::reply(b"<r/>")).await?;
    let first = claim(&store).await?;
    same(names(&first), vec![ids[0]], "then the first again")?;
    for first in first {
        store.bury(first.lease, "no".into(), Vec::new()).await?;
    }
    expect(store.retry(ids[0]).await?, "retried while the next waits")?;
    same(names(&claim(&store).await?), vec![ids[0]], "before the third")
}

pub(super) async fn a_line_of_many_is_worked_off_in_its_order(store: Store) -> Kept {
    let ids = line(&store, ["x"; 60]).await?;
    let mut done = Vec::new();
    while let Some(next) = store.claim(flows(), 10).await?.pop() {
        done.push(next.job.id);
        store.answer(next.lease, fixtures::reply(b"<r/>")).await?;
    }
    same(done, ids.to_vec(), "the order of work")
}
