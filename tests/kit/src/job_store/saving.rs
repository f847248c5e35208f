//! Promises about checkpoints.

use std::time::Duration;

use tokio::time::sleep;
use vestibule_core::job::{Checkpoint, JobId, Lease, Ruling};

use super::{Broken, Kept, SHORT, Store, accepted, claimed, expect, forged, refused, same};
use crate::fixtures;

async fn records(store: &Store, id: JobId) -> Result<Vec<u32>, Broken> {
    Ok(store.checkpoints(id).await?.iter().map(|it| it.record).collect())
}

fn sorted(mut checkpoints: Vec<Checkpoint>) -> Vec<Checkpoint> {
    checkpoints.sort_by_key(|it| it.record);
    checkpoints
}

pub(super) async fn checkpoints_are_kept_as_they_came_and_the_first_stays(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let other = accepted(&store, fixtures::job(None, b"<b/>")).await?;
    let at = fixtures::checkpoint;
    store.checkpoint(&lease, vec![at(2, "high \u{e4}"), at(0, "low")]).await?;
    store.checkpoint(&lease, Vec::new()).await?;
    store.checkpoint(&lease, vec![at(0, "another"), at(1, ""), at(2, "another")]).await?;
    let expected = vec![at(0, "low"), at(1, ""), at(2, "high \u{e4}")];
    same(store.checkpoints(lease.job).await?, expected, "what was saved")?;
    same(records(&store, other.job).await?, Vec::new(), "of a bystander")?;
    same(records(&store, JobId::fresh()).await?, Vec::new(), "of an unknown job")
}

pub(super) async fn a_stale_lease_saves_nothing(store: Store) -> Kept {
    let first = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = first.job;
    store.release(forged(&first), Duration::ZERO, false).await?;
    let one = || vec![fixtures::checkpoint(0, "stale")];
    refused(store.checkpoint(&first, one()).await, "a checkpoint of a released job")?;
    let second = claimed(&store).await?;
    for stale in
        [first, Lease { job: id, token: second.lease.token + 1 }, Lease { job: JobId::fresh(), token: 1 }]
    {
        refused(store.checkpoint(&stale, one()).await, "a checkpoint under a stale token")?;
    }
    same(records(&store, id).await?, Vec::new(), "what was saved")?;
    let again = forged(&second.lease);
    store.answer(second.lease, fixtures::reply(b"<r/>")).await?;
    refused(store.checkpoint(&again, one()).await, "a checkpoint after the answer")?;
    same(records(&store, id).await?, Vec::new(), "what was saved")
}

pub(super) async fn checkpoints_last_until_the_answer(store: Store) -> Kept {
    let at = fixtures::checkpoint;
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    let id = lease.job;
    store.checkpoint(&lease, vec![at(0, "low")]).await?;
    store.release(lease, Duration::ZERO, false).await?;
    same(records(&store, id).await?, vec![0], "of a released job")?;
    let second = claimed(&store).await?;
    same(sorted(second.checkpoints), vec![at(0, "low")], "of a claimed job")?;
    store.checkpoint(&second.lease, vec![at(1, "high")]).await?;
    store.suspend(second.lease, fixtures::suspension(None)).await?;
    same(records(&store, id).await?, vec![0, 1], "of a job in review")?;
    expect(store.decide(id, vec![fixtures::decision("anna", Ruling::Release)]).await?, "decided")?;
    let third = claimed(&store).await?;
    same(sorted(third.checkpoints), vec![at(0, "low"), at(1, "high")], "after the review")?;
    store.answer(third.lease, fixtures::reply(b"<r/>")).await?;
    same(records(&store, id).await?, Vec::new(), "after the answer")
}

pub(super) async fn checkpoints_pass_on_with_a_lost_lease(store: Store) -> Kept {
    let lease = accepted(&store, fixtures::job(None, b"<a/>")).await?;
    store.checkpoint(&lease, vec![fixtures::checkpoint(7, "low")]).await?;
    sleep(SHORT + Duration::from_millis(50)).await;
    let second = claimed(&store).await?;
    same(second.job.id, lease.job, "the job")?;
    same(second.checkpoints, vec![fixtures::checkpoint(7, "low")], "its checkpoints")
}
