//! Promises about results.

use std::time::Duration;

use futures_util::future::join_all;
use vestibule_core::{
    finding::Outcome,
    job::{JobId, JobState, Lease, Reply},
};

use super::{Broken, Kept, Store, accepted, expect, flows, forged, found, refused, same};
use crate::fixtures;

pub(super) async fn a_reply_comes_back_byte_for_byte(store: Store) -> Kept {
    let long: Vec<u8> = (0_u8..=255).cycle().take(300_001).collect();
    let outcomes = [Outcome::Pass, Outcome::Note, Outcome::Review, Outcome::Reject];
    let mut replies: Vec<Reply> = outcomes
        .into_iter()
        .map(|outcome| Reply { outcome, ..fixtures::reply(b"\0\xff <r/>\r\n") })
        .collect();
    replies.extend([fixtures::reply(&long), fixtures::reply(b""), fixtures::refusal()]);
    for reply in replies {
        let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
        let id = lease.job;
        store.answer(lease, reply.clone()).await?;
        same(found(&store, id).await?.state, JobState::Answered { reply: reply.clone() }, "answered")?;
        store.returned(id).await?;
        store.returned(id).await?;
        same(found(&store, id).await?.state, JobState::Returned { reply }, "returned")?;
    }
    Ok(())
}

pub(super) async fn a_job_is_answered_once(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let again = forged(&lease);
    let id = lease.job;
    store.answer(lease, fixtures::reply(b"first")).await?;
    refused(store.answer(forged(&again), fixtures::reply(b"second")).await, "a second answer")?;
    refused(store.release(forged(&again), Duration::ZERO, false).await, "a release after the answer")?;
    refused(store.renew(&again).await, "a renewal after the answer")?;
    refused(store.bury(again, "no".into(), Vec::new()).await, "a burial after the answer")?;
    same(
        found(&store, id).await?.state,
        JobState::Answered { reply: fixtures::reply(b"first") },
        "the state",
    )?;
    expect(store.claim(flows(), 10).await?.is_empty(), "an answered job is not claimed")
}

pub(super) async fn of_many_answers_under_one_lease_exactly_one_is_taken(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let replies: Vec<Reply> = (0..32_u8).map(|it| fixtures::reply(&[it])).collect();
    let answers = join_all(replies.iter().map(|it| store.answer(forged(&lease), it.clone()))).await;
    let taken: Vec<&Reply> =
        answers.iter().zip(&replies).filter(|(answer, _)| answer.is_ok()).map(|(_, it)| it).collect();
    let job = found(&store, lease.job).await?;
    same(taken, job.state.reply().into_iter().collect(), "answers taken, and the answer kept")
}

pub(super) async fn a_stale_token_ends_nothing(store: Store) -> Kept {
    let first = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = first.job;
    store.release(forged(&first), Duration::ZERO, false).await?;
    refused(store.release(forged(&first), Duration::ZERO, false).await, "a second release")?;
    let second = store
        .claim(flows(), 1)
        .await?
        .pop()
        .ok_or_else(|| Broken("a released job was not claimed".into()))?;
    expect(second.lease.token > first.token, "tokens grow")?;
    let unborn = Lease { job: id, token: second.lease.token + 1 };
    for stale in [first, unborn, Lease { job: id, token: u64::MAX }, Lease { job: JobId::fresh(), token: 1 }]
    {
        refused(
            store.answer(forged(&stale), fixtures::reply(b"stale")).await,
            "an answer with a stale token",
        )?;
        refused(store.release(forged(&stale), Duration::ZERO, false).await, "a release with a stale token")?;
        refused(store.renew(&stale).await, "a renewal with a stale token")?;
        refused(store.bury(stale, "no".into(), Vec::new()).await, "a burial with a stale token")?;
    }
    same(found(&store, id).await?.state, JobState::Leased { attempt: 2 }, "the state")?;
    store.answer(second.lease, fixtures::reply(b"fresh")).await?;
    same(found(&store, id).await?.state.reply(), Some(&fixtures::reply(b"fresh")), "the reply")
}

pub(super) async fn a_buried_job_stays_dead(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(Some("k"), b"<a/>")).await?;
    let (id, again) = (lease.job, forged(&lease));
    store.bury(lease, "V009: no usable answer".into(), Vec::new()).await?;
    refused(store.answer(again, fixtures::reply(b"late")).await, "an answer after the burial")?;
    store.returned(id).await?;
    expect(store.claim(flows(), 10).await?.is_empty(), "a dead job is not claimed")?;
    same(
        found(&store, id).await?.state,
        JobState::Dead { cause: "V009: no usable answer".into(), findings: Vec::new() },
        "the state",
    )
}

pub(super) async fn only_an_answered_job_is_returned(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.returned(id).await?;
    store.returned(JobId::fresh()).await?;
    same(found(&store, id).await?.state, JobState::Leased { attempt: 1 }, "a leased job")?;
    store.release(lease, Duration::ZERO, false).await?;
    store.returned(id).await?;
    same(found(&store, id).await?.state.word(), "queued", "a queued job")
}

pub(super) async fn what_is_returned_soon_is_returned_in_a_while(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.answer(lease, fixtures::reply(b"<r/>")).await?;
    store.returned_soon(id);
    for _ in 0..500 {
        if found(&store, id).await?.state.word() == "returned" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(Broken("still not returned after five seconds".into()))
}
