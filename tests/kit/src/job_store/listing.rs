//! Promises about reading.

use std::time::Duration;

use vestibule_core::{
    fault::FaultCode,
    job::{Job, JobFilter, JobId, ReplyBody},
};

use super::{Broken, Kept, Store, accepted, expect, found, same};
use crate::fixtures;

fn names(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|it| it.id).collect()
}

pub(super) async fn lists_are_newest_first_and_bounded(store: Store) -> Kept {
    let mut order = Vec::new();
    for _ in 0..105 {
        order.insert(0, accepted(&store, fixtures::job(None, b"<a/>")).await?.job);
    }
    for (most, length) in [(0, 100), (1, 1), (7, 7), (1000, 105), (usize::MAX, 105)] {
        let listed = store.list(JobFilter { most, ..JobFilter::default() }).await?;
        let expected: Vec<_> = order.iter().take(length).copied().collect();
        same(names(&listed), expected, &format!("a list of at most {most}"))?;
    }
    Ok(())
}

pub(super) async fn lists_are_filtered_by_state_and_flow(store: Store) -> Kept {
    let mut made = Vec::new();
    for flow in ["claims", "orders"] {
        let leases = [
            accepted(&store, fixtures::job_of(flow, None, b"1")).await?,
            accepted(&store, fixtures::job_of(flow, None, b"2")).await?,
            accepted(&store, fixtures::job_of(flow, None, b"3")).await?,
            accepted(&store, fixtures::job_of(flow, None, b"4")).await?,
            accepted(&store, fixtures::job_of(flow, None, b"5")).await?,
            accepted(&store, fixtures::job_of(flow, None, b"6")).await?,
        ];
        let [queued, leased, in_review, answered, returned, dead] = leases;
        let jobs = [queued.job, leased.job, in_review.job, answered.job, returned.job, dead.job];
        store.suspend(in_review, fixtures::suspension(None)).await?;
        store.release(queued, Duration::from_secs(600), false).await?;
        store.answer(answered, fixtures::reply(b"<r/>")).await?;
        store.answer(returned, fixtures::reply(b"<r/>")).await?;
        store.returned(jobs[4]).await?;
        store.bury(dead, "cause".into(), Vec::new()).await?;
        made.push((flow, jobs));
    }
    for (number, word) in vestibule_core::job::JobState::WORDS.into_iter().enumerate() {
        for (flow, jobs) in &made {
            let filter = JobFilter {
                state: Some(word.into()),
                flow: Some((*flow).into()),
                most: 0,
                ..JobFilter::default()
            };
            let listed = store.list(filter).await?;
            let expected: Vec<_> = jobs.get(number).copied().into_iter().collect();
            same(names(&listed), expected, &format!("{word} jobs of {flow}"))?;
            expect(listed.iter().all(|it| it.state.word() == word), word)?;
        }
        let of_both = store.list(JobFilter { state: Some(word.into()), ..JobFilter::default() }).await?;
        same(of_both.len(), 2, word)?;
    }
    let orders = JobFilter { flow: Some("orders".into()), ..JobFilter::default() };
    same(store.list(orders).await?.len(), 6, "jobs of one flow")?;
    match store.list(JobFilter { state: Some("lost".into()), ..JobFilter::default() }).await {
        Err(fault) => same(fault.code, FaultCode::NotFound, "a list by an unknown state"),
        Ok(listed) => Err(Broken(format!("a list by an unknown state has {} jobs", listed.len()))),
    }
}

pub(super) async fn lists_carry_no_payloads(store: Store) -> Kept {
    for reply in [fixtures::reply(b"<r/>"), fixtures::refusal()] {
        let lease = accepted(&store, fixtures::job(Some(&reply.answered_by), b"<a/>")).await?;
        let id = lease.job;
        store.answer(lease, reply).await?;
        let whole = store.find(id).await?.ok_or_else(|| Broken("the job is not there".into()))?;
        let listed = store.list(JobFilter { most: 1, ..JobFilter::default() }).await?;
        let Some(job) = listed.first() else { return Err(Broken("nothing was listed".into())) };
        expect(job.document.bytes.is_empty(), "no document")?;
        if let Some(ReplyBody::Written { bytes, .. }) = job.state.reply().map(|it| &it.body) {
            expect(bytes.is_empty(), "no reply")?;
        }
        let expected = whole.without_payloads();
        same(&job.state, &expected.state, "the rest of the state")?;
        same(&job.document.key, &expected.document.key, "the key")?;
        same((job.accepted, job.changed), (expected.accepted, expected.changed), "the times")?;
    }
    Ok(())
}

