//! Promises about submission.

use futures_util::future::{join, join_all};
use vestibule_core::job::{Delivery, JobFilter, JobState, NewJob, Submission};

use super::{Broken, Kept, Store, accepted, claimed, expect, flows, found, queued, refused, same};
use crate::fixtures;

pub(super) async fn a_new_job_is_accepted_and_kept_as_it_came(store: Store) -> Kept {
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, bytes) in [(Some("k\u{e9}y/1"), &every_byte[..]), (None, &b""[..])] {
        let new = fixtures::job(key, bytes);
        let (id, document) = (new.id, new.document.clone());
        let lease = accepted(&store, new).await?;
        same(lease.job, id, "the leased job")?;
        let job = found(&store, id).await?;
        same(&*job.flow, "claims", "flow")?;
        same(&job.document.bytes, &document.bytes, "bytes")?;
        same(&job.document.media_type, &document.media_type, "media type")?;
        same(&job.document.charset, &document.charset, "charset")?;
        same(&job.document.name, &document.name, "name")?;
        same(job.document.received, document.received, "received")?;
        same(&job.document.key, &document.key, "key")?;
        same(job.state, JobState::Leased { attempt: 1 }, "state")?;
    }
    let bare = NewJob {
        document: vestibule_core::document::Document::new("x", "text/csv", fixtures::moment()),
        ..fixtures::job(None, b"")
    };
    let id = bare.id;
    accepted(&store, bare).await?;
    let document = found(&store, id).await?.document;
    expect(
        document.charset.is_none() && document.name.is_none() && document.key.is_none(),
        "absent stays absent",
    )
}

pub(super) async fn a_known_key_gives_the_job_as_it_stands(store: Store) -> Kept {
    let new = fixtures::job(Some("k"), b"<a/>");
    let id = new.id;
    let lease = accepted(&store, new).await?;
    match store.submit(fixtures::job(Some("k"), b"<a/>")).await? {
        Submission::Known(job) => {
            same(job.id, id, "the known job")?;
            same(job.state, JobState::Leased { attempt: 1 }, "a known job in flight")?;
        }
        other => return Err(Broken(format!("a job in flight was not known: {other:?}"))),
    }
    store.answer(lease, fixtures::reply(b"<r/>")).await?;
    match store.submit(fixtures::job(Some("k"), b"<a/>")).await? {
        Submission::Known(job) => {
            same(job.state.reply(), Some(&fixtures::reply(b"<r/>")), "the known job's reply")
        }
        other => Err(Broken(format!("an answered job was not known: {other:?}"))),
    }
}

pub(super) async fn a_known_key_with_another_document_is_a_conflict(store: Store) -> Kept {
    let new = fixtures::job(Some("k"), b"<a/>");
    let id = new.id;
    accepted(&store, new).await?;
    match store.submit(fixtures::job(Some("k"), b"<b/>")).await? {
        Submission::Conflict(known) => same(known, id, "the job in conflict"),
        other => Err(Broken(format!("another document under the same key: {other:?}"))),
    }
}

pub(super) async fn one_key_in_two_flows_is_two_jobs(store: Store) -> Kept {
    accepted(&store, fixtures::job_of("claims", Some("k"), b"<a/>")).await?;
    accepted(&store, fixtures::job_of("orders", Some("k"), b"<a/>")).await.map(drop)
}

pub(super) async fn jobs_without_a_key_are_never_the_same(store: Store) -> Kept {
    accepted(&store, fixtures::job(None, b"<a/>")).await?;
    accepted(&store, fixtures::job(None, b"<a/>")).await.map(drop)
}

pub(super) async fn of_many_submitters_with_one_key_exactly_one_is_accepted(store: Store) -> Kept {
    for round in 0..8 {
        let key = format!("round {round}");
        let submit = |_| store.submit(fixtures::job(Some(&key), b"<a/>"));
        let submissions = join_all((0..64).map(submit)).await;
        let (mut leases, mut known) = (Vec::new(), Vec::new());
        for submission in submissions {
            match submission? {
                Submission::Accepted(lease) => leases.push(lease.job),
                Submission::Queued(id) => return Err(Broken(format!("{id} was queued, not leased"))),
                Submission::Known(job) => known.push(job.id),
                Submission::Conflict(id) => return Err(Broken(format!("conflict with {id}"))),
            }
        }
        same((leases.len(), known.len()), (1, 63), "accepted and known")?;
        expect(known.iter().all(|it| leases.contains(it)), "all know the accepted one")?;
    }
    Ok(())
}

