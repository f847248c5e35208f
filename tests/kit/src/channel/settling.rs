//! Promises about what becomes of documents.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use vestibule_core::ports::Settlement;

use super::{Broken, Kept, World, all, bodies, expect, glance, letters, open, same, seen, take, texts};
use crate::fixtures;

pub(super) async fn dropped_documents_are_delivered_again(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 5)).await?;
    let mut intake = open(&world).await?;
    drop(take(&mut intake, 3).await?);
    drop(intake);
    let mut again = bodies(&take(&mut open(&world).await?, 5).await?);
    again.sort();
    same(again, texts(&letters("a", 5)), "what comes again")
}

pub(super) async fn accepted_documents_do_not_come_again(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 20)).await?;
    let mut intake = open(&world).await?;
    let taken = take(&mut intake, 20).await?;
    intake.settle(all(taken, || Settlement::Accepted)).await?;
    drop(intake);
    let mut intake = open(&world).await?;
    same(bodies(&glance(&mut intake).await?), Vec::new(), "what comes again")
}

pub(super) async fn each_document_is_settled_for_itself(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 6)).await?;
    let mut intake = open(&world).await?;
    let mut taken = take(&mut intake, 6).await?;
    // Not in their order, and not all: a2 and a4 are still worked on.
    let (a5, a4, a3) = (taken.pop(), taken.pop(), taken.pop());
    let (a2, a1, a0) = (taken.pop(), taken.pop(), taken.pop());
    let now: Vec<_> = [a5, a1].into_iter().flatten().collect();
    intake.settle(all(now, || Settlement::Accepted)).await?;
    let then: Vec<_> = [a3, a0].into_iter().flatten().collect();
    intake.settle(all(then, || Settlement::Accepted)).await?;
    drop((a2, a4));
    drop(intake);
    let mut intake = open(&world).await?;
    let mut again = bodies(&take(&mut intake, 2).await?);
    again.sort();
    same(again, vec!["a2".into(), "a4".into()], "what comes again")?;
    same(bodies(&glance(&mut intake).await?), Vec::new(), "what else comes")
}

pub(super) async fn what_is_put_off_comes_after_its_time_and_not_before(world: Arc<dyn World>) -> Kept {
    let delay = Duration::from_millis(900);
    world.send(letters("a", 1)).await?;
    let mut intake = open(&world).await?;
    let taken = take(&mut intake, 1).await?;
    let start = Instant::now();
    intake.settle(all(taken, || Settlement::Later(delay))).await?;
    let again = take(&mut intake, 1).await?;
    let elapsed = start.elapsed();
    // Clocks of two machines; never a busy loop.
    expect(elapsed >= delay - Duration::from_millis(50), &format!("it came after {elapsed:?} already"))?;
    same(bodies(&again), vec!["a0".into()], "what comes again")?;
    expect(again.first().is_some_and(|it| it.redelivered == 1), "that it came before is said")?;
    intake.settle(all(again, || Settlement::Accepted)).await?;
    drop(intake);
    same(bodies(&glance(&mut open(&world).await?).await?), Vec::new(), "what comes once more")
}

pub(super) async fn what_is_put_off_holds_up_nobody(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 1)).await?;
    let mut intake = open(&world).await?;
    let taken = take(&mut intake, 1).await?;
    intake.settle(all(taken, || Settlement::Later(Duration::from_millis(1500)))).await?;
    world.send(letters("b", 2)).await?;
    let others = take(&mut intake, 2).await?;
    same(bodies(&others), vec!["b0".into(), "b1".into()], "what comes in the meantime")
}

pub(super) async fn what_is_put_off_too_often_is_a_dead_letter(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 1)).await?;
    let mut intake = open(&world).await?;
    for _ in 0..3 {
        let taken = take(&mut intake, 1).await?;
        intake.settle(all(taken, || Settlement::Later(Duration::from_millis(200)))).await?;
    }
    same(bodies(&glance(&mut intake).await?), Vec::new(), "what comes after the last try")?;
    let dead = seen(|| world.dead_letters(), 1).await?;
    same(texts(&dead), vec!["a0".into()], "the dead letters")?;
    expect(dead.iter().all(|it| it.headers.contains_key("x-vestibule-cause")), "a dead letter says why")
}

pub(super) async fn a_dead_letter_says_why(world: Arc<dyn World>) -> Kept {
    let mut sent = letters("a", 2);
    for letter in &mut sent {
        letter.headers.insert("x-tenant".into(), "north".into());
    }
    let expected = sent.clone();
    world.send(sent).await?;
    let mut intake = open(&world).await?;
    let taken = take(&mut intake, 2).await?;
    let findings = fixtures::reply(b"").findings;
    let why = || Settlement::DeadLetter {
        cause: "V005: the record was refused".into(),
        findings: findings.clone(),
    };
    intake.settle(all(taken, why)).await?;
    drop(intake);
    same(bodies(&glance(&mut open(&world).await?).await?), Vec::new(), "what comes again")?;
    let dead = seen(|| world.dead_letters(), 2).await?;
    same(texts(&dead), texts(&expected), "the dead letters")?;
    for (dead, sent) in dead.iter().zip(&expected) {
        same((&dead.id, &dead.content_type), (&sent.id, &sent.content_type), "what stands beside it")?;
        let header = |name: &str| dead.headers.get(name).map(String::as_str);
        same(header("x-tenant"), Some("north"), "the sender's header")?;
        same(header("x-vestibule-fault"), Some("V005"), "the fault")?;
        same(header("x-vestibule-cause"), Some("V005: the record was refused"), "the cause")?;
        let found = header("x-vestibule-findings").unwrap_or_default();
        let found: Vec<vestibule_core::job::Remark> =
            serde_json::from_str(found).map_err(|it| Broken(format!("findings {found:?}: {it}")))?;
        same(&found, &findings, "the findings")?;
    }
    Ok(())
}
