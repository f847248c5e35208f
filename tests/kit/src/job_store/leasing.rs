//! Promises about claims and leases.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use tokio::time::{sleep, timeout};
use vestibule_core::job::{Claimed, JobId, JobState, NewJob, Start};

use super::{
    Broken, Kept, SHORT, Store, accepted, claimed, expect, flows, forged, found, queued, refused, same,
};
use crate::fixtures;

async fn released(store: &Store, delay: Duration) -> Result<JobId, Broken> {
    let lease = accepted(store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.release(lease, delay, false).await?;
    Ok(id)
}

fn names(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|it| it.job.id).collect()
}

pub(super) async fn a_leased_job_is_not_claimed(store: Store) -> Kept {
    accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = released(&store, Duration::ZERO).await?;
    let claimed = store.claim(flows(), 10).await?;
    same(names(&claimed), vec![id], "claimed")?;
    for claimed in &claimed {
        same(claimed.lease.job, claimed.job.id, "the lease's job")?;
        same(&claimed.job.state, &JobState::Leased { attempt: 2 }, "the claimed job")?;
        same(&claimed.job.document.bytes[..], b"<a/>", "its document")?;
    }
    expect(store.claim(flows(), 10).await?.is_empty(), "a claimed job is not claimed again")
}

pub(super) async fn a_released_job_waits_for_its_delay(store: Store) -> Kept {
    let long = released(&store, Duration::from_secs(3600)).await?;
    let eternal = released(&store, Duration::MAX).await?;
    let short = released(&store, Duration::from_millis(400)).await?;
    expect(store.claim(flows(), 10).await?.is_empty(), "none is due at once")?;
    same(found(&store, long).await?.state.word(), "queued", "one that waits")?;
    same(found(&store, eternal).await?.state.word(), "queued", "one that waits for ever")?;
    sleep(Duration::from_millis(450)).await;
    same(names(&store.claim(flows(), 10).await?), vec![short], "due after its delay")
}

pub(super) async fn claims_take_those_due_longest_first(store: Store) -> Kept {
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(released(&store, Duration::ZERO).await?);
        sleep(Duration::from_millis(2)).await;
    }
    same(names(&store.claim(flows(), 0).await?), Vec::new(), "claim of none")?;
    let mut claimed = names(&store.claim(flows(), 2).await?);
    same(claimed.len(), 2, "claim of two")?;
    claimed.extend(names(&store.claim(flows(), 3).await?));
    claimed.extend(names(&store.claim(flows(), usize::MAX).await?));
    same(claimed, order, "the order of claims")
}

pub(super) async fn of_many_claimers_each_job_has_one(store: Store) -> Kept {
    for _ in 0..40 {
        released(&store, Duration::ZERO).await?;
    }
    let mut names = HashSet::new();
    let mut count = 0;
    for claimed in join_all((0..16).map(|_| store.claim(flows(), 5))).await {
        for claimed in claimed? {
            count += 1;
            names.insert(claimed.job.id);
        }
    }
    same((count, names.len()), (40, 40), "claimed, and different ones")
}

pub(super) async fn a_lost_lease_is_claimed_with_a_higher_token(store: Store) -> Kept {
    let first = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    sleep(SHORT + Duration::from_millis(50)).await;
    let second =
        store.claim(flows(), 1).await?.pop().ok_or_else(|| Broken("a lost lease was not claimed".into()))?;
    same(second.job.id, first.job, "the job")?;
    expect(second.lease.token > first.token, "tokens grow")?;
    refused(store.answer(first, fixtures::reply(b"late")).await, "the answer of the first holder")?;
    store.answer(second.lease, fixtures::reply(b"<r/>")).await?;
    // A lease that ran out and that nobody else claimed is still good: the work is done.
    let slow = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    sleep(SHORT + Duration::from_millis(50)).await;
    store.answer(slow, fixtures::reply(b"<r/>")).await.map(drop).map_err(Broken::from)
}

pub(super) async fn a_renewed_lease_is_not_lost(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    for _ in 0..6 {
        sleep(SHORT / 3).await;
        store.renew(&lease).await?;
    }
    expect(store.claim(flows(), 1).await?.is_empty(), "a renewed lease is not claimed")?;
    store.answer(forged(&lease), fixtures::reply(b"<r/>")).await.map(drop).map_err(Broken::from)
}

