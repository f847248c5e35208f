//! Promises about jobs that wait for a person.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use vestibule_core::job::{Decision, Hold, JobId, JobState, Ruling, Submission};

use super::{Broken, Kept, Store, accepted, claimed, expect, flows, forged, found, refused, same};
use crate::fixtures;

const HOUR: Duration = Duration::from_secs(3600);

async fn suspended(store: &Store, until: Option<Timestamp>) -> Result<JobId, Broken> {
    let lease = accepted(store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.suspend(lease, fixtures::suspension(until)).await?;
    Ok(id)
}

async fn hold(store: &Store, id: JobId) -> Result<Option<Hold>, Broken> {
    match found(store, id).await?.state {
        JobState::InReview { hold, .. } => Ok(hold),
        other => Err(Broken(format!("not in review: {other:?}"))),
    }
}

pub(super) async fn a_job_in_review_waits_and_says_so(store: Store) -> Kept {
    for until in [None, Some(fixtures::moment() + SignedDuration::from_hours(1_000_000))] {
        let lease = accepted(&store, fixtures::job(Some(&format!("{until:?}")), b"<a/>")).await?;
        let (id, again) = (lease.job, forged(&lease));
        store.suspend(lease, fixtures::suspension(until)).await?;
        let reply = fixtures::suspension(None).reply;
        let state = JobState::InReview { reply, until, hold: None };
        same(&found(&store, id).await?.state, &state, "the state")?;
        match store.submit(fixtures::job(Some(&format!("{until:?}")), b"<a/>")).await? {
            Submission::Known(job) => same(&job.state, &state, "the known job")?,
            other => return Err(Broken(format!("not known: {other:?}"))),
        }
        refused(
            store.answer(forged(&again), fixtures::reply(b"late")).await,
            "an answer under the old lease",
        )?;
        refused(store.renew(&again).await, "a renewal of the old lease")?;
        store.returned(id).await?;
        same(&found(&store, id).await?.state, &state, "the interim reply is not the result")?;
        expect(store.claim(flows(), 10).await?.is_empty(), "it is not claimed")?;
        expect(!store.retry(id).await?, "it is not started again")?;
    }
    Ok(())
}

pub(super) async fn one_reviewer_at_a_time(store: Store) -> Kept {
    let id = suspended(&store, None).await?;
    expect(store.hold(id, "anna".into(), HOUR).await?, "held by the first")?;
    expect(!store.hold(id, "ben".into(), HOUR).await?, "not by a second")?;
    expect(!store.decide(id, vec![fixtures::decision("ben", Ruling::Reject)]).await?, "nor decided")?;
    let mixed = vec![fixtures::decision("anna", Ruling::Reject), fixtures::decision("ben", Ruling::Reject)];
    expect(!store.decide(id, mixed).await?, "nor decided by both")?;
    let held = hold(&store, id).await?;
    same(held.map(|it| it.by), Some("anna".into()), "who holds it")?;
    expect(found(&store, id).await?.decisions.is_empty(), "nothing was decided")?;
    // The time of a hold may be made longer and shorter; past it anyone may.
    expect(store.hold(id, "anna".into(), Duration::from_millis(300)).await?, "held again by the first")?;
    sleep(Duration::from_millis(350)).await;
    expect(store.hold(id, "ben".into(), Duration::from_millis(100)).await?, "held by a second in the end")?;
    sleep(Duration::from_millis(150)).await;
    expect(store.decide(id, vec![fixtures::decision("carl", Ruling::Reject)]).await?, "decided by a third")?;
    expect(!store.hold(id, "anna".into(), HOUR).await?, "what is decided is not held")?;
    expect(!store.hold(JobId::fresh(), "anna".into(), HOUR).await?, "nor what is unknown")
}

pub(super) async fn decisions_are_kept_and_the_job_goes_on(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    store.release(lease, Duration::ZERO, false).await?;
    let second = claimed(&store).await?;
    let id = second.job.id;
    store.suspend(second.lease, fixtures::suspension(None)).await?;
    expect(!store.decide(id, Vec::new()).await?, "no decision decides nothing")?;
    let corrected = Ruling::Correct([("lines[2].amount".to_owned(), "1.234,50 \u{20ac}".to_owned())].into());
    let first = vec![
        Decision { record: Some(2), ..fixtures::decision("anna", corrected) },
        Decision { note: None, ..fixtures::decision("anna", Ruling::Release) },
    ];
    expect(store.hold(id, "anna".into(), HOUR).await?, "held")?;
    expect(store.decide(id, first.clone()).await?, "decided by who holds it")?;
    expect(!store.decide(id, first.clone()).await?, "and once")?;
    let third = claimed(&store).await?;
    same(&third.job.decisions, &first, "decisions of the claimed job")?;
    same(&third.job.state, &JobState::Leased { attempt: 1 }, "attempts are counted anew")?;
    store.suspend(third.lease, fixtures::suspension(None)).await?;
    same(hold(&store, id).await?, None, "nobody holds it the second time")?;
    let last = fixtures::decision("ben", Ruling::Reject);
    expect(store.decide(id, vec![last.clone()]).await?, "decided again")?;
    let lease = claimed(&store).await?.lease;
    store.answer(lease, fixtures::reply(b"<r/>")).await?;
    let job = found(&store, id).await?;
    same(job.decisions, [first, vec![last]].concat(), "all decisions, in order")?;
    same(job.state.reply(), Some(&fixtures::reply(b"<r/>")), "the result, not the interim reply")?;
    expect(
        !store.decide(id, vec![fixtures::decision("anna", Ruling::Reject)]).await?,
        "nothing after the end",
    )
}

pub(super) async fn a_review_lapses_when_its_time_is_over(store: Store) -> Kept {
    let soon = Timestamp::now() + SignedDuration::from_millis(900);
    let id = suspended(&store, Some(soon)).await?;
    expect(store.hold(id, "anna".into(), HOUR).await?, "held")?;
    expect(store.claim(flows(), 10).await?.is_empty(), "not before its time")?;
    sleep(Duration::from_millis(1000)).await;
    let lapsed = claimed(&store).await?;
    same(lapsed.job.id, id, "the job")?;
    same(&lapsed.job.state, &JobState::Leased { attempt: 1 }, "attempts are counted anew")?;
    let said: Vec<_> =
        lapsed.job.decisions.iter().map(|it| (it.by.as_str(), it.ruling.word(), it.record)).collect();
    same(said, vec![("vestibule", "lapse", None)], "what was decided")?;
    let late = vec![fixtures::decision("anna", Ruling::Release)];
    expect(!store.decide(id, late).await?, "a late decision is told so")?;
    store.answer(lapsed.lease, fixtures::reply(b"<r/>")).await?;
    same(found(&store, id).await?.decisions.len(), 1, "the decision is kept")
}

pub(super) async fn only_a_job_in_review_is_decided(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    let one = || vec![fixtures::decision("anna", Ruling::Release)];
    expect(!store.decide(id, one()).await?, "not a leased job")?;
    store.release(lease, Duration::ZERO, false).await?;
    expect(!store.decide(id, one()).await?, "nor a queued one")?;
    let lease = claimed(&store).await?.lease;
    store.bury(lease, "no".into(), Vec::new()).await?;
    expect(!store.decide(id, one()).await?, "nor a dead one")?;
    expect(!store.decide(JobId::fresh(), one()).await?, "nor one that is unknown")?;
    same(found(&store, id).await?.state.word(), "dead", "the state")
}