pub(super) async fn an_unknown_job_is_none(store: Store) -> Kept {
    expect(store.find(JobId::fresh()).await?.is_none(), "an unknown job")?;
    same(store.list(JobFilter::default()).await?.len(), 0, "jobs of an empty store")
}

pub(super) async fn an_idle_store_is_ready(store: Store) -> Kept {
    store.ready().await?;
    accepted(&store, fixtures::job(None, b"<a/>")).await?;
    store.ready().await.map_err(Broken::from)
}

pub(super) async fn lists_are_filtered_by_age(store: Store) -> Kept {
    let mut jobs = Vec::new();
    for flow in ["claims", "orders", "claims"] {
        let lease = accepted(&store, fixtures::job_of(flow, None, b"<a/>")).await?;
        jobs.push(found(&store, lease.job).await?);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let [first, second, third] = &jobs[..] else { return Err(Broken("three".into())) };
    let filters = [
        (None, None, None, vec![third, second, first]),
        (Some(third), None, None, vec![second, first]),
        (None, Some(second), None, vec![third, second]),
        (Some(third), Some(second), None, vec![second]),
        (Some(first), None, None, vec![]),
        (Some(third), None, Some("claims"), vec![first]),
        (None, Some(second), Some("claims"), vec![third]),
    ];
    for state in [None, Some("leased")] {
        for (before, since, flow, expected) in &filters {
            let filter = JobFilter {
                before: before.map(|it| it.accepted),
                since: since.map(|it| it.accepted),
                flow: flow.map(str::to_owned),
                state: state.map(str::to_owned),
                ..JobFilter::default()
            };
            let expected: Vec<_> = expected.iter().map(|it| it.id).collect();
            same(names(&store.list(filter.clone()).await?), expected, &format!("{filter:?}"))?;
        }
    }
    Ok(())
}

pub(super) async fn lists_are_filtered_by_the_text_of_the_cause(store: Store) -> Kept {
    let first = accepted(&store, fixtures::job(None, b"1")).await?;
    let second = accepted(&store, fixtures::sent(fixtures::job(None, b"2"))).await?;
    let third = accepted(&store, fixtures::job_of("orders", None, b"3")).await?;
    let (one, two, three) = (first.job, second.job, third.job);
    accepted(&store, fixtures::job(None, b"4")).await?;
    store.bury(first, "V009: no usable answer 100%".into(), Vec::new()).await?;
    let way = store.answer(second, fixtures::reply(b"<r/>")).await?;
    let way = way.ok_or_else(|| Broken("no lease to send the result".into()))?;
    store.undeliverable(way, "V016: no USABLE queue".into()).await?;
    store.bury(third, "V015: cancelled by \u{e4}".into(), Vec::new()).await?;
    for (cause, state, expected) in [
        ("usable", None, vec![two, one]),
        ("UsAbLe", Some("dead"), vec![one]),
        ("usable", Some("answered"), vec![two]),
        ("usable", Some("leased"), vec![]),
        ("100%", None, vec![one]),
        ("1_0", None, vec![]),
        ("by \u{e4}", None, vec![three]),
        ("", None, vec![three, two, one]),
        ("nothing like it", None, vec![]),
    ] {
        let (cause, state) = (Some(cause.to_owned()), state.map(str::to_owned));
        let filter = JobFilter { cause, state, ..JobFilter::default() };
        same(names(&store.list(filter.clone()).await?), expected, &format!("{filter:?}"))?;
    }
    Ok(())
}