pub(super) async fn a_lease_that_nobody_took_is_given_back(store: Store) -> Kept {
    // Each future is polled once and dropped: the caller hung up while the store was at work.
    let mut submitted = Vec::new();
    for _ in 0..20 {
        let job = fixtures::job(None, b"<a/>");
        let id = job.id;
        let left = hung_up(store.submit(job)).await;
        // A store that is done at the first poll has delivered the lease.
        submitted.extend(left.then_some(id));
    }
    hung_up(store.claim(flows(), 3)).await;
    for _ in 0..500 {
        // A claim comes after what was asked before it; a job that is not there now was never accepted.
        let claimed = names(&store.claim(flows(), 100).await?);
        let mut stuck = Vec::new();
        for id in submitted.into_iter().filter(|it| !claimed.contains(it)) {
            let job = store.find(id).await?;
            stuck.extend(job.filter(|it| it.state == JobState::Leased { attempt: 1 }).map(|it| it.id));
        }
        submitted = stuck;
        if submitted.is_empty() {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(Broken(format!("{} jobs are leased to nobody", submitted.len())))
}

/// Polls once and drops; true when the future was not done.
async fn hung_up<T>(future: impl Future<Output = T>) -> bool {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

pub(super) async fn an_attempt_in_which_nothing_was_tried_does_not_count(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.release(lease, Duration::ZERO, true).await?;
    match found(&store, id).await?.state {
        JobState::Queued { attempt, .. } => same(attempt, 0, "attempts")?,
        other => return Err(Broken(format!("not queued: {other:?}"))),
    }
    let again = claimed(&store).await?;
    same(&again.job.state, &JobState::Leased { attempt: 1 }, "the claimed job")?;
    store.release(again.lease, Duration::ZERO, false).await?;
    same(claimed(&store).await?.job.state, JobState::Leased { attempt: 2 }, "after one that counts")
}

pub(super) async fn claims_are_by_flow(store: Store) -> Kept {
    let new = |flow| NewJob { start: Start::Later, ..fixtures::job_of(flow, None, b"<a/>") };
    let jobs = ["claims", "orders", "nobody's", "orders"].map(new);
    let made = jobs.each_ref().map(|it| it.id);
    for new in jobs {
        queued(&store, new).await?;
        sleep(Duration::from_millis(2)).await;
    }
    same(names(&store.claim(&[], 10).await?), Vec::new(), "a claim of no flow")?;
    let orders: [Arc<str>; 2] = ["orders".into(), "absent".into()];
    same(names(&store.claim(&orders, 1).await?), vec![made[1]], "of one flow")?;
    same(names(&store.claim(flows(), 10).await?), vec![made[0], made[3]], "of several, due longest first")?;
    same(found(&store, made[2]).await?.state.word(), "queued", "what nobody asks for")
}

pub(super) async fn who_waits_for_work_is_woken(store: Store) -> Kept {
    // What was before is not news.
    while timeout(Duration::from_millis(200), store.woken()).await.is_ok() {}
    let submit = store.submit(fixtures::waiting(b"<a/>"));
    if timeout(Duration::from_millis(50), store.woken()).await.is_ok() {
        return Err(Broken("woken by nothing".into()));
    }
    submit.await?;
    // A store that can not tell never wakes; that is told apart by the first time.
    woken(&store, "a submission").await?;
    let claimed = claimed(&store).await?;
    let waits = async { timeout(Duration::from_secs(5), store.woken()).await.is_ok() };
    let releases = async {
        sleep(Duration::from_millis(100)).await;
        store.release(claimed.lease, Duration::ZERO, false).await
    };
    let (woken, released) = join(waits, releases).await;
    released?;
    expect(woken, "a release wakes who waits already")
}

async fn woken(store: &Store, by: &str) -> Kept {
    let waited = timeout(Duration::from_secs(5), store.woken()).await;
    waited.map_err(|_| Broken(format!("nobody was woken by {by}")))
}
