//! Promises of a store that several processes share.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::sleep;
use vestibule_core::job::Submission;

use super::{Broken, Kept, SHORT, Store, accepted, claimed, expect, flows, found, refused, same};
use crate::fixtures;

pub(super) async fn one_key_is_one_job_whoever_takes_it(one: Store, other: Store) -> Kept {
    for round in 0..8 {
        let key = format!("round {round}");
        let submit = |number: usize| {
            let store = if number.is_multiple_of(2) { &one } else { &other };
            store.submit(fixtures::job(Some(&key), b"<a/>"))
        };
        let mut leased = 0;
        for submission in join_all((0..16).map(submit)).await {
            match submission? {
                Submission::Accepted(_) => leased += 1,
                Submission::Known(_) => {}
                other => return Err(Broken(format!("{other:?}"))),
            }
        }
        same(leased, 1, "accepted")?;
    }
    Ok(())
}

pub(super) async fn each_job_has_one_worker(one: Store, other: Store) -> Kept {
    let jobs: Vec<_> = (0..60).map(|_| fixtures::sent(fixtures::waiting(b"<a/>"))).collect();
    let mut expected: Vec<_> = jobs.iter().map(|it| it.id).collect();
    one.submit_all(jobs).await?;
    let (mut worked, mut delivered) = (Vec::new(), Vec::new());
    while worked.len() < expected.len() {
        let (first, second) = join(one.claim(flows(), 7), other.claim(flows(), 7)).await;
        let before = worked.len();
        for (store, claimed) in [(&one, first?), (&other, second?)] {
            for claimed in claimed {
                worked.push(claimed.job.id);
                let way = store.answer(claimed.lease, fixtures::reply(b"<r/>")).await?;
                let way = way.ok_or_else(|| Broken("no lease to send the result".into()))?;
                store.redeliver(way, Duration::ZERO).await?;
            }
        }
        expect(worked.len() > before, "there is work left, and nobody gets it")?;
    }
    while delivered.len() < expected.len() {
        let (first, second) = join(one.claim_deliveries(7), other.claim_deliveries(7)).await;
        let before = delivered.len();
        for (store, claimed) in [(&one, first?), (&other, second?)] {
            for claimed in claimed {
                delivered.push(claimed.job.id);
                store.delivered(claimed.lease).await?;
            }
        }
        expect(delivered.len() > before, "there are deliveries left, and nobody gets them")?;
    }
    expected.sort();
    for done in [&mut worked, &mut delivered] {
        done.sort();
        same(&*done, &expected, "each once")?;
    }
    Ok(())
}

pub(super) async fn the_other_one_takes_over_a_lost_lease(one: Store, other: Store) -> Kept {
    let lease = accepted(&one, fixtures::job(None, b"<a/>")).await?;
    one.checkpoint(&lease, vec![fixtures::checkpoint(0, "low")]).await?;
    expect(other.claim(flows(), 1).await?.is_empty(), "not while it lasts")?;
    sleep(SHORT + Duration::from_millis(50)).await;
    let second = claimed(&other).await?;
    same(second.checkpoints, vec![fixtures::checkpoint(0, "low")], "checkpoints")?;
    refused(one.answer(lease, fixtures::reply(b"late")).await, "the answer of the first holder")?;
    other.answer(second.lease, fixtures::reply(b"<r/>")).await?;
    same(found(&one, second.job.id).await?.state.reply(), Some(&fixtures::reply(b"<r/>")), "the result")
}

pub(super) async fn an_order_holds_across_processes(one: Store, other: Store) -> Kept {
    let jobs: Vec<_> = (0..20).map(|_| fixtures::ordered("x", b"<a/>")).collect();
    let expected: Vec<_> = jobs.iter().map(|it| it.id).collect();
    one.submit_all(jobs).await?;
    let mut done = Vec::new();
    while done.len() < expected.len() {
        let (first, second) = join(one.claim(flows(), 5), other.claim(flows(), 5)).await;
        let (first, second) = (first?, second?);
        same(first.len() + second.len(), 1, "claimed at once")?;
        for (store, claimed) in [(&one, first), (&other, second)] {
            for claimed in claimed {
                done.push(claimed.job.id);
                store.answer(claimed.lease, fixtures::reply(b"<r/>")).await?;
            }
        }
    }
    same(done, expected, "the order of work")
}

pub(super) async fn one_leads_until_it_is_silent(one: Store, other: Store) -> Kept {
    expect(one.lead("sweep").await?, "the first that asks leads")?;
    expect(!other.lead("sweep").await?, "the other does not")?;
    expect(other.lead("alerts").await?, "but it may lead in something else")?;
    for _ in 0..4 {
        sleep(SHORT / 3).await;
        expect(one.lead("sweep").await?, "who asks again in time still leads")?;
        expect(!other.lead("sweep").await?, "and nobody else")?;
    }
    sleep(SHORT + Duration::from_millis(100)).await;
    expect(other.lead("sweep").await?, "who is silent leads no more")?;
    expect(!one.lead("sweep").await?, "and hears so")
}

pub(super) async fn work_that_one_leaves_wakes_the_other(one: Store, other: Store) -> Kept {
    // What it was woken for when it was opened would count as the wake that is waited for.
    let is_quiet = async {
        for _ in 0..20 {
            if tokio::time::timeout(Duration::from_millis(700), other.woken()).await.is_err() {
                return true;
            }
        }
        false
    };
    expect(is_quiet.await, "it is not woken for nothing, over and over")?;
    let waits = async { tokio::time::timeout(Duration::from_secs(10), other.woken()).await };
    let leaves = async {
        sleep(Duration::from_millis(300)).await;
        one.submit(fixtures::waiting(b"<a/>")).await
    };
    let (woken, submitted) = join(waits, leaves).await;
    submitted?;
    woken.map_err(|_| Broken("the other was not woken".into()))
}