pub(super) async fn a_jobs_name_is_used_once(store: Store) -> Kept {
    let first = fixtures::job(None, b"<a/>");
    let second = NewJob { id: first.id, ..fixtures::job(None, b"<b/>") };
    let (id, bystander) = (first.id, fixtures::job(None, b"<c/>"));
    accepted(&store, first).await?;
    let (again, other) = join(store.submit(second), store.submit(bystander)).await;
    refused(again, "a job of a known name")?;
    expect(matches!(other?, Submission::Accepted(_)), "its neighbour is accepted")?;
    same(&found(&store, id).await?.document.bytes[..], b"<a/>", "the first job")
}

pub(super) async fn jobs_are_accepted_together_in_their_order(store: Store) -> Kept {
    let known = fixtures::job(Some("known"), b"<a/>");
    let known_id = known.id;
    accepted(&store, known).await?;
    let jobs = vec![
        fixtures::job(Some("new"), b"<a/>"),
        fixtures::job(Some("known"), b"<b/>"),
        NewJob { id: known_id, ..fixtures::job(None, b"<c/>") },
        fixtures::job(Some("new"), b"<a/>"),
        fixtures::job(Some("known"), b"<a/>"),
        fixtures::waiting(b"<d/>"),
    ];
    let ids: Vec<_> = jobs.iter().map(|it| it.id).collect();
    let [first, .., last] = ids[..] else { return Err(Broken("six".into())) };
    let said = store.submit_all(jobs).await?;
    let word = |it: &Result<Submission, vestibule_core::fault::Fault>| match it {
        Ok(Submission::Accepted(lease)) => ("accepted", Some(lease.job)),
        Ok(Submission::Queued(id)) => ("queued", Some(*id)),
        Ok(Submission::Known(job)) => ("known", Some(job.id)),
        Ok(Submission::Conflict(id)) => ("conflict", Some(*id)),
        Err(_) => ("refused", None),
    };
    let expected = vec![
        ("accepted", Some(first)),
        ("conflict", Some(known_id)),
        ("refused", None),
        ("known", Some(first)),
        ("known", Some(known_id)),
        ("queued", Some(last)),
    ];
    same(said.iter().map(word).collect(), expected, "what became of each")?;
    same(store.list(JobFilter::default()).await?.len(), 3, "jobs that are stored")?;
    same(&found(&store, last).await?.document.bytes[..], b"<d/>", "the last one")?;
    same(store.submit_all(Vec::new()).await?.len(), 0, "none of none")
}

pub(super) async fn many_jobs_at_once_are_claimed_in_their_order(store: Store) -> Kept {
    let jobs: Vec<_> = (0..300).map(|it| fixtures::waiting(format!("{it}").as_bytes())).collect();
    let ids: Vec<_> = jobs.iter().map(|it| it.id).collect();
    let said = store.submit_all(jobs).await?;
    expect(said.iter().all(|it| matches!(it, Ok(Submission::Queued(_)))), "all wait")?;
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(store.claim(flows(), 100).await?.iter().map(|it| it.job.id));
    }
    same(claimed, ids, "the order of claims")
}

pub(super) async fn a_job_may_wait_for_whoever_claims_it(store: Store) -> Kept {
    let new = fixtures::waiting(b"<a/>");
    let id = new.id;
    queued(&store, new).await?;
    match found(&store, id).await?.state {
        JobState::Queued { attempt, .. } => same(attempt, 0, "attempts")?,
        other => return Err(Broken(format!("not queued: {other:?}"))),
    }
    let claimed = claimed(&store).await?;
    same(claimed.job.id, id, "the claimed job")?;
    same(claimed.job.state, JobState::Leased { attempt: 1 }, "its state")
}

pub(super) async fn what_came_beside_a_document_is_kept(store: Store) -> Kept {
    let whole =
        NewJob { order: Some("line \u{e4}\n1".into()), ..fixtures::sent(fixtures::job(None, b"<a/>")) };
    let document =
        vestibule_core::document::Document { attributes: fixtures::attributes(), ..whole.document.clone() };
    let whole = NewJob { document, ..whole };
    let letters = NewJob { return_to: Some(fixtures::dead_letters()), ..fixtures::job(None, b"<b/>") };
    let bare = fixtures::job(None, b"<c/>");
    for new in [whole, letters, bare] {
        let expected = new.clone();
        accepted(&store, new).await?;
        let job = found(&store, expected.id).await?;
        let listed = store.list(JobFilter { most: 1, ..JobFilter::default() }).await?.pop();
        for job in [Some(job), listed].into_iter().flatten() {
            same(&job.document.attributes, &expected.document.attributes, "attributes")?;
            same(&job.return_to, &expected.return_to, "return address")?;
            same(&job.order, &expected.order, "order")?;
            same((job.delivery, job.decisions.len()), (Delivery::Nothing, 0), "delivery and decisions")?;
        }
    }
    Ok(())
}
