//! Promises about documents that arrive.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use vestibule_core::document::Hash;

use super::{Broken, Kept, Letter, World, bodies, expect, glance, letters, open, same, take, texts};

pub(super) async fn documents_come_in_their_order(world: Arc<dyn World>) -> Kept {
    let sent = letters("a", 50);
    let expected = texts(&sent);
    world.send(sent).await?;
    let mut intake = open(&world).await?;
    let received = take(&mut intake, 50).await?;
    same(bodies(&received), expected, "the documents")
}

pub(super) async fn a_batch_is_never_longer_than_asked_for(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 10)).await?;
    let mut intake = open(&world).await?;
    // Time for all of them to have come.
    let first = intake.next(1).await?;
    sleep(Duration::from_millis(200)).await;
    let second = intake.next(3).await?;
    same(first.len(), 1, "the first batch")?;
    expect((1..=3).contains(&second.len()), "a batch of at most three has one to three documents")
}

pub(super) async fn what_is_there_comes_without_waiting_for_more(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 3)).await?;
    let mut intake = open(&world).await?;
    let mut received = Vec::new();
    while received.len() < 3 {
        let next = timeout(Duration::from_secs(5), intake.next(1000)).await;
        let next = next.map_err(|_| Broken("a batch waits for documents that are not there".into()))?;
        received.extend(next?);
    }
    same(bodies(&received), vec!["a0".into(), "a1".into(), "a2".into()], "the documents")
}

pub(super) async fn what_comes_later_ends_the_waiting(world: Arc<dyn World>) -> Kept {
    let mut intake = open(&world).await?;
    same(glance(&mut intake).await?.len(), 0, "documents of an empty queue")?;
    let waiting = async {
        let received = take(&mut intake, 1).await?;
        same(bodies(&received), vec!["a0".into()], "the document")
    };
    let sending = async {
        sleep(Duration::from_millis(100)).await;
        world.send(letters("a", 1)).await
    };
    let (waited, sent) = tokio::join!(waiting, sending);
    sent?;
    waited
}

pub(super) async fn a_call_that_is_dropped_loses_nothing(world: Arc<dyn World>) -> Kept {
    let sent = letters("a", 60);
    let expected = texts(&sent);
    let mut intake = open(&world).await?;
    let sending = async {
        for letter in sent {
            world.send(vec![letter]).await?;
        }
        Ok::<_, Broken>(())
    };
    let receiving = async {
        let mut received = Vec::new();
        let mut patience = 4000;
        while received.len() < 60 {
            // So short that calls are dropped at every point where they wait.
            match timeout(Duration::from_micros(300), intake.next(7)).await {
                Ok(next) => received.extend(next?),
                Err(_) if patience == 0 => return Err(Broken(format!("only {} of 60", received.len()))),
                Err(_) => patience -= 1,
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(received)
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    same(bodies(&received?), expected, "the documents")
}

pub(super) async fn a_document_is_what_was_sent(world: Arc<dyn World>) -> Kept {
    let body = b"<Claim>Schadensh\xF6he \x80 1.200</Claim>\0\r\n";
    let letter = Letter { correlation: Some("corr-1".into()), ..Letter::new("claim-1", body) };
    world.send(vec![letter, Letter { id: None, ..Letter::new("", b"") }]).await?;
    let mut intake = open(&world).await?;
    let received = take(&mut intake, 2).await?;
    let [first, second] = received.as_slice() else { return Err(Broken("two documents".into())) };
    same(first.document.digest(), Hash::of(body), "its bytes")?;
    same(&*first.document.media_type, "text/xml", "its media type")?;
    let charset = first.document.charset.as_deref().map(str::to_ascii_lowercase);
    same(charset.as_deref(), Some("iso-8859-1"), "its character set")?;
    same(first.document.key.as_ref().map(|it| it.as_str()), Some("claim-1"), "its key")?;
    let address = first.return_to.as_ref().ok_or_else(|| Broken("dead letters go nowhere".into()))?;
    same(address.message.as_deref(), Some("claim-1"), "the sender's name for it")?;
    same(address.correlation.as_deref(), Some("corr-1"), "what answers are correlated by")?;
    expect(address.dead_letter.is_some(), "there is a place for dead letters")?;
    same(first.redelivered, 0, "how often it came before")?;
    same(second.document.key.as_ref(), None, "the key of a document without a name")?;
    same(second.document.bytes.len(), 0, "an empty document")
}

pub(super) async fn nobody_gets_what_another_has(world: Arc<dyn World>) -> Kept {
    world.send(letters("a", 5)).await?;
    let mut first = open(&world).await?;
    let taken = take(&mut first, 5).await?;
    let mut second = open(&world).await?;
    same(bodies(&glance(&mut second).await?), Vec::new(), "what the second gets")?;
    same(taken.len(), 5, "what the first has")
}
